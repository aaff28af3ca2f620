// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Any process may die in any instruction (L66). Writers are killed in every instruction of what
// they do to a shard. After each death everybody must find exact octets of some complete insertion
// or nothing, and the next insertion must succeed at once.

#include "shared/shard_rig.hh"
#include "shared/stepper.hh"

#include "unit.hh"

#include <cstdio>
#include <ctime>
#include <string>

using namespace dotproxy;
using namespace dotproxy::test;

namespace {

// Where traps are slow, or under a sanitizer, it is these that end the test.
constexpr double most_seconds = 50;
constexpr std::uint64_t key_count = 40;
constexpr std::uint64_t next_key = 1000;

double seconds() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// What a writer does when it is killed, and the shard it does it to.
struct Scene {
    std::string name;
    std::uint32_t buckets;
    std::function<void(ShardRig&)> before;
    std::function<void(ShardRig&)> act;
    std::uint64_t head;              // where the ring's head is when it is done
    std::uint64_t evictions;         // that were counted by then
    std::vector<std::uint64_t> stay; // keys that nothing of this may remove
};

// Positions begin at the size of the ring. With 3 words of header and one of key, an entry takes 6
// words, 11, or 25; 21 of the small ones leave 2 of these words, and the 22nd goes around the end.
constexpr std::uint64_t ring = 128;
constexpr std::size_t small = 16;
constexpr std::size_t medium = 56;
constexpr std::size_t large = 168;

void fill(ShardRig& rig, std::uint64_t from, std::uint64_t to, std::size_t size = small) {
    for (std::uint64_t i = from; i < to; ++i) {
        assert_int_equal(rig.put(i, 1, size), Stored::yes);
    }
}

void use(ShardRig& rig, std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t i = from; i < to; ++i) {
        assert_int_equal(rig.get(i), 1);
    }
}

// Prepared before the child is forked: only the insertion is stepped through.
auto put(std::uint64_t number, std::uint32_t version, std::size_t size) {
    auto sample = std::make_shared<Sample>(number, version, size);
    return [sample](ShardRig& rig) {
        (void)rig.shard.insert(rig.hash(sample->key), sample->entry(), rig.now, rig.max_stale);
    };
}

auto filled(std::uint64_t count, std::uint64_t used_from = 0, std::uint64_t used_to = 0) {
    return [=](ShardRig& rig) {
        fill(rig, 0, count);
        use(rig, used_from, used_to);
    };
}

std::vector<Scene> insertions() {
    return {
        {"the first entry", 8, filled(0), put(7, 2, small), 134, 0, {}},
        {"another value", 8, filled(9), put(3, 2, medium), 193, 0, {0, 2, 4, 8}},
        {"the oldest is evicted", 8, filled(22), put(30, 2, small), 268, 2, {2, 21}},
        {"the oldest is moved on", 8, filled(22, 1, 2), put(30, 2, small), 274, 2, {3, 21}},
        {"what is moved on is replaced", 8, filled(22, 1, 2), put(1, 2, small), 274, 2, {3, 21}},
        {"over the end of the ring", 8, filled(20), put(30, 2, medium), 267, 2, {2, 19}},
        {"moved on over the end of the ring",
         8,
         [](ShardRig& rig) {
             fill(rig, 0, 1, medium);
             fill(rig, 1, 20);
             use(rig, 0, 1);
         },
         put(30, 2, small),
         273,
         1,
         {2, 19}},
        {"more is in use than can be moved on",
         8,
         [](ShardRig& rig) {
             fill(rig, 0, 5, large);
             use(rig, 0, 5);
         },
         put(30, 2, small),
         312,
         1,
         {3, 4}},
        {"a full bucket", 1, filled(8), put(30, 2, small), 182, 1, {1, 7}},
        {"scribbled positions",
         8,
         [](ShardRig& rig) {
             fill(rig, 0, 9);
             rig.head().tail.store(~std::uint64_t{0});
         },
         put(30, 2, small),
         134,
         0,
         {}},
    };
}

std::vector<Scene> scenes() {
    std::vector<Scene> all = insertions();
    all.push_back({"a flush",
                   1,
                   filled(3),
                   [](ShardRig& rig) {
                       (void)rig.shard.remove_if(
                           [](const Entry& entry) { return entry.key[0] % 2 == 0; });
                   },
                   146,
                   0,
                   {1}});
    all.push_back({"given back",
                   8,
                   filled(9),
                   [](ShardRig& rig) { (void)rig.shard.give_back(); },
                   182,
                   0,
                   {}});
    all.push_back({"a look-up",
                   8,
                   filled(3),
                   [key = std::make_shared<Octets>(key_of(1))](ShardRig& rig) {
                       (void)rig.shard.find(rig.hash(*key), *key);
                   },
                   146,
                   0,
                   {0, 1, 2}});
    return all;
}

// Every key gives a whole value or nothing; those that were not touched give theirs.
bool is_sound(ShardRig& rig, const std::vector<std::uint64_t>& stay) {
    return rig.is_whole(key_count) &&
           std::ranges::all_of(stay, [&](std::uint64_t i) { return rig.get(i) == 1; });
}

