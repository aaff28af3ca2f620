// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Who is blocked, and for how long, by a clock that the tests set (limits 19 to 24 and 58).

#include "master/penalties.hh"

#include "unit.hh"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <vector>

using dotproxy::AddressBits;
using dotproxy::Block;
using dotproxy::Clock;
using dotproxy::Offence;
using dotproxy::Offender;
using dotproxy::Penalties;
using dotproxy::Prefix;
using dotproxy::TimePoint;
using dotproxy::Untouchables;
using namespace std::chrono_literals;

namespace {

Prefix prefix(const std::string& literal) {
    return Prefix::parse(literal).value();
}

/// A master's second after the other.
struct Court {
    Penalties penalties;
    Untouchables untouchables;
    std::vector<Offender> offenders;
    std::vector<std::string> lines;
    TimePoint now{1h};
    std::uint64_t dropped{0};
    std::uint64_t read{0};
    std::uint64_t lost{0};
    Clock::duration block_time{60s};
    bool counts_only{false};

    [[nodiscard]] Penalties::Terms terms() const {
        return {.block_time = block_time, .counts_only = counts_only, .untouchables = untouchables};
    }

    Offender& offender(const Prefix& whose, bool verified = false,
                       Offence offence = Offence::question) {
        offenders.push_back(
            {.culprit = {.prefix = whose, .offence = offence, .verified = verified, .limit = 100},
             .over = 0,
             .since = now,
             .last = now});
        return offenders.back();
    }

    /// Each is refused so many more in each of so many seconds.
    void pass(int seconds, std::uint64_t refused) {
        for (int i = 0; i < seconds; ++i) {
            now += 1s;
            for (Offender& one : offenders) {
                one.over += refused;
                one.last = refused > 0 ? now : one.last;
            }
            tend();
        }
    }

    void tend() {
        static_cast<void>(penalties.look(offenders, {now, dropped, read, lost}, terms()));
        penalties.expire({now, dropped});
        for (std::string& line : penalties.take_lines(now)) {
            lines.push_back(std::move(line));
        }
    }

    /// How long the only block has been decided to last.
    [[nodiscard]] Clock::duration length() const {
        assert_int_equal(penalties.blocks().size(), 1);
        return penalties.blocks().front().until - penalties.blocks().front().since;
    }

