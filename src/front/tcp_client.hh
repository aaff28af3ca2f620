// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TcpClient: one client connection, over TLS or not. What is idle costs little: its buffers exist
// only while they hold something, and so does what TLS takes.

#pragma once

#include "base/buffer.hh"
#include "base/deadline.hh"
#include "base/fd.hh"
#include "base/loop.hh"
#include "front/tls_channel.hh"
#include "relay/address_counts.hh"
#include "relay/standing.hh"

#include <cstdint>
#include <memory>
#include <sys/socket.h>

namespace dotproxy {

class TcpFront;

/// Ends a connection on both sides, whatever is under way.
inline void reset(const Fd& socket) noexcept {
    const sockaddr nobody{.sa_family = AF_UNSPEC, .sa_data = {}};
    static_cast<void>(::connect(socket.get(), &nobody, sizeof nobody));
}

/// What lies between the frames and the socket.
enum class Transport : std::uint8_t { plain, tls };

/// States, as far as they are not plain from the members:
///   shaking   over TLS: there is no session yet, or it is not ready
///   reading   queries are taken; not so while the client has too many in flight or does not read
///   ended     the client will send nothing more; it gets the answers that are due, then is closed
///   closed    to be buried at the end of the turn
/// It is a Deadline for the time in which it has to ask something.
struct TcpClient final : Watch, Deadline {
    /// Its deadline as one who has answers to read.
    struct Reading : Deadline {
        explicit Reading(TcpClient& its_client) noexcept : client{its_client} {}

        TcpClient& client;
    };

    TcpClient(TcpFront& its_front, Fd its_socket, const Address& its_peer, Standing its_standing,
              Transport its_transport, AddressCounts::Place its_place,
              AddressCounts::Place its_tls_place) noexcept
        : front{its_front}, socket{std::move(its_socket)}, peer{its_peer}, standing{its_standing},
          transport{its_transport}, place{std::move(its_place)}, tls_place{
                                                                     std::move(its_tls_place)} {}

    void on_ready(std::uint32_t events) noexcept override;

    /// Whether nothing it says is a question yet.
    [[nodiscard]] bool shaking() const noexcept {
        return transport == Transport::tls && (tls == nullptr || !tls->stream.ready());
    }

    /// Where answers are written to.
    [[nodiscard]] Buffer& answers() noexcept {
        TlsChannel* const channel = tls.get();
        return channel == nullptr ? out : channel->plain;
    }

    /// How many octets of answers there are that the kernel has not taken.
    [[nodiscard]] std::size_t unsent() const noexcept {
        return out.size() + (tls != nullptr ? tls->plain.size() : 0);
    }

    TcpFront& front;
    Fd socket;
    Watching watching; // after the socket: it ends first
    Address peer;
    Standing standing;
    Transport transport;
    AddressCounts::Place place;     // among the connections of its address
    AddressCounts::Place tls_place; // the same of those over TLS
    Buffer in;                      // queries that were read and not yet taken, and a part of one
    Buffer out; // what is not written yet: answers, or the records that they are in
    std::unique_ptr<TlsChannel> tls; // after out; from when its handshake begins
    std::uint32_t events{0};
    std::uint32_t in_flight{0};
    std::uint64_t written{0};     // octets of answers that the kernel took, in all
    std::uint64_t read_before{0}; // of these, when it was last looked at, had arrived
    std::uint64_t to_read{0};     // and so many have to have by the end of its write time
    Reading reading{*this};
    std::size_t held{0};      // of in and out, as the front has counted them
    std::uint8_t nonsense{0}; // frames since the last one that was a question
    bool ended{false};
    bool closed{false};
    bool dirty{false};   // stands in the list of those to be flushed
    bool waiting{false}; // stands in the line of those to be read or written
    bool greeted{false}; // has sent a whole query
    bool stuck{false};   // has answers that the kernel does not take
    bool parting{false}; // over TLS: has been served long enough by a worker that drains
};

} // namespace dotproxy
