// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// PlainQuery: an inquiry on its way to one address in the clear, over a socket of its own: UDP,
// from a port that the kernel draws, with an ID and a spelling of the name that are drawn as well,
// so that nobody who does not see it can answer in the server's place (RFC 5452; L16). What is
// truncated, or does not match to the letter, can be asked for over TCP.

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
    /// Why nothing will come any more.
    struct Fault {
        const char* what{nullptr}; // nullptr: all is well
        int error{0};              // of the system
    };

    /// Who makes them, and is told what becomes of each. He frees none of them in a call.
    class Owner {
      public:
        /// It was answered. The inquiry may be over in the call.
        virtual void on_reply(PlainQuery& query, const Reply& reply) noexcept = 0;
        /// There is an answer to one that is alone, of which nothing more is to be known.
        virtual void on_sign_of_life(PlainQuery& query) noexcept = 0;
        /// What came over UDP is no answer yet; over TCP there may be one: go_over_tcp().
        virtual void on_cut(PlainQuery& query) noexcept = 0;
        /// Nothing will come any more.
        virtual void on_fault(PlainQuery& query, const Fault& fault) noexcept = 0;

      protected:
        ~Owner() = default;
    };

    /// All outlive it, but for the inquiry: close() or leave() says that it is over. `edns`: it is
    /// asked with an OPT.
    PlainQuery(Turn& turn, Owner& owner, PlainEndpoint& endpoint, Inquiry& inquiry,
               bool edns) noexcept
        : turn_{turn}, owner_{owner}, endpoint_{endpoint}, inquiry_{&inquiry}, edns_{edns} {}

    /// Sends it: over UDP, unless it is too long for that.
    [[nodiscard]] Fault start() noexcept;
    /// Sends it over TCP.
    [[nodiscard]] Fault go_over_tcp() noexcept;

    void on_ready(std::uint32_t events) noexcept override;

    /// Closes it, whatever may still come.
    void close() noexcept {
        inquiry_ = nullptr;
        watching_.end();
        socket_.reset();
        disarm();
    }

    [[nodiscard]] bool closed() const noexcept { return !socket_; }

    /// Its inquiry is over. Over UDP it still waits for a sign that the server lives.
    void leave() noexcept { inquiry_ = nullptr; }

    /// Whether it belongs to no inquiry.
    [[nodiscard]] bool alone() const noexcept { return inquiry_ == nullptr; }

    [[nodiscard]] bool over_tcp() const noexcept { return stream_; }

    /// Not of one that is alone.
    [[nodiscard]] Inquiry& inquiry() const noexcept { return *inquiry_; }

    [[nodiscard]] PlainEndpoint& endpoint() const noexcept { return endpoint_; }

    [[nodiscard]] TimePoint sent_at() const noexcept { return sent_at_; }

    [[nodiscard]] bool edns() const noexcept { return edns_; }

    PlainQuery* next{nullptr}; // of the same inquiry
    bool overdue{false};       // whoever waits for it asks elsewhere as well

  private:
    [[nodiscard]] Fault open(int type) noexcept;
    void draw() noexcept;
    [[nodiscard]] dns::Octets write(dns::MutableOctets room) const noexcept;
    [[nodiscard]] Fault send_datagram() noexcept;
    void on_datagram() noexcept;
    void on_stream(std::uint32_t events) noexcept;
    void flush() noexcept;
    void take(dns::MutableOctets message) noexcept;
    [[nodiscard]] bool matches(dns::Octets message) const noexcept;
    [[nodiscard]] bool knows_no_edns(dns::Octets message) const noexcept;

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
    bool edns_;
    bool stream_{false};
};

} // namespace dotproxy
