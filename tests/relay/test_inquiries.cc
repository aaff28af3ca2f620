// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "relay/inquiries.hh"

#include "dns/messages.hh"
#include "unit.hh"

#include <algorithm>
#include <array>
#include <cstddef>
#include <deque>
#include <vector>

using dotproxy::Awaited;
using dotproxy::Inquiries;
using dotproxy::Waiter;
using dotproxy::dns::Question;

namespace {

Question question(std::string_view name) {
    Question made{};
    const auto wire = dotproxy::dns::test::wire_name(name);
    made.name.size = static_cast<std::uint8_t>(wire.size());
    std::ranges::copy(wire.octets(), made.name.octets.begin());
    made.type = dotproxy::dns::type::a;
    made.klass = dotproxy::dns::klass::in;
    made.recursion_desired = true;
    return made;
}

void test_find_when_the_same_question_then_the_inquiry(void** /*state*/) {
    Inquiries inquiries{8};
    const Question asked = question("www.example");
    const std::uint64_t hash = inquiries.hash(asked);
    assert_null(inquiries.find(asked, hash));
    Awaited* made = inquiries.create(asked, hash);
    assert_non_null(made);
    const Question again = question("www.example");
    assert_int_equal(inquiries.hash(again), hash);
    assert_ptr_equal(inquiries.find(again, hash), made);
    assert_int_equal(inquiries.size(), 1);
    inquiries.destroy(*made);
    assert_null(inquiries.find(again, hash));
    assert_int_equal(inquiries.size(), 0);
}

/// The question with each part of its key (C80) changed, one at a time.
std::vector<Question> variations(const Question& asked) {
    std::vector<Question> all(9, asked);
    all[0].name = question("ww2.example").name;
    all[1].name = question("example").name;
    all[2].type = dotproxy::dns::type::aaaa;
    all[3].klass = dotproxy::dns::klass::ch;
    all[4].recursion_desired = false;
    all[5].checking_disabled = true;
    all[6].authentic_data = true;
    all[7].dnssec_ok = true;
    all[8].subnet_opt_out = true;
    return all;
}

// Whoever asked with other flags would get an answer that is not to his question.
void test_find_when_any_part_of_the_key_differs_then_another_inquiry(void** /*state*/) {
    Inquiries inquiries{16};
    const Question asked = question("www.example");
    Awaited* first = inquiries.create(asked, inquiries.hash(asked));
    for (const Question& other : variations(asked)) {
        const std::uint64_t hash = inquiries.hash(other);
        assert_null(inquiries.find(other, hash));
        Awaited* made = inquiries.create(other, hash);
        assert_ptr_equal(inquiries.find(other, hash), made);
        assert_ptr_equal(inquiries.find(asked, inquiries.hash(asked)), first);
    }
    assert_int_equal(inquiries.size(), 10);
}

// Nobody who does not know the key can choose names that share a bucket (L19).
void test_hash_then_it_differs_from_table_to_table(void** /*state*/) {
    const Inquiries first{8};
    const Inquiries second{8};
    assert_int_not_equal(first.hash(question("www.example")), second.hash(question("www.example")));
}

void test_create_when_full_then_none_until_one_ends(void** /*state*/) {
    Inquiries inquiries{1};
    const Question asked = question("a.example");
    const Question other = question("b.example");
    Awaited* made = inquiries.create(asked, inquiries.hash(asked));
    assert_non_null(made);
    assert_null(inquiries.create(other, inquiries.hash(other)));
    const std::array<std::uint8_t, 12> message{};
    assert_null(inquiries.create_sealed(other, message));
    assert_ptr_equal(inquiries.find(asked, inquiries.hash(asked)), made);
    inquiries.destroy(*made);
    made = inquiries.create(other, inquiries.hash(other));
    assert_non_null(made);
    assert_ptr_equal(inquiries.find(other, inquiries.hash(other)), made);
    assert_null(inquiries.find(asked, inquiries.hash(asked)));
}

// Ends those that share a bucket, and even the whole hash, in every order: the others stay.
void test_destroy_when_they_share_a_bucket_then_the_others_are_found(void** /*state*/) {
    constexpr std::uint64_t shared = 5;
    std::array<std::size_t, 3> order{0, 1, 2};
    do {
        Inquiries inquiries{4};
        const std::array<Question, 3> asked{question("a.example"), question("b.example"),
                                            question("c.example")};
        // Of two with the same hash the name decides; 5 + 4 is another hash of the same bucket.
        const std::array<std::uint64_t, 3> hashes{shared, shared, shared + 4};
        std::array<Awaited*, 3> made{};
        for (std::size_t i = 0; i < made.size(); ++i) {
            made.at(i) = inquiries.create(asked.at(i), hashes.at(i));
        }
        for (const std::size_t ended : order) {
            inquiries.destroy(*made.at(ended));
            made.at(ended) = nullptr;
            for (std::size_t i = 0; i < made.size(); ++i) {
                assert_ptr_equal(inquiries.find(asked.at(i), hashes.at(i)), made.at(i));
            }
        }
    } while (std::next_permutation(order.begin(), order.end()));
}

// C25: a signed query is one of its kind, whatever it asks.
void test_sealed_then_nobody_can_join_it(void** /*state*/) {
    Inquiries inquiries{4};
    const Question asked = question("www.example");
    const std::array<std::uint8_t, 12> message{1, 2, 3, 4};
    Awaited* sealed = inquiries.create_sealed(asked, message);
    assert_non_null(sealed);
    assert_true(std::ranges::equal(sealed->sealed, message));
    assert_null(inquiries.find(asked, inquiries.hash(asked)));
    assert_null(inquiries.find(asked, 0));
    Awaited* open = inquiries.create(asked, inquiries.hash(asked));
    inquiries.destroy(*sealed);
    assert_ptr_equal(inquiries.find(asked, inquiries.hash(asked)), open);
    assert_int_equal(inquiries.size(), 1);
}

/// Whether the list holds exactly those, newest first, with sound links both ways.
bool holds(const Awaited& inquiry, const std::deque<const Waiter*>& wanted) {
    const Waiter* previous = nullptr;
    const Waiter* at = inquiry.waiters;
    for (const Waiter* one : wanted) {
        if (at != one || at->previous != previous || at->inquiry != &inquiry) {
            return false;
        }
        previous = at;
        at = at->next;
    }
    return at == nullptr && inquiry.waiter_count == wanted.size();
}

void test_waiters_then_they_may_leave_in_any_order(void** /*state*/) {
    std::array<std::size_t, 4> order{0, 1, 2, 3};
    do {
        Awaited inquiry;
        std::array<Waiter, 4> waiters;
        std::deque<const Waiter*> here;
        for (Waiter& waiter : waiters) {
            inquiry.add(waiter);
            here.push_front(&waiter);
            assert_true(holds(inquiry, here));
        }
        for (const std::size_t leaving : order) {
            inquiry.remove(waiters.at(leaving));
            std::erase(here, &waiters.at(leaving));
            assert_true(holds(inquiry, here));
        }
    } while (std::next_permutation(order.begin(), order.end()));
}

void test_waiters_when_one_comes_after_one_left_then_it_is_there(void** /*state*/) {
    Awaited inquiry;
    std::array<Waiter, 3> waiters;
    inquiry.add(waiters[0]);
    inquiry.add(waiters[1]);
    inquiry.remove(waiters[1]);
    inquiry.add(waiters[2]);
    assert_true(holds(inquiry, {&waiters[2], &waiters[0]}));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_find_when_the_same_question_then_the_inquiry),
        cmocka_unit_test(test_find_when_any_part_of_the_key_differs_then_another_inquiry),
        cmocka_unit_test(test_hash_then_it_differs_from_table_to_table),
        cmocka_unit_test(test_create_when_full_then_none_until_one_ends),
        cmocka_unit_test(test_destroy_when_they_share_a_bucket_then_the_others_are_found),
        cmocka_unit_test(test_sealed_then_nobody_can_join_it),
        cmocka_unit_test(test_waiters_then_they_may_leave_in_any_order),
        cmocka_unit_test(test_waiters_when_one_comes_after_one_left_then_it_is_there),
    };
    return cmocka_run_group_tests_name("relay/inquiries", tests, nullptr, nullptr);
}
