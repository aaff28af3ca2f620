// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/queue_price.hh"

#include "unit.hh"

#include <chrono>

using dotproxy::QueuePrice;
using dotproxy::ReceiveQueue;
using dotproxy::TimePoint;
using namespace std::chrono_literals;

namespace {

constexpr ReceiveQueue no_queue{.held = 62'499, .room = 1'000'000};
constexpr ReceiveQueue short_queue{.held = 499'999, .room = 1'000'000};
constexpr ReceiveQueue long_queue{.held = 500'000, .room = 1'000'000};

/// A price, and batches of questions that are read while a clock goes on.
struct Socket {
    QueuePrice price;
    TimePoint now{1h};

    /// Takes a window of full batches, and looks at the queue if asked to; whether it was.
    bool window(const ReceiveQueue& queue, unsigned taken = 64, unsigned dropped = 0,
                bool pays = true) {
        for (unsigned i = 0; i < taken; ++i) {
            price.note_taken(pays);
        }
        for (unsigned i = 0; i < dropped; ++i) {
            price.note_dropped();
        }
        now += QueuePrice::between_looks;
        const bool looked = price.note_batch(true, now);
        if (looked) {
            price.look(queue, now);
        }
        return looked;
    }

    /// Begins to read full batches, of a queue that is long, until there is a price.
    void become_dear() {
        assert_false(price.note_batch(true, now));
        assert_true(window(long_queue));
        assert_true(price.price() == 1us);
    }
};

void test_price_when_batches_are_not_full_then_nothing_and_no_look(void** /*state*/) {
    Socket socket;
    for (int i = 0; i < 100; ++i) {
        socket.now += 4ms;
        assert_false(socket.price.note_batch(true, socket.now));
        assert_false(socket.price.note_batch(false, socket.now));
    }
    assert_true(socket.price.price() == 0ns);
}

// limits 28: a look costs a system call.
void test_price_when_batches_are_full_then_a_look_each_5_ms_only(void** /*state*/) {
    Socket socket;
    unsigned looks = 0;
    for (int i = 0; i <= 1000; ++i) {
        if (socket.price.note_batch(true, socket.now)) {
            socket.price.look(long_queue, socket.now);
            ++looks;
        }
        socket.now += 100us;
    }
    assert_int_equal(looks, 20);
}

// A client in a closed loop, however many questions it has under way.
void test_price_when_the_queue_is_short_then_nothing(void** /*state*/) {
    Socket socket;
    for (int i = 0; i < 100; ++i) {
        socket.window(short_queue);
        assert_true(socket.price.price() == 0ns);
    }
}

// Where the kernel does not tell, there is none.
void test_price_when_the_queue_is_not_known_then_nothing(void** /*state*/) {
    Socket socket;
    for (int i = 0; i < 100; ++i) {
        socket.window(ReceiveQueue{});
        assert_true(socket.price.price() == 0ns);
    }
}

void test_price_when_the_queue_is_long_then_rises_to_the_highest(void** /*state*/) {
    Socket socket;
    socket.become_dear();
    auto before = socket.price.price();
    for (int i = 0; i < 50; ++i) {
        assert_true(socket.window(long_queue));
        assert_true(socket.price.price() > before);
        assert_true(socket.price.price() <= before * 5 / 4);
        before = socket.price.price();
    }
    assert_true(before > 5ms);
    for (int i = 0; i < 50; ++i) {
        socket.window(long_queue);
    }
    assert_true(socket.price.price() == QueuePrice::highest);
}

void test_price_when_there_is_no_queue_any_more_then_falls_to_nothing(void** /*state*/) {
    Socket socket;
    socket.become_dear();
    for (int i = 0; i < 30; ++i) {
        socket.window(short_queue); // there is one all the same, and it rises
    }
    auto before = socket.price.price();
    assert_true(before > 100us);
    while (before > 0ns) {
        assert_true(socket.window(no_queue));
        assert_true(socket.price.price() < before);
        before = socket.price.price();
    }
    // From there on as at the beginning.
    assert_false(socket.price.note_batch(true, socket.now));
    socket.window(short_queue);
    assert_true(socket.price.price() == 0ns);
}

// As it is where a control group holds the process up for most of the time.
void test_price_when_the_queue_is_emptied_now_and_then_then_falls(void** /*state*/) {
    Socket socket;
    socket.become_dear();
    for (int i = 0; i < 30; ++i) {
        socket.window(long_queue);
    }
    const auto before = socket.price.price();
    socket.now += 1ms;
    assert_false(socket.price.note_batch(false, socket.now));
    assert_false(socket.window(long_queue)); // it is not even looked at
    assert_true(socket.price.price() < before);
    assert_true(socket.window(long_queue));
    assert_true(socket.price.price() > before * 9 / 10);
}

// limits 59: after a flood all is as before within a second, though nobody asks meanwhile; and the
// first one who does pays nothing.
void test_price_when_nobody_asks_then_it_is_over_within_a_second(void** /*state*/) {
    Socket socket;
    socket.become_dear();
    for (int i = 0; i < 100; ++i) {
        socket.window(long_queue);
    }
    assert_true(socket.price.price() == QueuePrice::highest);
    assert_false(socket.price.is_old(socket.now + 9ms));
    socket.now += 1s;
    assert_true(socket.price.is_old(socket.now));
    socket.price.look(no_queue, socket.now);
    assert_true(socket.price.price() == 0ns);
    assert_false(socket.price.is_old(socket.now + 1h));
}

// Whose processor is taken away for longer finds a queue, and who filled it.
void test_price_when_held_up_before_a_long_queue_then_as_before(void** /*state*/) {
    Socket socket;
    socket.become_dear();
    for (int i = 0; i < 30; ++i) {
        socket.window(long_queue);
    }
    const auto before = socket.price.price();
    socket.now += 90ms;
    assert_true(socket.price.is_old(socket.now));
    socket.price.look(long_queue, socket.now);
    assert_true(socket.price.price() >= before);
}

// limits 28: without that it collapsed to 5,000 answers a second.
void test_price_when_dropping_takes_more_time_than_answering_then_falls(void** /*state*/) {
    Socket socket;
    socket.become_dear();
    for (int i = 0; i < 30; ++i) {
        socket.window(long_queue);
    }
    const auto before = socket.price.price();
    socket.window(long_queue, 10, 50);
    assert_true(socket.price.price() > before);
    const auto risen = socket.price.price();
    socket.window(long_queue, 10, 60);
    assert_true(socket.price.price() < risen);
}

// What comes from this host pays nothing: a price would hold up all others for it.
void test_price_when_most_do_not_pay_then_does_not_rise(void** /*state*/) {
    Socket socket;
    assert_false(socket.price.note_batch(true, socket.now));
    for (int i = 0; i < 10; ++i) {
        socket.window(long_queue, 64, 0, false);
        assert_true(socket.price.price() == 0ns);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_price_when_batches_are_not_full_then_nothing_and_no_look),
        cmocka_unit_test(test_price_when_batches_are_full_then_a_look_each_5_ms_only),
        cmocka_unit_test(test_price_when_the_queue_is_short_then_nothing),
        cmocka_unit_test(test_price_when_the_queue_is_not_known_then_nothing),
        cmocka_unit_test(test_price_when_the_queue_is_long_then_rises_to_the_highest),
        cmocka_unit_test(test_price_when_there_is_no_queue_any_more_then_falls_to_nothing),
        cmocka_unit_test(test_price_when_the_queue_is_emptied_now_and_then_then_falls),
        cmocka_unit_test(test_price_when_nobody_asks_then_it_is_over_within_a_second),
        cmocka_unit_test(test_price_when_held_up_before_a_long_queue_then_as_before),
        cmocka_unit_test(test_price_when_dropping_takes_more_time_than_answering_then_falls),
        cmocka_unit_test(test_price_when_most_do_not_pay_then_does_not_rise),
    };
    return cmocka_run_group_tests_name("front/queue_price", tests, nullptr, nullptr);
}
