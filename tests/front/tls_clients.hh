// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A client that speaks DNS over TLS with a rig: a session of tests/tls over a real socket.

#pragma once

#include "front/tcp_clients.hh"
#include "tls/peer.hh"
#include "unit.hh"
#include "worker/rig.hh"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

namespace dotproxy::test {

class TlsClient {
  public:
    explicit TlsClient(const Address& server, const char* priority = "NORMAL")
        : tls{"dns.example", priority}, socket{server} {}

    /// Sends what there is to be sent and takes in what has come.
    void step() {
        if (!begun_) {
            begun_ = true;
            tls.take({});
        }
        unsent_.insert(unsent_.end(), tls.output.begin(), tls.output.end());
        tls.output.clear();
        const auto size = static_cast<std::ptrdiff_t>(
            socket.send_raw(std::span{unsent_}.first(std::min(at_a_time, unsent_.size()))));
        unsent_.erase(unsent_.begin(), unsent_.begin() + size);
        const Message come = socket.take_raw();
        count_records(come);
        tls.take(come);
        if (tls.shaken && !held_.empty()) {
            send(std::exchange(held_, {}));
        }
    }

    /// The same as soon as there is a session to send it in.
    void send_when_shaken(const Message& message) { held_ = message; }

    /// One message in its frame, in a record of its own.
    void send(const Message& message) {
        if (!tls.shaken) {
            send_when_shaken(message);
            step();
            return;
        }
        const Message frame = TcpClient::frame(message);
        tls.say({reinterpret_cast<const char*>(frame.data()), frame.size()});
        step();
    }

    /// The next whole answer; empty when there is none yet.
    [[nodiscard]] Message receive() {
        step();
        const auto octets = tls::test::octets(tls.received);
        if (octets.size() < 2 || octets.size() < 2U + dns::load16(octets, 0)) {
            return {};
        }
        const std::size_t end = 2U + dns::load16(octets, 0);
        const Message message{tls.received.begin() + 2,
                              tls.received.begin() + static_cast<std::ptrdiff_t>(end)};
        tls.received.erase(0, end);
        return message;
    }

    tls::test::AnyClient tls;
    TcpClient socket;
    std::size_t at_a_time{1U << 20U}; // octets in a step
    std::size_t records{0};           // that have come, whole

  private:
    void count_records(const Message& octets) {
        constexpr std::size_t head = 5;
        records_.insert(records_.end(), octets.begin(), octets.end());
        while (records_.size() >= head && records_.size() >= head + dns::load16(records_, 3)) {
            const std::size_t size = head + dns::load16(records_, 3);
            records_.erase(records_.begin(), records_.begin() + static_cast<std::ptrdiff_t>(size));
            ++records;
        }
    }

    tls::test::Octets unsent_;
    Message records_; // the beginning of one
    Message held_;
    bool begun_{false};
};

/// Connected, and known to the worker.
inline std::unique_ptr<TlsClient> connect_tls(Rig& rig, const char* priority = "NORMAL") {
    const std::uint64_t before = rig.count(Counter::tcp_accepted);
    auto client = std::make_unique<TlsClient>(rig.tls_address(), priority);
    assert_true(rig.until([&] { return rig.count(Counter::tcp_accepted) > before; }));
    return client;
}

/// Until the handshake is over on both sides.
inline void shake(Rig& rig, TlsClient& client) {
    const std::uint64_t before = rig.count(Counter::tls_handshakes);
    assert_true(rig.until([&] {
        client.step();
        return client.tls.shaken && rig.count(Counter::tls_handshakes) > before;
    }));
}

inline void exchange(Rig& rig, TlsClient& client, std::uint16_t id) {
    client.send(query("www.example", id));
    const Message answer = answer_to(rig, client);
    assert_int_equal(dotproxy::dns::id(answer), id);
    assert_int_equal(rcode(answer), 0);
}

/// Whether the client is told that nothing more comes, and then left.
inline bool left_in_order(Rig& rig, TlsClient& client) {
    return rig.until([&] {
        client.step();
        return client.tls.closed && client.socket.is_closed();
    });
}

} // namespace dotproxy::test
