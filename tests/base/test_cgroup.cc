// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Control groups as files in a directory of the test's own: what kernels, service managers and
// containers show of them.

#include "base/cgroup.hh"

#include "config/scratch.hh"
#include "unit.hh"

#include <cstdint>
#include <string>

using dotproxy::cgroup::cpu_limit;
using dotproxy::cgroup::memory_limit;
using dotproxy::cgroup::oom_kills;

namespace {

Scratch scratch;
unsigned machines = 0;

/// A machine with the hierarchies that are mounted on it.
class Machine {
  public:
    Machine(const std::string& groups, const std::string& mounts)
        : name_{"machine-" + std::to_string(++machines)} {
        write("/proc/self/cgroup", groups);
        write("/proc/self/mountinfo",
              "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n" + mounts);
    }

    void write(const std::string& path, const std::string& text) const {
        scratch.write(name_ + path, text);
    }

    [[nodiscard]] std::string root() const { return scratch.path(name_); }

    [[nodiscard]] std::uint64_t memory() const {
        const auto limit = memory_limit(root());
        return limit ? limit->octets : 0;
    }

    [[nodiscard]] unsigned cpus() const { return cpu_limit(root()).value_or(0); }

  private:
    std::string name_;
};

constexpr auto mount_2 =
    "30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
constexpr auto mounts_1 = "31 22 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
                          "32 31 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
                          "33 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup "
                          "rw,cpu,cpuacct\n"
                          "34 31 0:30 / /sys/fs/cgroup/memory rw shared:3 master:1 - cgroup cgroup "
                          "rw,memory\n";
constexpr auto groups_1 = "12:cpu,cpuacct:/system.slice/dotproxy.service\n"
                          "5:memory:/system.slice/dotproxy.service\n"
                          "1:name=systemd:/system.slice/dotproxy.service\n"
                          "0::/system.slice/dotproxy.service\n";
constexpr auto unlimited_1 = "9223372036854771712\n"; // what version 1 says when none is set

Machine version_2() {
    return {"0::/system.slice/dotproxy.service\n", mount_2};
}

Machine version_1() {
    return {groups_1, mounts_1};
}

void test_memory_limit_when_version_2_then_the_least_of_the_own_and_those_above(void** /*state*/) {
    const Machine machine = version_2();
    assert_false(memory_limit(machine.root()).has_value());
    machine.write("/sys/fs/cgroup/system.slice/dotproxy.service/memory.max", "max\n");
    assert_false(memory_limit(machine.root()).has_value());
    machine.write("/sys/fs/cgroup/system.slice/memory.max", "100000000\n");
    assert_int_equal(machine.memory(), 100'000'000);
    machine.write("/sys/fs/cgroup/system.slice/dotproxy.service/memory.max", "50331648\n");
    assert_int_equal(machine.memory(), 50'331'648);
    machine.write("/sys/fs/cgroup/memory.max", "1000000\n"); // a namespace's topmost has one
    assert_int_equal(machine.memory(), 1'000'000);
    assert_string_equal(memory_limit(machine.root())->file.c_str(),
                        (machine.root() + "/sys/fs/cgroup/memory.max").c_str());
}

// It slows down instead of killing, and memory that no swap takes cannot be had back by that.
void test_memory_limit_when_only_high_is_set_then_that(void** /*state*/) {
    const Machine machine = version_2();
    machine.write("/sys/fs/cgroup/system.slice/dotproxy.service/memory.max", "max\n");
    machine.write("/sys/fs/cgroup/system.slice/dotproxy.service/memory.high", "4096\n");
    assert_int_equal(machine.memory(), 4096);
}

void test_memory_limit_when_version_1_then_the_least_of_the_own_and_those_above(void** /*state*/) {
    const Machine machine = version_1();
    machine.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", unlimited_1);
    machine.write("/sys/fs/cgroup/memory/system.slice/memory.limit_in_bytes", "70000000\n");
    machine.write("/sys/fs/cgroup/memory/system.slice/dotproxy.service/memory.limit_in_bytes",
                  unlimited_1);
    assert_int_equal(machine.memory(), 70'000'000);
    machine.write("/sys/fs/cgroup/memory/system.slice/dotproxy.service/memory.limit_in_bytes",
                  "60000000\n");
    assert_int_equal(machine.memory(), 60'000'000);
}

// A container without a namespace for control groups sees the machine's paths, and its own group
// mounted in place of the topmost.
void test_memory_limit_when_a_part_is_mounted_then_paths_begin_there(void** /*state*/) {
    const Machine machine{"5:memory:/docker/0123/inner\n",
                          "34 31 0:30 /docker/0123 /sys/fs/cgroup/memory ro - cgroup cgroup "
                          "rw,memory\n"};
    machine.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "80000000\n");
    assert_int_equal(machine.memory(), 80'000'000);
    machine.write("/sys/fs/cgroup/memory/inner/memory.limit_in_bytes", "70000000\n");
    assert_int_equal(machine.memory(), 70'000'000);
}

