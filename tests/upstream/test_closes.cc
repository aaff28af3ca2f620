// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Connections that end under load, a long way off: what was on them is asked again, in how many
// round trips, and how often.

#include "unit.hh"
#include "upstream/inquiry.hh"
#include "worker/rig.hh"
#include "worker/rig_names.hh"

#include <algorithm>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using dotproxy::Clock;
using dotproxy::max_sends;
using dotproxy::TimePoint;

namespace {

constexpr unsigned noerror = 0;
constexpr Clock::duration round_trip = 100ms;
// Into so many connections those that lost one are divided.
constexpr std::uint64_t most_groups = 8;

/// Asks names of its own over UDP of a resolver that is a round trip away, a millisecond at a time.
class Traffic {
  public:
    Traffic(Rig& rig, Resolver& resolver) : rig_{rig}, resolver_{resolver} {
        resolver.answers = false;
        for (std::size_t i = 0; i < client_count; ++i) {
            clients_.emplace_back(rig.udp_address());
        }
    }

    void ask(const std::string& name) {
        const auto id = static_cast<std::uint16_t>(asked_at_.size());
        asked_at_.push_back(Clock::now());
        clients_[id % client_count].send(query(name, id));
        rig_.step(); // few at a time, so that no socket's buffer is too small
    }

    /// A millisecond, in which `questions` more are asked.
    void millisecond(std::size_t questions = 0) {
        for (std::size_t i = 0; i < questions; ++i) {
            ask("n" + std::to_string(asked_at_.size()) + ".example");
        }
        while (!far_.empty() && far_.front().first + round_trip <= Clock::now()) {
            resolver_.answer(far_.front().second);
            far_.pop_front();
        }
        settle();
        rig_.pass(1ms);
    }

    /// Ends every connection, with all that is on its way there and back.
    void close_all() {
        for (std::size_t session = 0; session < resolver_.sessions(); ++session) {
            resolver_.close(session);
        }
        far_.clear();
    }

    /// From now on the resolver ends each connection on which it is asked for this name.
    void set_poison(std::string name) { poison_ = std::move(name); }

    [[nodiscard]] std::size_t asked() const { return asked_at_.size(); }

    [[nodiscard]] const std::map<std::string, std::size_t>& sends() const { return sends_; }

    [[nodiscard]] std::size_t most_sends() const {
        return std::ranges::max_element(sends_, {}, [](const auto& one) { return one.second; })
            ->second;
    }

    std::size_t good{0};
    std::size_t bad{0};
    Clock::duration longest{0};

  private:
    void settle() {
        for (int i = 0; i < 4; ++i) {
            rig_.step();
            for (Asked& one : std::exchange(resolver_.asked, {})) {
                ++sends_[one.name];
                if (one.name == poison_) {
                    resolver_.close(one.session, false);
                }
                far_.emplace_back(Clock::now(), std::move(one));
            }
            std::erase_if(
                far_, [this](const auto& one) { return !resolver_.is_open(one.second.session); });
            for (const UdpClient& client : clients_) {
                receive(client);
            }
        }
    }

    void receive(const UdpClient& client) {
        for (Message one = client.receive(); !one.empty(); one = client.receive()) {
            ++(rcode(one) == noerror ? good : bad);
            longest = std::max(longest, Clock::now() - asked_at_.at(dotproxy::dns::id(one)));
        }
    }

    // Hundreds are answered in one turn, which is more than fits into one socket.
    static constexpr std::size_t client_count = 16;

    Rig& rig_;
    Resolver& resolver_;
    std::vector<UdpClient> clients_;
    std::deque<TimePoint> asked_at_; // by ID
    std::deque<std::pair<TimePoint, Asked>> far_;
    std::map<std::string, std::size_t> sends_;
    std::string poison_;
};

// L34: three times all connections end under 6,000 questions a second, 600 of which are in flight.
void test_close_when_hundreds_are_in_flight_then_one_round_trip_is_lost(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    rig.open();
    Traffic traffic{rig, resolver};
    for (int close = 0; close < 3; ++close) {
        for (int i = 0; i < 350; ++i) {
            traffic.millisecond(6);
        }
        traffic.close_all();
    }
    for (int i = 0; i < 250 && !rig.relay().idle(); ++i) {
        traffic.millisecond();
    }
    traffic.millisecond(); // what was answered last
    assert_int_equal(traffic.bad, 0);
    assert_int_equal(traffic.good, traffic.asked());
    assert_int_equal(traffic.most_sends(), 2);
    assert_true(traffic.longest <= 2 * round_trip + 20ms);
    assert_true(rig.count(UpstreamCounter::connects) <= 1 + 3 * (1 + most_groups));
    assert_int_equal(rig.count(UpstreamCounter::failed), 0);
}

// L34, L81: all connections end twice within a round trip, and whoever was on both still has a
// send left.
void test_close_when_twice_in_a_row_then_nothing_is_lost(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    rig.open();
    Traffic traffic{rig, resolver};
    for (int i = 0; i < 300; ++i) {
        traffic.millisecond(1);
    }
    traffic.close_all();
    for (int i = 0; i < 50; ++i) {
        traffic.millisecond(1);
    }
    traffic.close_all();
    for (int i = 0; i < 3000 && !rig.relay().idle(); ++i) {
        traffic.millisecond();
    }
    traffic.millisecond(); // what was answered last
    assert_int_equal(traffic.bad, 0);
    assert_int_equal(traffic.good, traffic.asked());
    assert_true(traffic.most_sends() <= max_sends);
}

// L80, L81: one name breaks each connection under 2,000 questions a second. All others are
// answered, what is asked after the first break at most one reconnect late.
void test_close_when_for_one_name_among_hundreds_then_the_others_are_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    rig.open();
    Traffic traffic{rig, resolver};
    for (int i = 0; i < 300; ++i) {
        traffic.millisecond(2);
    }
    traffic.set_poison("poison.example");
    traffic.ask("poison.example");
    for (int i = 0; i < 300; ++i) {
        traffic.millisecond(2);
    }
    for (int i = 0; i < 2000 && !rig.relay().idle(); ++i) {
        traffic.millisecond();
    }
    traffic.millisecond(); // what was answered last
    assert_int_equal(traffic.bad, 1);
    assert_int_equal(traffic.good, traffic.asked() - 1);
    assert_int_equal(traffic.sends().at("poison.example"), max_sends);
    assert_true(traffic.most_sends() <= max_sends);
    assert_true(traffic.longest <= 10 * round_trip);
    assert_true(rig.relay().idle());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_close_when_hundreds_are_in_flight_then_one_round_trip_is_lost, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_close_when_twice_in_a_row_then_nothing_is_lost,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_close_when_for_one_name_among_hundreds_then_the_others_are_answered, make_rig,
            free_rig),
    };
    return cmocka_run_group_tests_name("upstream/closes", tests, make_world, free_world);
}
