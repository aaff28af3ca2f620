// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A group that is asked in the clear, against servers of its own here, turn by turn.

#include "upstream/plain_upstreams.hh"

#include "dns/messages.hh"
#include "shared/counter_region.hh"
#include "unit.hh"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <netinet/in.h>
#include <string>
#include <sys/socket.h>
#include <utility>
#include <vector>

#undef fail // a macro of cmocka

using namespace std::chrono_literals;
using namespace dotproxy;

namespace {

/// Counts what it is told.
class Told final : public Inquirer {
  public:
    explicit Told(Group*& group) noexcept : group_{group} {}

    void answered(Inquiry& inquiry, dns::Octets message, dns::ResponseVerdict verdict,
                  const dns::Response& response) noexcept override {
        ++answers;
        rcode = is_readable(verdict) ? response.rcode : std::uint16_t{0xffff};
        last.assign(message.begin(), message.end());
        group_->abandon(inquiry);
    }

    void failed(Inquiry& inquiry, const NoAnswer& why) noexcept override {
        ++failures;
        reason = why.reason;
        group_->abandon(inquiry);
    }

    void recovered() noexcept override { ++recoveries; }

    std::size_t answers{0};
    std::size_t failures{0};
    std::size_t recoveries{0};
    std::uint16_t rcode{0};
    FailureReason reason{};
    std::vector<std::uint8_t> last;

  private:
    Group*& group_;
};

/// A server's socket, on an address of its own.
class Server {
  public:
    Server() {
        socklen_t size = sizeof name_;
        name_.sin_family = AF_INET;
        name_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        assert_int_equal(::bind(socket_.get(), address(), size), 0);
        assert_int_equal(::getsockname(socket_.get(), address(), &size), 0);
    }

    [[nodiscard]] std::uint16_t port() const noexcept { return ntohs(name_.sin_port); }

    /// The next query; empty: there is none.
    std::vector<std::uint8_t> take() {
        std::vector<std::uint8_t> query(512);
        socklen_t size = sizeof peer_;
        const ssize_t count = ::recvfrom(socket_.get(), query.data(), query.size(), MSG_DONTWAIT,
                                         reinterpret_cast<sockaddr*>(&peer_), &size);
        query.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
        return query;
    }

    /// Says `message` to whoever asked last.
    void say(const std::vector<std::uint8_t>& message) const {
        const auto* peer = reinterpret_cast<const sockaddr*>(&peer_);
        assert_true(::sendto(socket_.get(), message.data(), message.size(), 0, peer,
                             sizeof peer_) == static_cast<ssize_t>(message.size()));
    }

  private:
    [[nodiscard]] sockaddr* address() noexcept { return reinterpret_cast<sockaddr*>(&name_); }

    Fd socket_{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    sockaddr_in name_{};
    sockaddr_in peer_{};
};

/// A group of servers at these addresses.
class Rig {
  public:
    explicit Rig(const std::vector<std::pair<std::string, std::uint16_t>>& addresses) {
        config_.groups = {"router"};
        config_.timeouts.query = 1000ms; // a datagram is missed after 225
        for (const auto& [address, port] : addresses) {
            config_.upstreams.push_back({.name = {},
                                         .addresses = {*Address::parse(address, port)},
                                         .pins = {},
                                         .plain = true});
        }
        lease_ = region_.lease(1, config_.upstream_texts());
        turn_ = std::make_unique<Turn>(config_, lease_.slot(0));
        turn_->now = Clock::now();
        group_ = std::make_unique<PlainUpstreams>(*turn_, 0, lease_, told);
        seen_ = group_.get();
    }

    void submit(std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) {
            Inquiry& inquiry = *inquiries_.emplace_back(std::make_unique<Inquiry>());
            const std::string label = "n" + std::to_string(inquiries_.size() - 1);
            dns::test::Bytes name;
            name.name(label + ".lan");
            std::ranges::copy(name.octets(), inquiry.question.name.octets.begin());
            inquiry.question.name.size = static_cast<std::uint8_t>(name.size());
            inquiry.question.type = dns::type::a;
            inquiry.question.klass = dns::klass::in;
            inquiry.question.recursion_desired = true;
            group_->submit(inquiry);
        }
    }

