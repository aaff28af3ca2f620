// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "worker/rig.hh"

#include <algorithm>
#include <unistd.h>

namespace dotproxy::test {

namespace {

/// What the kernel holds for a client that does not read is the same in every run: left alone, the
/// buffer grows as real time passes.
void fix_send_buffer(const Listener& listener) {
    const int size = 128 * 1024;
    ::setsockopt(listener.socket.get(), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

Address bound_address(const Listener& listener) {
    Address address;
    socklen_t size = Address::capacity;
    ::getsockname(listener.socket.get(), address.data(), &size);
    return address;
}

Config small_config() {
    Config config;
    config.workers = 2;
    config.timeouts = {.query = 5s,
                       .connect = 2s,
                       .client_idle = 10s,
                       .tls_idle = 30s,
                       .upstream_idle = 30s,
                       .drain = 10s};
    config.limits = {
        .queries = 8192, .tcp_clients = 64, .tls_clients = 64, .queries_per_client = 128};
    return config;
}

} // namespace

Rig::Worker::Worker(Rig& rig, const tls::ClientContexts& contexts)
    : turn{rig.config, rig.counters.slot(0)}, gate{turn, rig.on_link, rig.limits,
                                                   rig.cookie_secrets},
      designations{rig.config.listen, rig.world_.server_tls.certificates()},
      relay{turn, gate, groups, designations, rig.cache.get()}, groups{turn, contexts, rig.counters,
                                                                       relay, rig.check_timing},
      courtesy{turn, rig.counters}, udp{turn, gate, relay, courtesy, rig.udp_listener_},
      tcp{turn, gate, relay, courtesy, rig.counters, rig.handover, &rig.world_.server_tls} {}

Rig::Rig(World& world)
    : config{small_config()}, world_{world}, udp_listener_{open_listener(
                                                 Protocol::udp, *Address::parse("127.0.0.1", 0))},
      tcp_listener_{open_listener(Protocol::tcp, *Address::parse("127.0.0.1", 0))},
      tls_listener_{open_listener(Protocol::tcp, *Address::parse("127.0.0.1", 0))},
      http_listener_{open_listener(Protocol::tcp, *Address::parse("127.0.0.1", 0))},
      udp_address_{bound_address(udp_listener_)}, tcp_address_{bound_address(tcp_listener_)},
      tls_address_{bound_address(tls_listener_)}, http_address_{bound_address(http_listener_)} {
    tls_listener_.address = tls_address_;
    http_listener_.address = http_address_;
    for (const Listener* listener : {&tcp_listener_, &tls_listener_, &http_listener_}) {
        fix_send_buffer(*listener);
    }
    config.listen.push_back(
        {.address = tls_address_, .udp = false, .tcp = false, .dot = true, .doh = true});
    config.listen.push_back({.address = http_address_,
                             .udp = false,
                             .tcp = false,
                             .http = true,
                             .trusted = {*Prefix::parse("127.0.0.1")}});
}

Resolver& Rig::add_upstream(bool trusted) {
    resolvers.push_back(std::make_unique<Resolver>(trusted ? world_.service : world_.untrusted));
    config.upstreams.push_back(
        {.name = "dns.example", .addresses = {resolvers.back()->address()}, .pins = {}});
    return *resolvers.back();
}

void Rig::open() {
    counters = region.lease(2, config.upstream_texts());
    worker_ = std::make_unique<Worker>(*this, world_.contexts);
    assert_true(worker_->udp.open());
    assert_true(worker_->tcp.open(tcp_listener_));
    assert_true(worker_->tcp.open(tls_listener_));
    assert_true(worker_->tcp.open(http_listener_));
    assert_true(worker_->tcp.open_handover());
}

std::uint64_t Rig::failures() const {
    std::uint64_t sum = 0;
    for_each_of<FailureReason>([&](FailureReason reason) { sum += count(reason); });
    return sum - count(FailureReason::cached);
}

const UpstreamCounts& Rig::upstream(std::size_t rank) const {
    const UpstreamConfig& upstream = config.upstreams[rank];
    return counters.slot(0).upstream(counters.row_of(upstream.text(upstream.addresses.front())));
}

TimePoint Rig::nearest() noexcept {
    TimePoint earliest = TimePoint::max();
    worker_->relay.soonest(earliest);
    worker_->groups.soonest(earliest);
    worker_->tcp.soonest(earliest);
    worker_->courtesy.soonest(earliest);
    return earliest;
}

void Rig::step() {
    in_turn([] {});
}

void Rig::in_turn(const std::function<void()>& what) {
    // The order of a worker's turn.
    Worker& worker = *worker_;
    worker.turn.loop.wait_and_dispatch(std::min(nearest(), worker.turn.now + 1ms), worker.turn.now);
    what();
    if (worker.tcp.behind()) {
        worker.udp.flush();
    }
    worker.tcp.serve();
    worker.relay.expire();
    worker.groups.expire();
    worker.tcp.expire();
    worker.courtesy.expire();
    worker.groups.flush();
    worker.tcp.flush();
    worker.groups.bury();
    worker.tcp.bury();
    worker.udp.flush();
    worker.turn.end();
    for (const auto& resolver : resolvers) {
        resolver->step();
    }
}

void Rig::pass(Clock::duration time) {
    constexpr int most_turns = 10'000;
    const TimePoint target = Clock::now() + time;
    for (int i = 0; i < 3; ++i) {
        step(); // what is ready now is not to happen later
    }
    int turns = 0;
    for (TimePoint due = nearest(); due <= target; due = nearest()) {
        assert_in_range(++turns, 1, most_turns);
        set_clock(due);
        step();
    }
    set_clock(target);
}

Message Rig::resolve(std::string_view name) {
    const UdpClient client{udp_address()};
    client.send(query(name, 0x7777));
    Message answer;
    static_cast<void>(until([&] { return !(answer = client.receive()).empty(); }));
    return answer;
}

int make_world(void** state) {
    ::alarm(600); // a worker that never wakes ends the program, not the patience of who waits
    *state = std::make_unique<World>().release();
    return 0;
}

int free_world(void** state) {
    const std::unique_ptr<World> world{static_cast<World*>(*state)};
    return 0;
}

int make_rig(void** state) {
    *state = std::make_unique<Rig>(*static_cast<World*>(*state)).release();
    return 0;
}

int free_rig(void** state) {
    const std::unique_ptr<Rig> rig{static_cast<Rig*>(*state)};
    return 0;
}

} // namespace dotproxy::test
