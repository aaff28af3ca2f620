// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Questions and askers for a message that a fuzzer made.

#pragma once

#include "dns/query.hh"
#include "dns/wire.hh"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace dotproxy::fuzz {

/// The question that `message` would answer: its own, with another type where `choice` is one of
/// the higher ones, or that of www.example.com.
inline dns::Question question_of(dns::Octets message, std::uint8_t choice) {
    constexpr std::array<std::uint8_t, 17> fallback{3,   'w', 'w', 'w', 7,   'e', 'x', 'a', 'm',
                                                    'p', 'l', 'e', 3,   'c', 'o', 'm', 0};
    dns::Question question;
    question.name.size = fallback.size();
    std::ranges::copy(fallback, question.name.octets.begin());
    question.type = dns::type::a;
    question.klass = dns::klass::in;
    if (message.size() < dns::header_size || choice >= 0xf0) {
        return question;
    }
    const std::optional<std::size_t> size = dns::name_extent(message, dns::header_size);
    if (!size || message.size() - dns::header_size - *size < 4) {
        return question;
    }
    dns::read_name(message, dns::header_size, question.name);
    question.type = dns::load16(message, dns::header_size + *size);
    question.klass = dns::load16(message, dns::header_size + *size + 2);
    if (choice >= 0x80) {
        question.type = choice;
    }
    return question;
}

/// Askers of each kind.
inline std::array<dns::Asker, 4> askers_of(const dns::Question& question) {
    std::array<dns::Asker, 4> askers;
    std::vector<std::uint8_t> upper(question.name.view().begin(), question.name.view().end());
    for (std::uint8_t& octet : upper) {
        octet = octet >= 'a' && octet <= 'z' ? static_cast<std::uint8_t>(octet - 0x20) : octet;
    }
    askers[1].spelling = dns::Spelling{upper};
    askers[1].flags = dns::flag::recursion_desired | dns::flag::authentic_data;
    askers[2].edns = askers[2].dnssec_ok = true;
    askers[3].edns = askers[3].subnet = askers[3].keepalive = askers[3].padding = true;
    return askers;
}

} // namespace dotproxy::fuzz
