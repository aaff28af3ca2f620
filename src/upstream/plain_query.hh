// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// PlainQuery: an inquiry on its way to one address in the clear, over a socket of its own: UDP,
// from a port that the kernel draws, with an ID and a spelling of the name that are drawn as well,
// so that nobody who does not see it can answer in the server's place (RFC 5452; L16). Where the
// answer is truncated, or does not match to the letter, it is asked for over TCP.

#pragma once

#include "base/buffer.hh"
#include "base/deadline.hh"
#include "base/fd.hh"
#include "base/loop.hh"
#include "dns/name.hh"
#include "upstream/inquiry.hh"
#include "upstream/plain_endpoint.hh"
#include "upstream/turn.hh"

#include <cstdint>

namespace dotproxy {

/// Its deadline is when to ask another address as well.
class PlainQuery final : public Watch, public Deadline {
  public:
    /// Who makes them, and is told what becomes of each. He frees none of them in a call.
    class Owner {
      public:
        /// It was answered. The inquiry may be over in the call.
        virtual void on_reply(PlainQuery& query, const Reply& reply) noexcept = 0;
        /// Nothing will come any more; `error` is that of the system.
        virtual void on_error(PlainQuery& query, const char* what, int error) noexcept = 0;

      protected:
        ~Owner() = default;
    };

    /// All outlive it, but for the inquiry: close() says that it is over.
    PlainQuery(Turn& turn, Owner& owner, PlainEndpoint& endpoint, Inquiry& inquiry) noexcept
        : turn_{turn}, owner_{owner}, endpoint_{endpoint}, inquiry_{&inquiry} {}

    /// Sends it. An error is told to the owner, at once.
    void start() noexcept;

    void on_ready(std::uint32_t events) noexcept override;

    /// Closes it, whatever may still come.
    void close() noexcept {
        inquiry_ = nullptr;
        watching_.end();
        socket_.reset();
        disarm();
    }

    [[nodiscard]] bool closed() const noexcept { return inquiry_ == nullptr; }

    /// Not of one that is closed.
    [[nodiscard]] Inquiry& inquiry() const noexcept { return *inquiry_; }

    [[nodiscard]] PlainEndpoint& endpoint() const noexcept { return endpoint_; }

    [[nodiscard]] TimePoint sent_at() const noexcept { return sent_at_; }

    PlainQuery* next{nullptr}; // of the same inquiry

  private:
    [[nodiscard]] bool open(int type) noexcept;
    void draw() noexcept;
    [[nodiscard]] std::size_t write(dns::MutableOctets out) const noexcept;
    void go_over_tcp() noexcept;
    void on_datagram() noexcept;
    void on_stream(std::uint32_t events) noexcept;
    void flush() noexcept;
    void take(dns::MutableOctets message) noexcept;
    [[nodiscard]] bool matches(dns::Octets message) const noexcept;

    Turn& turn_;
    Owner& owner_;
    PlainEndpoint& endpoint_;
    Inquiry* inquiry_;
    Fd socket_;
    Watching watching_; // after the socket: it ends first
    TimePoint sent_at_{};
    Buffer out_; // over TCP
    Buffer in_;
    dns::Name spelled_; // the name as it was sent; of size 0 where the query is signed
    std::uint16_t id_{0};
    bool stream_{false};
};

} // namespace dotproxy
