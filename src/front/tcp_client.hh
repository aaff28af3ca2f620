// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// TcpClient: one client connection, over TLS or not, with DNS in frames or over HTTP. What is idle
// costs little: its buffers exist only while they hold something, and what TLS and HTTP take only
// where they are spoken.

#pragma once

#include "base/buffer.hh"
#include "base/deadline.hh"
#include "base/fd.hh"
#include "base/loop.hh"
#include "front/door.hh"
#include "front/tls_channel.hh"
#include "http/server.hh"
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

/// What questions and answers are in.
enum class Wire : std::uint8_t { frames, http };

/// States, as far as they are not plain from the members:
///   not announced   it is a proxy's, which has not said whose yet
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
              const Door& its_door, AddressCounts::Place its_place,
              AddressCounts::Place its_tls_place) noexcept
        : front{its_front}, socket{std::move(its_socket)}, peer{its_peer}, standing{its_standing},
          door{its_door}, place{std::move(its_place)}, tls_place{std::move(its_tls_place)},
          announced{!its_door.announces()}, wire{its_door.speaks.dot ? Wire::frames : Wire::http} {}

    void on_ready(std::uint32_t events) noexcept override;

    /// Whether nothing it says is a question yet.
    [[nodiscard]] bool shaking() const noexcept {
        return announced && over_tls() && (tls == nullptr || !tls->stream.ready());
    }

    [[nodiscard]] bool over_tls() const noexcept { return door.transport == Transport::tls; }

    /// Where answers in frames are written to.
    [[nodiscard]] Buffer& answers() noexcept {
        TlsChannel* const channel = tls.get();
        return channel == nullptr ? out : channel->plain;
    }

    /// How many octets of answers wait for the client to permit them; over HTTP it may keep them
    /// waiting though the connection is free (E47).
    [[nodiscard]] std::size_t withheld() const noexcept {
        return http != nullptr && !ended ? http->withheld() : 0;
    }

    /// How many octets of answers there are that could be written.
    [[nodiscard]] std::size_t writable() const noexcept {
        return out.size() + (tls != nullptr ? tls->plain.size() : 0) +
               (http != nullptr ? http->output().size() : 0);
    }

    /// How many octets there are of what was read and of what is to be written.
    [[nodiscard]] std::size_t holds() const noexcept {
        return in.size() + out.size() + (tls != nullptr ? tls->plain.size() : 0) +
               (http != nullptr ? http->held() + http->received() : 0);
    }

    TcpFront& front;
    Fd socket;
    Watching watching; // after the socket: it ends first
    Address peer;
    Standing standing;
    const Door& door;               // where it came in
    AddressCounts::Place place;     // among the connections of its address
    AddressCounts::Place tls_place; // the same of those over TLS
    Buffer in;                      // queries that were read and not yet taken, and a part of one
    Buffer out; // what is not written yet: answers, or the records that they are in
    std::unique_ptr<TlsChannel> tls;    // after out; from when its handshake begins
    std::unique_ptr<http::Server> http; // over HTTP, from when its version is known
    std::uint32_t events{0};
    std::uint32_t in_flight{0};
    std::uint64_t written{0};          // octets of answers that the kernel took, in all
    std::uint64_t read_before{0};      // of these, when it was last looked at, had arrived
    std::uint64_t to_read{0};          // and so many have to have by the end of its write time
    std::uint64_t permitted_before{0}; // the same of what it has to permit, over HTTP
    std::uint64_t to_permit{0};
    Reading reading{*this};
    std::size_t held{0};      // of in and out, as the front has counted them
    std::uint8_t nonsense{0}; // frames since the last one that was a question
    bool ended{false};
    bool closed{false};
    bool dirty{false};   // stands in the list of those to be flushed
    bool waiting{false}; // stands in the line of those to be read or written
    bool greeted{false}; // has sent a whole query
    bool stuck{false};   // has answers that the kernel does not take
    bool parting{false}; // of those that stay: served long enough by a worker that drains
    bool announced;      // its peer is who asks
    Wire wire;           // settled once it shakes hands no more
};

} // namespace dotproxy
