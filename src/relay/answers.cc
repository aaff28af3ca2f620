// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "relay/answers.hh"

#include "relay/counted_as.hh"
#include "relay/gate.hh"

#include <algorithm>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

// Who waits longer has asked again. An address beyond "local" that may be another's gets nothing
// that was gathered for longer (DNSBomb; limits 34).
constexpr Clock::duration far_patience = 1900ms;

/// What there is of the RCODE in a header.
std::uint16_t rcode_of(dns::Octets message) noexcept {
    return dns::flags(message) & dns::flag::rcode_mask;
}

/// An answer as it was written.
struct Written {
    std::size_t size;
    std::uint16_t rcode; // with its upper bits
};

bool says_stale(const dns::Answer& answer) noexcept {
    return std::ranges::any_of(answer.said(), [](const dns::ExtendedError& error) {
        return error.code == dns::ExtendedError::stale_answer ||
               error.code == dns::ExtendedError::stale_nxdomain;
    });
}

} // namespace

/// Has an answer of at most `most` octets written where it goes out from, and counts it.
template <class Write>
void Answers::deliver(const Client& client, const dns::Asker& asker, std::size_t most,
                      Outcome outcome, Write write) noexcept {
    if (!client.verified && !client.standing.near && turn_.now - client.asked_at > far_patience) {
        turn_.counters.add(Counter::late_dropped);
        return;
    }
    dns::Channel channel = client.front->channel(client, asker);
    most += channel.encrypted ? dns::padding_room : 0;
    const dns::MutableOctets room =
        client.front->begin_answer(client, std::min(channel.limit, most));
    if (room.empty()) {
        return;
    }
    channel.limit = std::min(channel.limit, room.size());
    const Written written = write(channel, room);
    client.front->end_answer(client, written.size);
    if (!client.verified) {
        gate_.charge_answer(client, written.size);
    }
    turn_.counters.add(response_code(written.rcode));
    turn_.note(outcome, client.asked_at);
    if ((dns::flags(room) & dns::flag::truncated) != 0) {
        turn_.counters.add(Counter::truncated);
    }
}

void Answers::give(const Client& client, const dns::Question& question, const dns::Asker& asker,
                   const dns::Answer& answer, Outcome outcome) noexcept {
    if (client.front == nullptr) {
        return;
    }
    deliver(
        client, asker, dns::answer_room(answer, question), outcome,
        [&](const dns::Channel& channel, dns::MutableOctets room) {
            return Written{dns::write_answer(answer, question, asker, channel, room), answer.rcode};
        });
}

void Answers::give_instead(const Client& client, const dns::Question& question,
                           const dns::Asker& asker, const dns::Answer& answer) noexcept {
    const bool stale = says_stale(answer);
    if (client.front != nullptr && stale) {
        turn_.counters.add(Counter::cache_stale);
    }
    give(client, question, asker, answer, stale ? Outcome::stale : Outcome::hit);
}

void Answers::give_sealed(const Client& client, const dns::Question& question,
                          const dns::Asker& asker, dns::Octets message) noexcept {
    deliver(client, asker, message.size() + dns::answer_overhead, Outcome::miss,
            [&](const dns::Channel& channel, dns::MutableOctets room) {
                const std::size_t size = dns::write_sealed(message, question, asker, channel, room);
                return Written{size, rcode_of(room)};
            });
}

void Answers::give_failure(const Client& client, const dns::Question* question,
                           const dns::Asker& asker, dns::Rcode rcode,
                           const std::optional<dns::ExtendedError>& error,
                           Outcome outcome) noexcept {
    deliver(client, asker, dns::max_query_size + dns::answer_overhead, outcome,
            [&](const dns::Channel& channel, dns::MutableOctets room) {
                return Written{dns::write_failure(rcode, error, question, asker, channel, room),
                               static_cast<std::uint16_t>(rcode)};
            });
}

void Answers::give_no_answer(const Client& client, const dns::Question& question,
                             const dns::Asker& asker, const NoAnswer& why) noexcept {
    turn_.counters.add(why.reason);
    give_failure(client, &question, asker, dns::Rcode::servfail, why.error, Outcome::failed);
}

void Answers::give_local(const Client& client, const dns::LocalAnswer& found,
                         const dns::Question& question, const dns::Asker& asker) noexcept {
    deliver(client, asker, dns::max_udp_answer_size, Outcome::local,
            [&](const dns::Channel& channel, dns::MutableOctets room) {
                const std::size_t size = dns::write_local(found, question, asker, channel, room);
                return Written{size, rcode_of(room)};
            });
}

void Answers::give_truncated(const Client& client, const dns::Question& question,
                             const dns::Asker& asker) noexcept {
    deliver(client, asker, dns::max_query_size + dns::answer_overhead, Outcome::local,
            [&](const dns::Channel& channel, dns::MutableOctets room) {
                return Written{dns::write_truncated(question, asker, channel, room),
                               static_cast<std::uint16_t>(dns::Rcode::noerror)};
            });
}

} // namespace dotproxy
