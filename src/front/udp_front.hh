// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// UdpFront: clients of one UDP socket. Datagrams are read many at a time and answered many at a
// time; an answer leaves from the address that was asked (C37).

#pragma once

#include "base/listener.hh"
#include "base/undumped.hh"
#include "front/queue_price.hh"
#include "relay/client.hh"
#include "upstream/turn.hh"

#include <array>
#include <cstdint>
#include <netinet/in.h>
#include <optional>
#include <sys/socket.h>

namespace dotproxy {

class Courtesy;
class Gate;
class Relay;

class UdpFront final : public Front, public Watch {
  public:
    /// `listener` outlives it.
    UdpFront(Turn& turn, Gate& gate, Relay& relay, Courtesy& courtesy, const Listener& listener);

    /// Starts to take queries; false when the kernel refuses.
    [[nodiscard]] bool open() noexcept;
    /// Takes no more queries; answers still leave.
    void drain() noexcept;

    void on_ready(std::uint32_t events) noexcept override;
    [[nodiscard]] dns::Channel channel(const Client& client,
                                       const dns::Asker& asker) const noexcept override;
    [[nodiscard]] std::optional<Address> asked_address(const Client& client) noexcept override;
    [[nodiscard]] dns::MutableOctets begin_answer(const Client& client,
                                                  std::size_t size) noexcept override;
    void end_answer(const Client& client, std::size_t size) noexcept override;
    void flush() noexcept;

  private:
    static constexpr std::size_t batch_size = 64;
    static constexpr std::size_t receive_size = 4096; // C24
    static constexpr std::size_t control_size = CMSG_SPACE(sizeof(in6_pktinfo));

    struct alignas(cmsghdr) Control {
        std::array<std::uint8_t, control_size> octets;
    };

    /// Of what came through a proxy: to be answered as its client's or as its own, or not at all
    /// (counted).
    enum class Whose : std::uint8_t { clients, proxys, nobodys };

    // The kernel reads and writes these; only what a batch uses of them is ever touched.
    struct Batch {
        std::array<mmsghdr, batch_size> headers;
        std::array<iovec, batch_size> parts;
        std::array<Address, batch_size> peers;
        std::array<Control, batch_size> controls;
    };

    struct Incoming : Batch {
        std::array<std::array<std::uint8_t, receive_size>, batch_size> octets;
    };

    struct Outgoing : Batch {
        std::array<std::array<std::uint8_t, dns::max_udp_answer_size>, batch_size> octets;
    };

    [[nodiscard]] bool read() noexcept;
    void look_at_queue() noexcept;
    void ask(const Client& client, dns::Octets message) noexcept;
    void take(std::size_t index) noexcept;
    [[nodiscard]] Whose find_asker(Client& client, dns::Octets& message) noexcept;
    void read_local(const msghdr& header, Client& client) const noexcept;
    void write_local(const Client& client, std::size_t index) noexcept;

    Turn& turn_;
    Gate& gate_;
    Relay& relay_;
    Courtesy& courtesy_;
    const Listener& listener_;
    const Access& access_;        // who may ask here
    const ListenConfig* proxied_; // nullptr unless proxies announce their clients
    bool wildcard_;
    QueuePrice price_;
    Undumped<Incoming> in_;
    Undumped<Outgoing> out_;
    std::size_t queued_{0};
};

} // namespace dotproxy
