// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Endpoint: one address of one upstream, and how it fares: its tickets, its failures and when it
// may be tried again.

#pragma once

#include "base/address.hh"
#include "base/clock.hh"
#include "config/config.hh"
#include "http/client_session.hh"
#include "shared/counters.hh"
#include "tls/client_context.hh"
#include "tls/client_stream.hh"
#include "tls/identity.hh"
#include "tls/tickets.hh"
#include "upstream/query_wire.hh"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dotproxy {

/// Why an endpoint is out of use.
enum class Trouble : std::uint8_t {
    none,
    unreachable, // no connection, or none that answered anything
    silent,      // connected, then nothing came any more
    untrusted,   // it could not prove its identity
    busy,        // it says that it cannot answer now
    unfit,       // whoever answers there is no resolver
};

/// The addresses of an upstream in the order in which they are tried: the families take turns, the
/// first address leads (RFC 8305, section 4).
[[nodiscard]] std::vector<Address> in_turns(std::vector<Address> addresses);

/// How an endpoint is asked over HTTPS; nullptr where it is asked over TLS.
struct HttpsWay {
    http::ClientContext* context{nullptr};
    const http::Target* target{nullptr};
};

class Endpoint {
  public:
    /// `rank`: the place of its upstream in its group, 0 is asked first. All but `address` outlive
    /// the endpoint.
    Endpoint(unsigned rank, const UpstreamConfig& upstream, const Address& address,
             const tls::Identity& identity, const tls::ClientContext& context,
             UpstreamCounts& counts, HttpsWay https = {}) noexcept
        : rank_{rank}, upstream_{upstream}, address_{address}, identity_{identity},
          context_{context}, https_{https}, counts_{counts} {}

    [[nodiscard]] unsigned rank() const noexcept { return rank_; }

    [[nodiscard]] const Address& address() const noexcept { return address_; }

    [[nodiscard]] const tls::Identity& identity() const noexcept { return identity_; }

    [[nodiscard]] const UpstreamConfig& upstream() const noexcept { return upstream_; }

    /// What its sessions share with others.
    [[nodiscard]] const tls::ClientContext& context() const noexcept { return context_; }

    /// What is spoken with it.
    [[nodiscard]] tls::Spoken spoken() const noexcept {
        return https_.target != nullptr ? tls::Spoken::http2 : tls::Spoken::dot;
    }

    /// What a new connection to it carries; `id_mask` as for QueryWire.
    [[nodiscard]] std::unique_ptr<QueryWire> make_wire(std::uint16_t id_mask) const;

    /// What is counted of it, by this worker and those before it.
    [[nodiscard]] UpstreamCounts& counts() noexcept { return counts_; }

    [[nodiscard]] tls::Tickets& tickets() noexcept { return tickets_; }

    /// "cloudflare-dns.com at 1.1.1.1:853", for the log.
    [[nodiscard]] std::string text() const { return upstream_.text(address_); }

    /// It answered: whatever was wrong is over. Returns the trouble that ended.
    Trouble recover() noexcept;

    /// It failed. The next try may come after a pause that grows with how long it has been out of
    /// use: a 64th of that, from 50 ms to 10 s, so that recovery is noticed soon after a short
    /// outage and a long one costs little (L35, L36). The first failure after success costs no
    /// pause.
    void fail(Trouble trouble, std::string reason, TimePoint now, std::uint32_t random) noexcept;

    [[nodiscard]] Trouble trouble() const noexcept { return trouble_; }

    /// Whether a new connection has to answer a probe before it is trusted with questions: it fell
    /// silent, or answered in another way than with answers. Some servers never answer a query for
    /// the root's name servers: after two in vain a few questions are let through in their place,
    /// and if one is answered, always from then on.
    [[nodiscard]] bool must_answer_probe() const noexcept {
        return is_doubtful() && !drops_probes_ && probes_in_vain_ < most_probes_in_vain;
    }

    /// Whether it has proved its identity and was of no use then.
    [[nodiscard]] bool is_doubtful() const noexcept {
        return trouble_ == Trouble::silent || trouble_ == Trouble::busy ||
               trouble_ == Trouble::unfit;
    }

    /// Whether probes are known to be in vain, though questions are not.
    [[nodiscard]] bool drops_probes() const noexcept { return drops_probes_; }

    /// It is not to be asked before, as it has said itself (E86).
    void rest(TimePoint until) noexcept { rests_until_ = std::max(rests_until_, until); }

    [[nodiscard]] TimePoint rests_until() const noexcept { return rests_until_; }

    /// How many questions a connection may have in flight: fewer after it was too many, one more
    /// for each hundred answers from then on (E86), and twice as many after each few seconds.
    [[nodiscard]] std::size_t most_in_flight() const noexcept { return most_in_flight_; }

    /// One that was sent at `sent_at` was too many beside so many that are in flight still. Of
    /// those that were sent together the first one halves what may be, and the rest tells how many
    /// of them were not; a few are never too many at a time.
    void note_too_many(std::size_t in_flight, TimePoint sent_at, TimePoint now) noexcept;

    /// What became of a probe, on whichever connection.
    void note_probe(bool answered) noexcept {
        probes_in_vain_ = answered ? 0 : probes_in_vain_ + 1;
        drops_probes_ = drops_probes_ && !answered;
    }

    /// What became of the questions that were let through in place of a probe.
    void note_trial(bool answered) noexcept {
        probes_in_vain_ = 0;
        drops_probes_ = drops_probes_ || answered;
    }

    [[nodiscard]] const std::string& reason() const noexcept { return reason_; }

    /// Since when it is out of use; meaningful while trouble() is not none.
    [[nodiscard]] TimePoint down_since() const noexcept { return down_since_; }

    /// When it may be connected to again: after the pause of a failure, and with what is left of
    /// the connects it may have (L35).
    [[nodiscard]] TimePoint retry_at() const noexcept;

    /// A connection to it is being made. It may have a burst of those, then a few a second: one
    /// that closes after a single answer is not shaken hands with as often as there are questions.
    void note_connect(TimePoint now) noexcept;
    /// A connection to it was of use: each few answers earn another connect, so that one that
    /// closes after that many never waits (RFC 7766, section 6.2.3).
    void note_answer(TimePoint now) noexcept;

    /// When a connection to it was last of use; of the addresses of an upstream, the latest goes
    /// first.
    [[nodiscard]] TimePoint good_at() const noexcept { return good_at_; }

    void set_good_at(TimePoint when) noexcept { good_at_ = when; }

  private:
    static constexpr unsigned most_probes_in_vain = 2;

    unsigned rank_;
    const UpstreamConfig& upstream_;
    Address address_;
    const tls::Identity& identity_;
    const tls::ClientContext& context_;
    HttpsWay https_;
    UpstreamCounts& counts_;
    tls::Tickets tickets_;
    std::string reason_;
    TimePoint down_since_{};
    TimePoint retry_at_{TimePoint::min()};
    TimePoint paid_until_{}; // by which all connects so far are within the rate
    TimePoint good_at_{TimePoint::min()};
    TimePoint rests_until_{TimePoint::min()};
    std::size_t most_in_flight_{Slots::capacity};
    TimePoint restrained_at_{TimePoint::min()}; // when that was lowered
    unsigned answers_since_{0};                 // of the hundred
    unsigned failures_{0};                      // in a row
    unsigned probes_in_vain_{0};                // in a row
    bool drops_probes_{false};
    Trouble trouble_{Trouble::none};
};

} // namespace dotproxy
