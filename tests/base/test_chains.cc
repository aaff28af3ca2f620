// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "base/chains.hh"

#include "unit.hh"

#include <array>

namespace {

struct Item {
    int number{0};
    Item* chain{nullptr};
};

using Chains = dotproxy::Chains<Item>;

Item* find(const Chains& chains, std::uint64_t hash, int number) {
    return chains.find(hash, [number](const Item& item) { return item.number == number; });
}

void test_find_when_nothing_is_there_then_none(void** /*state*/) {
    const Chains chains{16};
    assert_null(find(chains, 3, 0));
}

// L19: what shares a bucket, or the whole hash, is told apart by the one who looks.
void test_find_when_hashes_are_equal_then_the_right_one(void** /*state*/) {
    Chains chains{4};
    std::array<Item, 3> items{{{.number = 1}, {.number = 2}, {.number = 3}}};
    chains.insert(items[0], 5);
    chains.insert(items[1], 5);
    chains.insert(items[2], 5 + 4);
    for (Item& item : items) {
        assert_ptr_equal(find(chains, 5, item.number), &item);
    }
    assert_null(find(chains, 5, 4));
    assert_null(find(chains, 6, 1));
}

void test_remove_then_the_others_stay(void** /*state*/) {
    for (std::size_t gone = 0; gone < 3; ++gone) {
        Chains chains{1};
        std::array<Item, 3> items{{{.number = 1}, {.number = 2}, {.number = 3}}};
        for (Item& item : items) {
            chains.insert(item, 7);
        }
        chains.remove(items[gone], 7);
        for (std::size_t i = 0; i < items.size(); ++i) {
            assert_ptr_equal(find(chains, 7, items[i].number), i == gone ? nullptr : &items[i]);
        }
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_find_when_nothing_is_there_then_none),
        cmocka_unit_test(test_find_when_hashes_are_equal_then_the_right_one),
        cmocka_unit_test(test_remove_then_the_others_stay),
    };
    return cmocka_run_group_tests_name("base/chains", tests, nullptr, nullptr);
}