    /// Until it is blocked, and on until that is over.
    [[nodiscard]] Clock::duration serve_one() {
        offenders[0].last = now;
        tend();
        pass(10, 1000);
        const Clock::duration decided = length();
        now = penalties.blocks().front().until;
        tend(); // who is blocked is not heard of
        assert_true(penalties.blocks().empty());
        return decided;
    }
};

/// One who is known from a look on.
Court court_of(const std::string& whose, bool verified = false) {
    Court court;
    court.offender(prefix(whose), verified);
    court.tend();
    return court;
}

// limits 19
void test_look_when_ten_seconds_at_ten_times_then_blocked(void** /*state*/) {
    Court court = court_of("192.0.2.7");
    court.pass(9, 1000);
    assert_true(court.penalties.blocks().empty());
    court.pass(1, 1000);
    const Block& block = court.penalties.blocks().front();
    assert_true(block.prefix == prefix("192.0.2.7"));
    assert_true(block.until - block.since == 60s);
    assert_int_equal(court.penalties.begun(), 1);
    assert_int_equal(court.lines.size(), 1);
    assert_string_equal(court.lines[0].c_str(),
                        "blocks 192.0.2.7 for 60 s: 1000 questions a second over its limit of 100, "
                        "perhaps in its name by others: it is answered over TCP");
}

void test_look_when_a_second_is_below_ten_times_then_it_begins_anew(void** /*state*/) {
    Court court = court_of("192.0.2.7");
    court.pass(9, 1000);
    court.pass(1, 999);
    court.pass(9, 1000);
    assert_true(court.penalties.blocks().empty());
    court.pass(1, 0); // and after a silence
    court.pass(10, 1000);
    assert_true(court.penalties.blocks().empty());
    court.pass(1, 1000);
    assert_int_equal(court.penalties.blocks().size(), 1);
}

// limits 59: a flood that is more than is read is known by the part that is.
void test_look_when_most_is_lost_before_it_is_read_then_counted_as_sent(void** /*state*/) {
    for (const bool verified : {false, true}) {
        Court court = court_of("192.0.2.7", verified);
        for (int i = 0; i < 10; ++i) {
            court.read += 50'000;
            court.lost += 200'000;
            court.pass(1, 200); // of a thousand
        }
        // What comes over a connection is never lost.
        assert_int_equal(court.penalties.blocks().size(), verified ? 0 : 1);
        assert_true(verified || court.penalties.blocks().front().rate == 1000);
        // Nothing is lost any more: what is read is all there is.
        Court after = court_of("192.0.2.8", verified);
        after.read = court.read;
        after.lost = court.lost;
        after.pass(1, 200);
        after.pass(30, 999);
        assert_true(after.penalties.blocks().empty());
    }
}

// The part that is read differs from one second to the next.
void test_look_when_it_is_an_estimate_then_a_low_one_does_not_begin_anew(void** /*state*/) {
    Court court = court_of("192.0.2.7");
    for (int i = 0; i < 10; ++i) {
        court.read += 50'000;
        court.lost += 200'000;
        court.pass(1, i % 2 == 0 ? 280 : 160);
    }
    assert_int_equal(court.penalties.blocks().size(), 1);
}

// limits 49: what a worker has counted is not believed.
void test_look_when_nearly_all_is_lost_then_counted_for_a_hundred(void** /*state*/) {
    Court court = court_of("192.0.2.7");
    for (int i = 0; i < 20; ++i) {
        court.read += 1;
        court.lost += 1'000'000;
        court.pass(1, 9);
    }
    assert_true(court.penalties.blocks().empty());
}

void test_look_when_called_more_often_then_seconds_count(void** /*state*/) {
    Court court = court_of("192.0.2.7");
    for (int i = 0; i < 90; ++i) {
        court.now += 100ms;
        court.offenders[0].over += 100;
        court.offenders[0].last = court.now;
        court.tend();
    }
    assert_true(court.penalties.blocks().empty());
    // And a master that comes late takes the mean.
    Court late = court_of("192.0.2.7");
    for (int i = 0; i < 9; ++i) {
        late.now += 5s;
        late.offenders[0].over += 5000;
        late.offenders[0].last = late.now;
        late.tend();
    }
    assert_true(late.penalties.blocks().empty());
}

// limits 22
void test_look_when_verified_then_all_is_blocked(void** /*state*/) {
    Court court;
    court.offender(prefix("192.0.2.7"), true, Offence::miss);
    court.offender(prefix("2001:db8::/48"), false, Offence::miss);
    court.tend();
    court.pass(10, 1000);
    assert_int_equal(court.penalties.blocks().size(), 2);
    assert_true(court.penalties.blocks()[0].entire);
    assert_false(court.penalties.blocks()[1].entire);
    // Who may be a victim, and then shows that the address is its own.
    court.offender(prefix("2001:db8::/48"), true, Offence::connection);
    court.tend();
    court.pass(10, 1000);
    assert_int_equal(court.penalties.blocks().size(), 3);
    court.pass(11, 1000);
    assert_int_equal(court.penalties.blocks().size(), 3);
}

// limits 19: twice as long each time, an hour at most, and 60 s again after ten minutes.
void test_look_when_it_repeats_then_longer(void** /*state*/) {
    Court court = court_of("192.0.2.7");
    for (const Clock::duration expected : {60s, 120s, 240s, 480s, 960s, 1920s, 3600s, 3600s}) {
        assert_true(court.serve_one() == expected);
    }
    court.now += 9min + 45s;
    assert_true(court.serve_one() == 3600s);
    court.now += 10min;
    assert_true(court.serve_one() == 60s);
}

void test_expire_when_over_then_told(void** /*state*/) {
    Court court = court_of("192.0.2.7");
    court.pass(10, 1000);
    assert_true(court.penalties.nearest() == court.now + 60s);
    court.dropped += 4711;
    court.offenders.clear();
    court.pass(59, 0);
    assert_int_equal(court.penalties.blocks().size(), 1);
    court.pass(1, 0);
    assert_true(court.penalties.blocks().empty());
    assert_true(court.penalties.nearest() == TimePoint::max());
    assert_string_equal(court.lines.back().c_str(),
                        "no longer blocks 192.0.2.7, after 60 s; 4711 datagrams were dropped");
    assert_int_equal(court.penalties.suspect_count(), 0);
}

// limits 23: whatever workers have written.
void test_look_when_it_must_not_be_then_not_blocked(void** /*state*/) {
    Court court;
    court.untouchables = {.own = {prefix("198.51.100.1")},
                          .upstreams = {prefix("9.9.9.9"), prefix("2620:fe::fe")},
                          .proxies = {prefix("203.0.113.0/24")},
                          .networks = {}};
    court.untouchables.networks.set(prefix("10.8.0.0/16"), 0);
    court.untouchables.networks.set(prefix("10.8.9.0/24"), 10);
    for (const char* const never :
         {"127.0.0.1", "127.0.0.0/8", "::1", "::/0", "0.0.0.0/0", "198.51.100.1", "198.51.100.0/24",
          "9.9.9.9", "9.9.9.0/24", "2620:fe::/48", "203.0.113.7", "203.0.113.128/25", "10.8.7.7",
          "10.8.7.0/24", "10.8.0.0/16", "10.0.0.0/8"}) {
        court.offender(prefix(never), true);
    }
    court.tend();
    court.pass(30, 100'000);
    if (!court.penalties.blocks().empty()) {
        fail_msg("%s is blocked", court.penalties.blocks()[0].prefix.text().c_str());
    }
    court.offender(prefix("10.8.9.1"), true);
    court.tend();
    court.pass(10, 100'000);
    assert_int_equal(court.penalties.blocks().size(), 1);
    assert_string_equal(
        court.penalties.block(prefix("9.9.9.9"), 60s, {court.now, 0}, court.terms()),
        "an upstream is never blocked");
    // The configuration changes.
    court.untouchables.networks.set(prefix("10.8.9.0/24"), 0);
    court.penalties.spare({court.now, 0}, court.terms());
    assert_true(court.penalties.blocks().empty());
}

// What an administrator wants stays, whatever limits there are.
void test_spare_when_nobody_is_to_be_blocked_any_more_then_blocks_end(void** /*state*/) {
    Court court;
    court.offender(prefix("192.0.2.7"));
    court.tend();
    court.pass(10, 100'000);
    assert_null(court.penalties.block(prefix("198.51.100.7"), 60s, {court.now, 0}, court.terms()));
    assert_int_equal(court.penalties.blocks().size(), 2);
    court.block_time = 0s;
    court.penalties.spare({court.now, 0}, court.terms());
    assert_int_equal(court.penalties.blocks().size(), 1);
    assert_string_equal(court.penalties.blocks()[0].prefix.text().c_str(), "198.51.100.7");
}

void test_look_when_numbers_make_no_sense_then_nothing(void** /*state*/) {
    Court court;
    for (const double limit : {0.0, -1.0, std::nan(""), HUGE_VAL}) {
        court.offender(prefix("192.0.2.7")).culprit.limit = limit;
    }
    court.tend();
    court.pass(20, UINT64_MAX / 40);
    assert_true(court.penalties.blocks().empty());
    // A count that falls is one that began anew.
    court.offenders.clear();
    court.offender(prefix("192.0.2.7")).over = UINT64_MAX;
    court.tend();
    court.pass(11, 1000);
    assert_int_equal(court.penalties.blocks().size(), 1);
}

void test_look_when_block_time_is_0_then_nobody(void** /*state*/) {
    Court court = court_of("192.0.2.7");
    court.block_time = 0s;
    court.pass(30, 1000);
    assert_true(court.penalties.blocks().empty());
    assert_int_equal(court.penalties.suspects().size(), 1);
    assert_int_equal(court.penalties.suspects()[0].seconds, 30);
    assert_null(court.penalties.block(prefix("192.0.2.7"), 5s, {court.now, 0}, court.terms()));
    assert_int_equal(court.penalties.blocks().size(), 1);
}

// limits 26
void test_look_when_counting_then_would(void** /*state*/) {
    Court court = court_of("192.0.2.7", true);
    court.counts_only = true;
    court.pass(80, 1000);
    // Which goes on meanwhile, and is told once for each block.
    assert_int_equal(court.lines.size(), 3);
    assert_string_equal(
        court.lines[0].c_str(),
        "would block 192.0.2.7 for 60 s: 1000 questions a second over its limit of 100");
    assert_string_equal(court.lines[1].c_str(), "would no longer block 192.0.2.7, after 60 s");
    assert_memory_equal(court.lines[2].c_str(), "would block 192.0.2.7 for 120 s", 31);
}

// limits 24 and 58: 300 at once.
void test_look_when_many_then_as_many_as_there_is_room_for(void** /*state*/) {
    Court court;
    for (unsigned i = 0; i < 300; ++i) {
        court.offender(Prefix{{.high = 0, .low = 0xffff0a000000ULL + i * 256ULL}, 120}, i % 2 == 0);
    }
    court.tend();
    court.pass(10, 1000);
    assert_int_equal(court.penalties.blocks().size(), Penalties::capacity);
    assert_int_equal(court.lines.size(), 10);
    court.offenders.clear();
    // In each minute ten lines and one for the rest, whenever it begins.
    for (int i = 0; i < 10; ++i) {
        const std::size_t before = court.lines.size();
        court.pass(60, 0);
        assert_true(court.lines.size() - before <= 11);
    }
    const auto more = std::ranges::count_if(
        court.lines, [](const std::string& line) { return line.starts_with("and "); });
    assert_in_range(more, 1, 3);
    assert_true(std::ranges::find(court.lines,
                                  "and 246 more blocks began or ended; dotproxyctl limits lists "
                                  "what there is") != court.lines.end());
    assert_true(court.penalties.blocks().empty());
    assert_true(court.penalties.nearest() == TimePoint::max());
}

// limits 24
void test_unblock_when_one_of_many_then_it_alone(void** /*state*/) {
    Court court;
    const auto block = [&court](const char* whose, Clock::duration time) {
        assert_null(court.penalties.block(prefix(whose), time, {court.now, 0}, court.terms()));
    };
    block("192.0.2.0/24", 60s);
    block("192.0.2.7", 60s);
    block("2001:db8::/32", 60s);
    block("192.0.2.7", 5s); // in place of the other
    assert_int_equal(court.penalties.blocks().size(), 3);
    assert_false(court.penalties.unblock(prefix("192.0.2.8"), {court.now, 0}));
    assert_true(court.penalties.unblock(prefix("192.0.2.0/24"), {court.now, 0}));
    assert_int_equal(court.penalties.blocks().size(), 2);
    assert_true(court.penalties.nearest() == court.now + 5s);
    // Who is let go begins anew.
    Court other = court_of("192.0.2.7");
    static_cast<void>(other.serve_one());
    other.pass(11, 1000);
    assert_true(other.length() == 120s);
    assert_true(other.penalties.unblock(prefix("192.0.2.7"), {other.now, 0}));
    other.pass(11, 1000);
    assert_true(other.length() == 60s);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_look_when_ten_seconds_at_ten_times_then_blocked),
        cmocka_unit_test(test_look_when_a_second_is_below_ten_times_then_it_begins_anew),
        cmocka_unit_test(test_look_when_most_is_lost_before_it_is_read_then_counted_as_sent),
        cmocka_unit_test(test_look_when_it_is_an_estimate_then_a_low_one_does_not_begin_anew),
        cmocka_unit_test(test_look_when_nearly_all_is_lost_then_counted_for_a_hundred),
        cmocka_unit_test(test_look_when_called_more_often_then_seconds_count),
        cmocka_unit_test(test_look_when_verified_then_all_is_blocked),
        cmocka_unit_test(test_look_when_it_repeats_then_longer),
        cmocka_unit_test(test_expire_when_over_then_told),
        cmocka_unit_test(test_look_when_it_must_not_be_then_not_blocked),
        cmocka_unit_test(test_spare_when_nobody_is_to_be_blocked_any_more_then_blocks_end),
        cmocka_unit_test(test_look_when_numbers_make_no_sense_then_nothing),
        cmocka_unit_test(test_look_when_block_time_is_0_then_nobody),
        cmocka_unit_test(test_look_when_counting_then_would),
        cmocka_unit_test(test_look_when_many_then_as_many_as_there_is_room_for),
        cmocka_unit_test(test_unblock_when_one_of_many_then_it_alone),
    };
    return cmocka_run_group_tests_name("master/penalties", tests, nullptr, nullptr);
}