/// One scene, killed in one instruction after the other.
class Act {
  public:
    explicit Act(const Scene& scene)
        : scene_{scene}, rig_{{.buckets = scene.buckets, .ring_words = ring}}, start_{prepared()},
          stepper_{[this] { scene_.act(rig_); }} {}

    [[nodiscard]] std::size_t size() const noexcept { return stepper_.size(); }

    /// Whether all is well when the writer dies after `count` instructions.
    bool survives(std::size_t count) {
        std::ranges::copy(start_, rig_.memory().begin());
        return stepper_.kill_after(count) && is_sound(rig_, scene_.stay) &&
               rig_.put(next_key, 3, small) == Stored::yes && rig_.get(next_key) == 3 &&
               is_sound(rig_, {}) && rig_.put(next_key, 4, medium) == Stored::yes &&
               rig_.get(next_key) == 4 && rig_.shard.entries() <= key_count;
    }

    /// Whether nothing of what stood there before is found any more when it was all forgotten while
    /// the writer had come so far.
    bool forgets(std::size_t count, std::uint64_t keys) {
        std::ranges::copy(start_, rig_.memory().begin());
        bool gone = stepper_.interrupt_after(
            count, [this] { (void)rig_.shard.remove_if([](const Entry&) { return true; }); });
        for (std::uint64_t i = 0; i < keys; ++i) {
            gone = gone && rig_.get(i) == -1;
        }
        return gone;
    }

    [[nodiscard]] const std::string& name() const noexcept { return scene_.name; }

  private:
    std::vector<std::byte> prepared() {
        scene_.before(rig_);
        std::vector<std::byte> memory{rig_.memory().begin(), rig_.memory().end()};
        scene_.act(rig_); // now what a dynamic linker binds at the first call is bound as well
        assert_int_equal(rig_.head().head.load(), scene_.head);
        assert_int_equal(rig_.shard.evictions(), scene_.evictions);
        std::ranges::copy(memory, rig_.memory().begin());
        return memory;
    }

    Scene scene_;
    ShardRig rig_;
    std::vector<std::byte> start_; // what every round begins with
    Stepper stepper_;
};

// Once around, in an order that has been everywhere after a part of it, should time run out; one
// round at least, since the acts before may have had all of it.
std::size_t kill_everywhere(Act& act, double until) {
    constexpr std::size_t stride = 389; // a prime
    const std::size_t size = act.size();
    std::size_t rounds = 0;
    for (std::size_t i = 0; i < size && (rounds == 0 || seconds() < until); ++i) {
        const std::size_t count = size % stride == 0 ? i : i * stride % size;
        if (!act.survives(count)) {
            print_error("%s: killed after %zu of %zu instructions\n", act.name().c_str(), count,
                        size);
            return 0;
        }
        ++rounds;
    }
    return rounds;
}

void test_writer_when_killed_in_any_instruction_then_nobody_is_hurt(void** /*state*/) {
    const double begin = seconds();
    std::vector<std::unique_ptr<Act>> acts;
    std::size_t instructions = 0;
    for (const Scene& scene : scenes()) {
        acts.push_back(std::make_unique<Act>(scene));
        assert_true(acts.back()->size() > 0);
        instructions += acts.back()->size();
    }
    std::size_t rounds = 0;
    std::size_t rest = instructions;
    for (const auto& act : acts) {
        // Each has its share of the time that is left.
        const double share = static_cast<double>(act->size()) / static_cast<double>(rest);
        const double now = seconds();
        const std::size_t done = kill_everywhere(*act, now + share * (begin + most_seconds - now));
        assert_true(done > 0);
        rounds += done;
        rest -= act->size();
    }
    print_message("# %zu kills in %zu instructions of %zu scenes, %.1f s\n", rounds, instructions,
                  acts.size(), seconds() - begin);
}

void test_remove_if_when_a_writer_is_moving_an_entry_then_it_is_gone(void** /*state*/) {
    constexpr std::uint64_t keys = 22;
    const double until = seconds() + most_seconds / 5;
    Act act{{"moved on", 8, filled(keys, 1, 2), put(30, 2, small), 274, 2, {}}};
    assert_true(act.size() > 0);
    for (std::size_t i = 0; i < act.size() && seconds() < until; ++i) {
        if (!act.forgets(i, keys)) {
            fail_msg("still there after instruction %zu of %zu", i, act.size());
        }
    }
}