void test_memory_limit_when_the_path_is_from_elsewhere_then_what_is_mounted(void** /*state*/) {
    for (const char* const path :
         {"0::/../../other\n", "0::/docker/9999\n", "0::/docker/01234\n"}) {
        const Machine machine{path,
                              "30 22 0:26 /docker/0123 /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n"};
        machine.write("/sys/fs/cgroup/memory.max", "80000000\n");
        assert_int_equal(machine.memory(), 80'000'000);
    }
}

void test_any_when_there_is_nothing_to_read_then_nothing(void** /*state*/) {
    for (const Machine& machine :
         {Machine{"", ""}, Machine{"0::/\n", ""}, Machine{"", mount_2},
          Machine{"rubbish\n", "a b\n"}, Machine{":\n:::\n", "1 2 3 4\n1 2 3 4 5 6 -\n - \n"},
          version_1(), version_2()}) {
        assert_false(memory_limit(machine.root()).has_value());
        assert_false(cpu_limit(machine.root()).has_value());
        assert_false(oom_kills(machine.root()).has_value());
    }
    assert_false(memory_limit(scratch.path("none")).has_value());
}

void test_cpu_limit_when_version_2_then_rounded_up_and_the_least(void** /*state*/) {
    struct Row {
        const char* text;
        unsigned cpus; // 0: none
    };

    for (const Row& row :
         {Row{"max 100000\n", 0}, Row{"50000 100000\n", 1}, Row{"100000 100000\n", 1},
          Row{"100001 100000\n", 2}, Row{"150000 100000\n", 2}, Row{"400000 100000\n", 4},
          Row{"1000 1000000\n", 1}, Row{"18446744073709551615 1\n", 4294967295U},
          Row{"100000 0\n", 0}, Row{"100000\n", 0}, Row{"\n", 0}, Row{"-1 100000\n", 0}}) {
        const Machine machine = version_2();
        machine.write("/sys/fs/cgroup/system.slice/dotproxy.service/cpu.max", row.text);
        assert_int_equal(machine.cpus(), row.cpus);
    }
    const Machine machine = version_2();
    machine.write("/sys/fs/cgroup/system.slice/dotproxy.service/cpu.max", "400000 100000\n");
    machine.write("/sys/fs/cgroup/system.slice/cpu.max", "300000 100000\n");
    assert_int_equal(machine.cpus(), 3);
}

void test_cpu_limit_when_version_1_then_quota_by_period(void** /*state*/) {
    const Machine machine = version_1();
    const std::string own = "/sys/fs/cgroup/cpu,cpuacct/system.slice/dotproxy.service";
    machine.write(own + "/cpu.cfs_period_us", "100000\n");
    machine.write(own + "/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(machine.cpus(), 0);
    machine.write(own + "/cpu.cfs_quota_us", "250000\n");
    assert_int_equal(machine.cpus(), 3);
    machine.write("/sys/fs/cgroup/cpu,cpuacct/system.slice/cpu.cfs_period_us", "50000\n");
    machine.write("/sys/fs/cgroup/cpu,cpuacct/system.slice/cpu.cfs_quota_us", "75000\n");
    assert_int_equal(machine.cpus(), 2);
}

// The kernel counts there what dies here, whichever limit it dies of.
void test_oom_kills_then_those_of_the_own_group(void** /*state*/) {
    const Machine new_one = version_2();
    new_one.write("/sys/fs/cgroup/system.slice/memory.events", "low 0\noom 9\noom_kill 9\n");
    assert_false(oom_kills(new_one.root()).has_value());
    new_one.write("/sys/fs/cgroup/system.slice/dotproxy.service/memory.events",
                  "low 0\nhigh 0\nmax 712\noom 4\noom_kill 3\noom_group_kill 0\n");
    assert_int_equal(oom_kills(new_one.root()).value_or(0), 3);

    const Machine old_one = version_1();
    const std::string file =
        "/sys/fs/cgroup/memory/system.slice/dotproxy.service/memory.oom_control";
    old_one.write(file, "oom_kill_disable 0\nunder_oom 0\n"); // before Linux 4.13
    assert_false(oom_kills(old_one.root()).has_value());
    old_one.write(file, "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
    assert_int_equal(oom_kills(old_one.root()).value_or(0), 2);
}

int set_up(void** /*state*/) {
    return scratch.make() ? 0 : -1;
}

int tear_down(void** /*state*/) {
    scratch.remove();
    return 0;
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(
            test_memory_limit_when_version_2_then_the_least_of_the_own_and_those_above),
        cmocka_unit_test(test_memory_limit_when_only_high_is_set_then_that),
        cmocka_unit_test(
            test_memory_limit_when_version_1_then_the_least_of_the_own_and_those_above),
        cmocka_unit_test(test_memory_limit_when_a_part_is_mounted_then_paths_begin_there),
        cmocka_unit_test(test_memory_limit_when_the_path_is_from_elsewhere_then_what_is_mounted),
        cmocka_unit_test(test_any_when_there_is_nothing_to_read_then_nothing),
        cmocka_unit_test(test_cpu_limit_when_version_2_then_rounded_up_and_the_least),
        cmocka_unit_test(test_cpu_limit_when_version_1_then_quota_by_period),
        cmocka_unit_test(test_oom_kills_then_those_of_the_own_group),
    };
    return cmocka_run_group_tests_name("base/cgroup", tests, set_up, tear_down);
}
