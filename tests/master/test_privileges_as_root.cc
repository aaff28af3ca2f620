// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// What the kernel says of a process that was root and has given up its privileges (L68). A program
// of its own, since it can be skipped as a whole only: for anybody else there is nothing to see.

#include "master/privileges.hh"

#include "master/child.hh"
#include "master/status.hh"
#include "unit.hh"

#include <array>
#include <cstdio>
#include <grp.h>
#include <initializer_list>
#include <linux/capability.h>
#include <stdexcept>
#include <string>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

using dotproxy::Account;
using dotproxy::account_in_place_of_root;
using dotproxy::Config;
using dotproxy::drop_privileges;
using dotproxy::raise_descriptor_limit;
using dotproxy::test::first_failure;
using dotproxy::test::in_child;
using dotproxy::test::no_capability;
using dotproxy::test::status;

namespace {

constexpr uid_t nobody = 65534; // in every Debian
constexpr Account account{.user = nobody, .group = nobody};

bool all_four_are(const std::string& key, const char* number) {
    return status(key) == std::vector<std::string>(4, number);
}

void test_drop_when_root_then_real_effective_saved_and_fs_ids(void** /*state*/) {
    assert_int_equal(
        in_child([] {
            drop_privileges(account);
            return first_failure({all_four_are("Uid", "65534"), all_four_are("Gid", "65534")});
        }),
        0);
}

void test_drop_when_root_then_no_supplementary_group(void** /*state*/) {
    assert_int_equal(in_child([] {
                         const std::array<gid_t, 3> some{0, 4, 24};
                         const bool had = ::setgroups(some.size(), some.data()) == 0 &&
                                          status("Groups").size() == 3;
                         drop_privileges(account);
                         return first_failure({had, status("Groups").empty()});
                     }),
                     0);
}

void test_drop_when_root_then_no_capability(void** /*state*/) {
    assert_int_equal(in_child([] {
                         const bool had = !no_capability("CapPrm");
                         drop_privileges(account);
                         return first_failure({had, no_capability("CapPrm"),
                                               no_capability("CapEff"), no_capability("CapInh"),
                                               no_capability("CapAmb"), no_capability("CapBnd")});
                     }),
                     0);
}

// Capabilities that are kept across setuid() on purpose (a service manager may set the bit) must
// not survive.
void test_drop_when_capabilities_are_to_be_kept_then_they_are_not(void** /*state*/) {
    assert_int_equal(
        in_child([] {
            const bool set = ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0;
            drop_privileges(account);
            return first_failure({set, no_capability("CapPrm"), no_capability("CapEff")});
        }),
        0);
}

void test_drop_when_root_then_no_way_back(void** /*state*/) {
    assert_int_equal(in_child([] {
                         drop_privileges(account);
                         return first_failure({::setuid(0) != 0, ::seteuid(0) != 0,
                                               ::setgid(0) != 0, ::getuid() == nobody,
                                               ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1});
                     }),
                     0);
}

// The administrator may name root itself; capabilities go all the same.
void test_drop_when_the_user_is_root_then_no_capability(void** /*state*/) {
    assert_int_equal(in_child([] {
                         drop_privileges(Account{.user = 0, .group = 0});
                         return first_failure({all_four_are("Uid", "0"), no_capability("CapEff"),
                                               no_capability("CapPrm")});
                     }),
                     0);
}

/// Takes capabilities away, and the root of this process with them.
bool lose(std::initializer_list<unsigned> capabilities) {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
    if (::syscall(SYS_capget, &header, sets.data()) != 0) {
        return false;
    }
    for (const unsigned each : capabilities) {
        sets[CAP_TO_INDEX(each)].effective &= ~CAP_TO_MASK(each);
        sets[CAP_TO_INDEX(each)].permitted &= ~CAP_TO_MASK(each);
    }
    return ::syscall(SYS_capset, &header, sets.data()) == 0;
}

// As in a container that was given few: there is nothing to change, and nothing is missing.
void test_drop_when_already_the_account_then_no_capability_is_needed(void** /*state*/) {
    assert_int_equal(in_child([] {
                         const bool alone = ::setgroups(0, nullptr) == 0 && ::setgid(0) == 0;
                         const bool lost = lose({CAP_SETGID, CAP_SETUID});
                         drop_privileges(Account{.user = 0, .group = 0});
                         return first_failure({alone, lost, all_four_are("Uid", "0"),
                                               no_capability("CapEff"), no_capability("CapPrm")});
                     }),
                     0);
}

std::string refusal_without(std::initializer_list<unsigned> capabilities) {
    std::string why;
    try {
        if (lose(capabilities)) {
            drop_privileges(account);
        }
    } catch (const std::runtime_error& problem) {
        why = problem.what();
    }
    return why;
}

void test_drop_when_a_capability_is_missing_then_refused_by_its_name(void** /*state*/) {
    assert_int_equal(in_child([] {
                         return first_failure({refusal_without({CAP_SETGID}).find("CAP_SETGID") !=
                                               std::string::npos});
                     }),
                     0);
    assert_int_equal(in_child([] {
                         return first_failure({refusal_without({CAP_SETUID}).find("CAP_SETUID") !=
                                               std::string::npos});
                     }),
                     0);
}

void test_account_when_root_then_that_of_the_configuration(void** /*state*/) {
    Config config;
    config.user = "nobody";
    config.group = "nogroup";
    const auto found = account_in_place_of_root(config);
    assert_true(found.has_value());
    assert_int_equal(found->user, nobody);
    assert_int_equal(found->group, nobody);
}

// Root in a container need not have the capability that this takes.
bool may_raise_limits() {
    const auto set = status("CapEff");
    return set.size() == 1 &&
           (std::stoull(set[0], nullptr, 16) >> unsigned{CAP_SYS_RESOURCE} & 1U) != 0;
}

bool set_limit(rlim_t soft, rlim_t hard) {
    const rlimit limit{.rlim_cur = soft, .rlim_max = hard};
    return ::setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

void test_raise_when_beyond_the_hard_limit_then_as_the_capability_lets(void** /*state*/) {
    assert_int_equal(in_child([] {
                         const bool set = set_limit(64, 256);
                         const std::uint64_t wanted = may_raise_limits() ? 1000 : 256;
                         const auto result = raise_descriptor_limit(1000);
                         rlimit limit{};
                         ::getrlimit(RLIMIT_NOFILE, &limit);
                         return first_failure({set, result == wanted, limit.rlim_cur == wanted});
                     }),
                     0);
}

} // namespace

int main() {
    if (::geteuid() != 0) {
        // cmocka writes a skipped test as one that failed; TAP can skip a whole program.
        std::puts("1..0 # SKIP only root has privileges to give up");
        return 0;
    }
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_drop_when_root_then_real_effective_saved_and_fs_ids),
        cmocka_unit_test(test_drop_when_root_then_no_supplementary_group),
        cmocka_unit_test(test_drop_when_root_then_no_capability),
        cmocka_unit_test(test_drop_when_capabilities_are_to_be_kept_then_they_are_not),
        cmocka_unit_test(test_drop_when_root_then_no_way_back),
        cmocka_unit_test(test_drop_when_the_user_is_root_then_no_capability),
        cmocka_unit_test(test_drop_when_already_the_account_then_no_capability_is_needed),
        cmocka_unit_test(test_drop_when_a_capability_is_missing_then_refused_by_its_name),
        cmocka_unit_test(test_account_when_root_then_that_of_the_configuration),
        cmocka_unit_test(test_raise_when_beyond_the_hard_limit_then_as_the_capability_lets),
    };
    return cmocka_run_group_tests_name("master/privileges_as_root", tests, nullptr, nullptr);
}