// Of a shard of several pages, some are given back while the writer stands still anywhere.
void test_give_back_when_a_writer_is_anywhere_then_nobody_is_hurt(void** /*state*/) {
    const double until = seconds() + most_seconds / 5;
    constexpr std::uint64_t keys = 200; // more than the ring holds
    ShardRig rig{{.buckets = 128, .ring_words = 1024}};
    fill(rig, 0, keys);
    use(rig, keys - 160, keys - 150);
    const std::vector<std::byte> begin{rig.memory().begin(), rig.memory().end()};
    const Stepper stepper{[&rig, act = put(keys, 2, medium)] { act(rig); }};
    assert_true(stepper.size() > 0);
    for (std::size_t i = 0; i < stepper.size() && (i == 0 || seconds() < until); ++i) {
        const std::size_t count = i * 389 % stepper.size();
        std::ranges::copy(begin, rig.memory().begin());
        assert_true(stepper.interrupt_after(count, [&rig] { (void)rig.shard.give_back(); }));
        for (std::uint64_t next = keys; next < 2 * keys; ++next) { // the ring turns
            if (!rig.is_whole(next) || rig.put(next, 3, small) != Stored::yes ||
                rig.get(next) != 3) {
                fail_msg("given back after %zu of %zu instructions", count, stepper.size());
            }
        }
    }
}

/// A shard whose index doubles with the insertion of `key`, and a writer that does that. The keys
/// below it are in it, in version 1.
struct Growth {
    ShardRig rig{{.buckets = 512, .ring_words = 16384}};
    std::uint64_t key{fill_up()};
    std::vector<std::byte> begin{rig.memory().begin(), rig.memory().end()};
    Stepper stepper{[this, act = put(key, 1, small)] { act(rig); }};

    /// Calls `check` with each number of instructions, or as many as time allows.
    void everywhere(const std::function<void(std::size_t)>& check) {
        const double until = seconds() + most_seconds / 10;
        assert_true(stepper.size() > 0);
        for (std::size_t i = 0; i < stepper.size() && (i == 0 || seconds() < until); ++i) {
            std::ranges::copy(begin, rig.memory().begin());
            check(i * 389 % stepper.size());
        }
    }

  private:
    std::uint64_t fill_up() {
        const std::uint64_t halvings = rig.head().halvings;
        std::vector<std::byte> before;
        std::uint64_t number = 0;
        for (; rig.head().halvings == halvings; ++number) {
            before.assign(rig.memory().begin(), rig.memory().end());
            fill(rig, number, number + 1);
        }
        std::ranges::copy(before, rig.memory().begin());
        return number - 1;
    }
};

// What the dead writer had not come to must not be found again when the index doubles once more.
void test_index_when_its_growth_is_killed_then_no_old_value_comes_back(void** /*state*/) {
    Growth growth;
    growth.everywhere([&](std::size_t count) {
        ShardRig& rig = growth.rig;
        assert_true(growth.stepper.kill_after(count));
        assert_true(rig.is_whole(growth.key));
        std::uint64_t next = 0;
        for (; next < growth.key || rig.head().halvings != 0; ++next) {
            assert_int_equal(rig.put(next, 2, small), Stored::yes);
        }
        for (std::uint64_t i = 0; i < next; ++i) {
            if (rig.get(i) != 2) {
                fail_msg("killed after %zu of %zu instructions", count, growth.stepper.size());
            }
        }
    });
}

void test_remove_if_when_the_index_is_growing_then_all_are_gone(void** /*state*/) {
    Growth growth;
    growth.everywhere([&](std::size_t count) {
        assert_true(growth.stepper.interrupt_after(count, [&growth] {
            (void)growth.rig.shard.remove_if([](const Entry&) { return true; });
        }));
        for (std::uint64_t i = 0; i < growth.key; ++i) {
            if (growth.rig.get(i) != -1) {
                fail_msg("still there after instruction %zu of %zu", count, growth.stepper.size());
            }
        }
    });
}

// Nor does one come back, not even for as long as a writer takes that stood still meanwhile and
// goes on with what it had looked at before: it may be killed there.
void test_remove_if_when_the_index_is_growing_then_nothing_comes_back(void** /*state*/) {
    constexpr std::size_t more = 100; // instructions: to move an entry takes fewer
    Growth growth;
    growth.everywhere([&](std::size_t count) {
        bool found = false;
        const auto remove_all = [&growth] {
            (void)growth.rig.shard.remove_if([](const Entry&) { return true; });
        };
        const auto look = [&growth, &found] {
            for (std::uint64_t i = 0; i < growth.key; ++i) {
                found = growth.rig.get(i) != -1 || found;
            }
        };
        assert_true(growth.stepper.watch_after(count, remove_all, more, look));
        if (found) {
            fail_msg("back after instruction %zu of %zu", count, growth.stepper.size());
        }
    });
}

} // namespace

int main() {
    if (!Stepper::allowed()) {
        std::puts("1..0 # SKIP a process may not trace another one here (ptrace)");
        return 0;
    }
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_writer_when_killed_in_any_instruction_then_nobody_is_hurt),
        cmocka_unit_test(test_remove_if_when_a_writer_is_moving_an_entry_then_it_is_gone),
        cmocka_unit_test(test_index_when_its_growth_is_killed_then_no_old_value_comes_back),
        cmocka_unit_test(test_remove_if_when_the_index_is_growing_then_all_are_gone),
        cmocka_unit_test(test_remove_if_when_the_index_is_growing_then_nothing_comes_back),
        cmocka_unit_test(test_give_back_when_a_writer_is_anywhere_then_nobody_is_hurt),
    };
    return cmocka_run_group_tests_name("shared/killed_writer", tests, nullptr, nullptr);
}