    /// One turn; it waits for nothing.
    void turn() {
        turn_->loop.wait_and_dispatch(TimePoint::min(), turn_->now);
        group_->expire();
        group_->flush();
        group_->bury();
    }

    /// Turns until that is so.
    template <class Condition>
    void run_until(Condition holds) {
        const TimePoint until = Clock::now() + 20s;
        while (!holds()) {
            assert_true(Clock::now() < until);
            turn();
        }
    }

    [[nodiscard]] Inquiry& last() noexcept { return *inquiries_.back(); }

    [[nodiscard]] std::uint64_t count(unsigned row, UpstreamCounter which) {
        return lease_.sum(row, which);
    }

  private:
    Config config_;
    CounterRegion region_{1};
    CounterLease lease_;
    std::unique_ptr<Turn> turn_;
    Group* seen_{nullptr};
    std::vector<std::unique_ptr<Inquiry>> inquiries_;

  public:
    Told told{seen_};

  private:
    std::unique_ptr<PlainUpstreams> group_;
};

/// What is said to a query: its header and question, with these flags.
std::vector<std::uint8_t> reply_to(std::vector<std::uint8_t> query, unsigned flags) {
    std::size_t end = dns::header_size;
    while (query[end] != 0) {
        end += query[end] + 1U;
    }
    query.resize(end + 5);
    dns::set_flags(query, static_cast<std::uint16_t>(flags));
    dns::set_counts(query, 1, 0, 0, 0);
    return query;
}

constexpr unsigned noerror = 0x8180;
constexpr unsigned formerr = 0x8181;
constexpr unsigned servfail = 0x8182;
constexpr unsigned cut = 0x8380;

using Addresses = std::vector<std::pair<std::string, std::uint16_t>>;

std::vector<std::uint8_t> next_query(Rig& rig, Server& server) {
    std::vector<std::uint8_t> query;
    rig.run_until([&] { return !(query = server.take()).empty(); });
    return query;
}

bool has_opt(const std::vector<std::uint8_t>& query) {
    return dns::arcount(query) == 1;
}

// There is no way to it: that is seen as it is asked, by more than there are places for.
void test_ask_when_nobody_can_be_reached_then_all_fail(void** /*state*/) {
    Rig rig{Addresses{{"fe80::1%lo", 53}, {"fe80::2%lo", 53}}};
    constexpr std::size_t many = 3000;
    rig.submit(many);
    rig.run_until([&] { return rig.told.failures == many; });
    assert_int_equal(rig.told.answers, 0);
    assert_true(rig.told.reason == FailureReason::unreachable);
}

// L81: whatever the causes are.
void test_ask_when_nothing_comes_then_three_times(void** /*state*/) {
    Server server;
    Rig rig{Addresses{{"127.0.0.1", server.port()}}};
    rig.submit(1);
    std::size_t queries = 0;
    rig.run_until([&] {
        queries += server.take().empty() ? 0U : 1U;
        return rig.told.failures == 1;
    });
    assert_int_equal(queries, max_sends);
}

void test_ask_when_cut_and_nobody_speaks_tcp_then_fails(void** /*state*/) {
    Server server;
    Rig rig{Addresses{{"127.0.0.1", server.port()}}};
    rig.submit(1);
    server.say(reply_to(next_query(rig, server), cut));
    rig.run_until([&] { return rig.told.failures == 1; });
    assert_true(server.take().empty());
    assert_int_equal(rig.count(0, UpstreamCounter::queries), 2);
}

// L81: nothing is left for TCP.
void test_ask_when_cut_at_the_third_then_fails(void** /*state*/) {
    Server server;
    Rig rig{Addresses{{"127.0.0.1", server.port()}}};
    rig.submit(1);
    static_cast<void>(next_query(rig, server));
    static_cast<void>(next_query(rig, server));
    server.say(reply_to(next_query(rig, server), cut));
    rig.run_until([&] { return rig.told.failures == 1; });
    assert_int_equal(rig.count(0, UpstreamCounter::queries), max_sends);
}

// RFC 6891, section 6.2.2: what was sent before that was known is asked again as well.
void test_ask_when_the_server_knows_no_edns_then_without(void** /*state*/) {
    Server server;
    Rig rig{Addresses{{"127.0.0.1", server.port()}}};
    rig.submit(8);
    rig.run_until([&] {
        while (true) {
            const auto query = server.take();
            if (query.empty()) {
                return rig.told.answers == 8;
            }
            auto reply = reply_to(query, has_opt(query) ? formerr : noerror);
            if (has_opt(query) && dns::id(query) % 2 == 0) { // some say so in a bare header
                reply.resize(dns::header_size);
                dns::set_counts(reply, 0, 0, 0, 0);
            }
            server.say(reply);
        }
    });
    assert_int_equal(rig.told.rcode, 0);
    rig.submit(1);
    assert_false(has_opt(next_query(rig, server)));
}

// That it cannot read one query says nothing of the others.
void test_ask_when_one_query_is_not_understood_then_edns_stays(void** /*state*/) {
    Server server;
    Rig rig{Addresses{{"127.0.0.1", server.port()}}};
    rig.submit(1);
    for (const bool edns : {true, false}) {
        const auto query = next_query(rig, server);
        assert_true(has_opt(query) == edns);
        server.say(reply_to(query, formerr));
    }
    rig.run_until([&] { return rig.told.answers == 1; });
    assert_int_equal(rig.told.rcode, 1);
    rig.submit(1);
    assert_true(has_opt(next_query(rig, server)));
}

// L82, and who is silent does not keep the failure of another one back.
void test_ask_when_one_fails_and_the_other_is_silent_then_the_failure(void** /*state*/) {
    Server one;
    Server other;
    Rig rig{Addresses{{"127.0.0.1", one.port()}, {"127.0.0.1", other.port()}}};
    rig.submit(1);
    one.say(reply_to(next_query(rig, one), servfail));
    static_cast<void>(next_query(rig, other));
    rig.run_until([&] { return rig.told.answers == 1; });
    assert_int_equal(rig.told.rcode, 2);
    assert_int_equal(rig.told.failures, 0);
}

// A datagram may be lost, and the other one does not listen: the first is asked again.
void test_ask_when_one_was_lost_and_the_other_refuses_then_the_first_again(void** /*state*/) {
    Server one;
    std::uint16_t nobody = 0;
    {
        const Server gone;
        nobody = gone.port();
    }
    Rig rig{Addresses{{"127.0.0.1", one.port()}, {"127.0.0.1", nobody}}};
    rig.submit(1);
    static_cast<void>(next_query(rig, one));
    one.say(reply_to(next_query(rig, one), noerror));
    rig.run_until([&] { return rig.told.answers == 1; });
    assert_int_equal(rig.told.rcode, 0);
}

// Who was silent before says that it fails: that is the answer.
void test_ask_when_lost_and_then_an_error_then_that_at_once(void** /*state*/) {
    Server server;
    Rig rig{Addresses{{"127.0.0.1", server.port()}}};
    rig.submit(1);
    static_cast<void>(next_query(rig, server));
    server.say(reply_to(next_query(rig, server), servfail));
    rig.run_until([&] { return rig.told.answers + rig.told.failures == 1; });
    assert_int_equal(rig.told.rcode, 2);
    assert_int_equal(rig.told.answers, 1);
    assert_int_equal(rig.count(0, UpstreamCounter::queries), 2);
}

// Who waits in vain leaves a place to who waits for one.
void test_ask_when_silent_ones_have_all_places_then_the_oldest_leave(void** /*state*/) {
    Server server;
    Rig rig{Addresses{{"127.0.0.1", server.port()}}};
    rig.submit(most_plain_queries);
    rig.run_until([&] { // each name is asked for three times, and all are held
        while (!server.take().empty()) {
        }
        return rig.count(0, UpstreamCounter::queries) >= most_plain_queries * max_sends;
    });
    rig.submit(1);
    std::vector<std::uint8_t> query;
    rig.run_until([&] {
        while (!(query = server.take()).empty()) {
            const dns::Octets name{query};
            constexpr std::size_t label = 4; // n256
            if (name[dns::header_size] == label && name[dns::header_size + 2] == '2' &&
                name[dns::header_size + 3] == '5' && name[dns::header_size + 4] == '6') {
                server.say(reply_to(query, noerror));
            }
        }
        return rig.told.answers == 1;
    });
}

// A server that has been failing is asked besides, and nobody waits for it.
void test_ask_when_the_first_is_dead_then_few_wait_for_it(void** /*state*/) {
    Server dead;
    Server good;
    Rig rig{Addresses{{"127.0.0.1", dead.port()}, {"127.0.0.1", good.port()}}};
    const auto answer = [&] {
        for (auto query = good.take(); !query.empty(); query = good.take()) {
            good.say(reply_to(query, noerror));
        }
    };
    rig.submit(2); // two in vain are a failure
    rig.run_until([&] {
        answer();
        return rig.told.answers == 2;
    });
    while (!dead.take().empty()) {
    }
    const std::uint64_t before = rig.count(0, UpstreamCounter::queries);
    std::size_t asked = 2;
    const TimePoint until = Clock::now() + 2s;
    while (Clock::now() < until) {
        rig.submit(1);
        ++asked;
        rig.run_until([&] {
            answer();
            return rig.told.answers == asked;
        });
    }
    const std::uint64_t probes = rig.count(0, UpstreamCounter::queries) - before;
    assert_in_range(probes, 1, asked / 2); // there are pauses, from a quarter of a second on
    assert_int_equal(rig.told.recoveries, 0);
    // It lives again: who has its answer already is told that as well, and it is the first again.
    while (!dead.take().empty()) {
    }
    rig.run_until([&] {
        rig.submit(1);
        ++asked;
        rig.run_until([&] {
            answer();
            return rig.told.answers == asked;
        });
        const auto query = dead.take();
        return !query.empty() && (dead.say(reply_to(query, noerror)), true);
    });
    rig.run_until([&] { return rig.told.recoveries == 1; });
    rig.submit(1);
    static_cast<void>(next_query(rig, dead));
    assert_true(good.take().empty());
}

// RFC 8945, section 5.3: a signed query is sent whole, and over TCP where it is too long for UDP.
void test_ask_when_a_signed_query_is_long_then_not_over_udp(void** /*state*/) {
    Server server;
    Rig rig{Addresses{{"127.0.0.1", server.port()}}};
    rig.submit(1);
    rig.last().sealed.assign(60000, 0);
    rig.run_until([&] { return rig.told.failures == 1; }); // nobody listens there
    assert_true(server.take().empty());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_ask_when_nobody_can_be_reached_then_all_fail),
        cmocka_unit_test(test_ask_when_nothing_comes_then_three_times),
        cmocka_unit_test(test_ask_when_cut_and_nobody_speaks_tcp_then_fails),
        cmocka_unit_test(test_ask_when_cut_at_the_third_then_fails),
        cmocka_unit_test(test_ask_when_the_server_knows_no_edns_then_without),
        cmocka_unit_test(test_ask_when_one_query_is_not_understood_then_edns_stays),
        cmocka_unit_test(test_ask_when_one_fails_and_the_other_is_silent_then_the_failure),
        cmocka_unit_test(test_ask_when_one_was_lost_and_the_other_refuses_then_the_first_again),
        cmocka_unit_test(test_ask_when_lost_and_then_an_error_then_that_at_once),
        cmocka_unit_test(test_ask_when_silent_ones_have_all_places_then_the_oldest_leave),
        cmocka_unit_test(test_ask_when_the_first_is_dead_then_few_wait_for_it),
        cmocka_unit_test(test_ask_when_a_signed_query_is_long_then_not_over_udp),
    };
    return cmocka_run_group_tests_name("plain_upstreams", tests, nullptr, nullptr);
}
