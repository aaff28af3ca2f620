// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A worker whose turns a test takes by hand, between resolvers and clients of the test's own, all
// in one process and over real sockets on 127.0.0.1. The clock is the test's (clock.hh): until()
// lets octets go where they go while no time passes, pass() lets time pass.

#pragma once

#include "base/listener.hh"
#include "front/courtesy.hh"
#include "front/handover.hh"
#include "front/tcp_front.hh"
#include "front/udp_front.hh"
#include "relay/designations.hh"
#include "relay/gate.hh"
#include "relay/relay.hh"
#include "tls/client_context.hh"
#include "tls/peer.hh"
#include "tls/shop.hh"
#include "unit.hh"
#include "upstream/groups.hh"
#include "upstream/turn.hh"
#include "upstream/upstreams.hh"
#include "worker/clients.hh"
#include "worker/clock.hh"
#include "worker/resolver.hh"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace dotproxy::test {

using namespace std::chrono_literals;

/// Who is trusted, and a resolver that should be: made once for a program.
struct World {
    tls::test::Certificate authority{tls::test::issue({.authority = true})};
    tls::test::Certificate leaf{tls::test::issue({.dns = {"dns.example"}}, &authority)};
    tls::test::Certificate stranger{tls::test::issue({.dns = {"other.example"}}, &authority)};
    tls::test::Service service{{&leaf}, leaf};
    tls::test::Service untrusted{{&stranger}, stranger}; // its name is another one
    tls::test::TemporaryFile ca{authority.pem()};
    tls::ServerContext server_tls{tls::test::pairs_of({&leaf}), tls::test::ticket_key()};
    static constexpr std::size_t most_upstreams = 8;
    tls::ClientContexts contexts =
        tls::ClientContexts(most_upstreams, std::make_shared<const tls::ClientContext>(ca.path()));
};

class Rig {
  public:
    explicit Rig(World& world);

    /// Adds an upstream of the next rank; before open().
    Resolver& add_upstream(bool trusted = true);
    /// Makes the worker from `config`, which may not be changed any more.
    void open();

    /// Lets what is ready happen: a turn of the worker, a step of each resolver.
    void step();

    /// A step in which an order of the master comes in: what it makes the worker do.
    void in_turn(const std::function<void()>& what);

    /// Takes steps until `holds()`, at most so many that a wait of 1 ms each is 10 s. false: it
    /// never held.
    template <class Holds>
    [[nodiscard]] bool until(Holds holds) {
        for (int steps = 0; steps < 10'000; ++steps) {
            if (holds()) {
                return true;
            }
            step();
        }
        return false;
    }

    /// Lets time pass. The worker wakes when it asked for it, as in its own loop: a deadline that
    /// it does not report is missed. Fails the test when it asks to be woken again and again.
    void pass(Clock::duration time);

    /// Asks over UDP and waits for the answer; empty when none comes.
    [[nodiscard]] Message resolve(std::string_view name);

    template <class Key>
    [[nodiscard]] std::uint64_t count(Key key) const {
        return counters.slot(0).get(key);
    }

    /// Of all upstreams.
    [[nodiscard]] std::uint64_t count(UpstreamCounter counter) const {
        return of_upstreams(counter);
    }

    [[nodiscard]] std::uint64_t count(ConnectFailure failure) const {
        return of_upstreams(failure);
    }

    [[nodiscard]] std::uint64_t count(ClosedBy whom) const { return of_upstreams(whom); }

    /// Questions that failed here, whatever the reason.
    [[nodiscard]] std::uint64_t failures() const;

    /// What one upstream's first address counted.
    [[nodiscard]] const UpstreamCounts& upstream(std::size_t rank) const;

    [[nodiscard]] const Address& udp_address() const noexcept { return udp_address_; }

    [[nodiscard]] const Address& tcp_address() const noexcept { return tcp_address_; }

    /// Where TCP clients speak TLS, and in it DNS in frames, or HTTP where they say so.
    [[nodiscard]] const Address& tls_address() const noexcept { return tls_address_; }

    /// Where they speak HTTP in the clear; 127.0.0.1 is a proxy.
    [[nodiscard]] const Address& http_address() const noexcept { return http_address_; }

    /// Those of the default group.
    [[nodiscard]] Upstreams& upstreams() noexcept {
        return static_cast<Upstreams&>(worker_->groups[0]);
    }

    [[nodiscard]] Endpoints& endpoints() noexcept { return upstreams().endpoints(); }

    [[nodiscard]] HealthCheck& health_check() noexcept { return upstreams().health_check(); }

    [[nodiscard]] Gate& gate() noexcept { return worker_->gate; }

    [[nodiscard]] Relay& relay() noexcept { return worker_->relay; }

    [[nodiscard]] TcpFront& tcp() noexcept { return worker_->tcp; }

    [[nodiscard]] UdpFront& udp() noexcept { return worker_->udp; }

    /// What a turn does for streams; as it is by default, the test's clock makes it endless.
    [[nodiscard]] StreamBudget& streams() noexcept { return worker_->turn.streams; }

    /// For so long, more is asked than can be answered.
    void overload(Clock::duration time) {
        step();
        worker_->turn.overloaded_until = worker_->turn.now + time;
    }

    [[nodiscard]] TimePoint now() const noexcept { return worker_->turn.now; }

    [[nodiscard]] TimePoint nearest() noexcept;

    [[nodiscard]] World& world() noexcept { return world_; }

    Config config{};
    HealthCheck::Timing check_timing{.patience = 2min}; // before open()
    CounterRegion region{2};
    CounterLease counters; // of two workers, this one is the first; from open() on
    Handover handover{make_handover()};
    OnLink on_link;
    LimitsMemory limits;
    CookieSecrets cookie_secrets{CookieSecrets::draw()};
    /// None unless a test makes one, before open(); two workers may have the same.
    std::shared_ptr<const CacheMemory> cache;
    std::vector<std::unique_ptr<Resolver>> resolvers;

  private:
    struct Worker {
        Worker(Rig& rig, const tls::ClientContexts& contexts);

        Turn turn;
        Gate gate;
        Designations designations;
        Relay relay;
        Groups groups;
        Courtesy courtesy;
        UdpFront udp;
        TcpFront tcp;
    };

    template <class Key>
    [[nodiscard]] std::uint64_t of_upstreams(Key key) const {
        std::uint64_t sum = 0;
        region.for_each_row([&](unsigned row) { sum += counters.slot(0).upstream(row).get(key); });
        return sum;
    }

    World& world_;
    Listener udp_listener_;
    Listener tcp_listener_;
    Listener tls_listener_;
    Listener http_listener_;
    Address udp_address_;
    Address tcp_address_;
    Address tls_address_;
    Address http_address_;
    std::unique_ptr<Worker> worker_;
};

/// The next answer to a client; fails the test when none comes.
template <class Client>
Message answer_to(Rig& rig, Client& client) {
    Message answer;
    assert_true(rig.until([&] { return !(answer = client.receive()).empty(); }));
    return answer;
}

/// Waits until so many queries have come that were not answered.
inline void wait_for_queries(Rig& rig, const Resolver& resolver, std::size_t count) {
    assert_true(rig.until([&] { return resolver.asked.size() == count; }));
}

/// For a group: makes and frees its World.
int make_world(void** state);
int free_world(void** state);
/// For each test: makes and frees a Rig without upstreams.
int make_rig(void** state);
int free_rig(void** state);

} // namespace dotproxy::test
