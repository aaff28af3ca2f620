// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "base/slab.hh"

#include "unit.hh"

#include <array>

using dotproxy::Handle;
using dotproxy::is_poisoned;
using dotproxy::poisons;
using dotproxy::Slab;

namespace {

/// Counts its objects that are alive.
struct Counted {
    explicit Counted(int& alive, int number = 0) noexcept : alive_{alive}, number_{number} {
        ++alive_;
    }

    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;

    ~Counted() { --alive_; }

    int& alive_;
    int number_;
};

void test_create_when_full_then_null(void** /*state*/) {
    int alive = 0;
    Slab<Counted> slab{3};
    for (std::uint32_t i = 0; i < 3; ++i) {
        assert_int_equal(slab.size(), i);
        assert_non_null(slab.create(alive));
    }
    assert_null(slab.create(alive));
    assert_int_equal(slab.size(), 3);
    assert_int_equal(slab.capacity(), 3);
    assert_int_equal(alive, 3);
}

void test_create_after_destroy_then_place_is_used_again(void** /*state*/) {
    int alive = 0;
    Slab<Counted> slab{2};
    Counted* first = slab.create(alive);
    Counted* second = slab.create(alive);
    slab.destroy(first);
    assert_int_equal(alive, 1);
    assert_ptr_equal(slab.create(alive), first);
    assert_null(slab.create(alive));
    slab.destroy(second);
    assert_int_equal(slab.size(), 1);
}

void test_find_when_alive_then_the_object(void** /*state*/) {
    int alive = 0;
    Slab<Counted> slab{4};
    std::array<Handle, 4> handles{};
    for (int i = 0; i < 4; ++i) {
        handles.at(static_cast<std::size_t>(i)) = slab.handle_of(slab.create(alive, i));
    }
    for (int i = 0; i < 4; ++i) {
        assert_int_equal(slab.find(handles.at(static_cast<std::size_t>(i)))->number_, i);
    }
}

// L42: a handle that outlived its object must not lead to the one that has its place now.
void test_find_when_place_was_used_again_then_null(void** /*state*/) {
    int alive = 0;
    Slab<Counted> slab{1};
    Counted* item = slab.create(alive);
    const Handle old = slab.handle_of(item);
    slab.destroy(item);
    assert_null(slab.find(old));
    item = slab.create(alive);
    assert_null(slab.find(old));
    assert_ptr_equal(slab.find(slab.handle_of(item)), item);
}

void test_find_when_handle_names_nothing_then_null(void** /*state*/) {
    int alive = 0;
    Slab<Counted> slab{2};
    assert_null(slab.find(Handle{}));
    assert_null(slab.find(Handle{.index = 0, .generation = 0}));
    assert_non_null(slab.create(alive));
    assert_null(slab.find(Handle{.index = 1, .generation = 0}));
    assert_null(slab.find(Handle{.index = 2, .generation = 0}));
}

void test_for_each_when_visit_destroys_then_all_are_visited(void** /*state*/) {
    int alive = 0;
    int visited = 0;
    Slab<Counted> slab{5};
    for (int i = 0; i < 5; ++i) {
        assert_non_null(slab.create(alive, i));
    }
    slab.for_each([&](Counted& item) {
        ++visited;
        if (item.number_ % 2 == 0) {
            slab.destroy(&item);
        }
    });
    assert_int_equal(visited, 5);
    assert_int_equal(alive, 2);
    slab.for_each([&](Counted& item) { visited += item.number_; });
    assert_int_equal(visited, 5 + 1 + 3);
}

void test_slab_when_destroyed_then_its_objects_are(void** /*state*/) {
    int alive = 0;
    {
        Slab<Counted> slab{4};
        Counted* const first = slab.create(alive);
        assert_non_null(slab.create(alive));
        slab.destroy(first);
        assert_int_equal(alive, 1);
    }
    assert_int_equal(alive, 0);
}

void test_create_when_type_is_aligned_then_objects_are(void** /*state*/) {
    struct alignas(64) Line {
        int value{0};
    };

    Slab<Line> slab{3};
    for (int i = 0; i < 3; ++i) {
        assert_int_equal(reinterpret_cast<std::uintptr_t>(slab.create()) % 64, 0);
    }
}

// What is used after it was destroyed is found by AddressSanitizer, as with memory of the heap.
void test_destroy_then_its_place_is_poisoned_until_it_is_used_again(void** /*state*/) {
    int alive = 0;
    Slab<Counted> slab{2};
    Counted* item = slab.create(alive);
    assert_false(is_poisoned(item));
    slab.destroy(item);
    assert_int_equal(is_poisoned(item), poisons);
    assert_ptr_equal(slab.create(alive), item);
    assert_false(is_poisoned(item));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_create_when_full_then_null),
        cmocka_unit_test(test_destroy_then_its_place_is_poisoned_until_it_is_used_again),
        cmocka_unit_test(test_create_after_destroy_then_place_is_used_again),
        cmocka_unit_test(test_find_when_alive_then_the_object),
        cmocka_unit_test(test_find_when_place_was_used_again_then_null),
        cmocka_unit_test(test_find_when_handle_names_nothing_then_null),
        cmocka_unit_test(test_for_each_when_visit_destroys_then_all_are_visited),
        cmocka_unit_test(test_slab_when_destroyed_then_its_objects_are),
        cmocka_unit_test(test_create_when_type_is_aligned_then_objects_are),
    };
    return cmocka_run_group_tests_name("base/slab", tests, nullptr, nullptr);
}
