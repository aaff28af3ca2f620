// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// HttpWire: a QueryWire where each query is a request over HTTP/2, as in DNS over HTTPS (RFC 8484).
// The stream tells which inquiry an answer is for, and all message IDs are 0. What came to nothing
// is told apart: whether the upstream has looked at it, and whether it says something about the
// upstream.

#pragma once

#include "http/client_session.hh"
#include "upstream/query_wire.hh"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace dotproxy {

class HttpWire final : public QueryWire {
  public:
    /// Both outlive it.
    HttpWire(http::ClientContext& context, const http::Target& target) noexcept
        : QueryWire{0}, target_{target}, session_{context, target} {}

    /// One stream is kept for a probe, where there is more than one.
    [[nodiscard]] bool has_room() const noexcept override;
    [[nodiscard]] std::uint16_t send(Inquiry& inquiry) noexcept override;
    void send_probe() noexcept override;
    /// A ping, and where the last one was answered and nothing else since, a probe (E88).
    void ask_for_life() noexcept override;
    [[nodiscard]] bool is_probed() const noexcept override;

    [[nodiscard]] bool can_probe() const noexcept override { return true; }

    void forget_probe() noexcept override;

    [[nodiscard]] std::size_t waiting() const noexcept override { return session_.waiting(); }

    [[nodiscard]] dns::Octets queued() noexcept override;

    [[nodiscard]] bool is_sound() const noexcept override { return session_.is_sound(); }

    std::size_t on_sent() noexcept override;

    [[nodiscard]] bool keeps_apart() const noexcept override { return true; }

    void feed(dns::Octets plain) noexcept override { session_.feed(plain); }

    [[nodiscard]] Arrival next() noexcept override;

    void keep_rest(TimePoint /*now*/) noexcept override {}

    /// Never: each answer has a stream of its own.
    [[nodiscard]] TimePoint partial_since() const noexcept override { return TimePoint::max(); }

    /// All of them may come bit by bit, in turns.
    [[nodiscard]] std::size_t partial_limit() const noexcept override {
        return slots_.taken() * http::ClientSession::body_limit;
    }

    /// Its stream is reset, and the slot free again.
    void forget(std::uint16_t slot) noexcept override;

  private:
    [[nodiscard]] Arrival arrival_of(const http::Event& event) noexcept;
    [[nodiscard]] Arrival answer(const http::Event& event) noexcept;
    [[nodiscard]] Arrival lost(std::uint16_t slot, Loss how, std::string reason) noexcept;
    [[nodiscard]] Arrival judge(const http::Event& event) noexcept;

    const http::Target& target_;
    http::ClientSession session_;
    std::vector<std::uint16_t> unsent_; // slots of inquiries whose requests are not written yet
    bool pinged_{false};                // and no answer to it has come
    bool pong_{false};                  // one has, and nothing else since
};

} // namespace dotproxy
