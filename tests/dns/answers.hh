// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Answers as they are written for a client, and what they are made of.

#pragma once

#include "dns/answer.hh"
#include "dns/messages.hh"
#include "unit.hh"

#include <algorithm>
#include <array>
#include <optional>

namespace dotproxy::dns::test {

inline constexpr std::uint8_t poison = 0xa5; // L10: shows up where nothing was written

/// An answer, and whether its writer kept to its room.
class Written {
  public:
    Written() noexcept { out_.fill(poison); }

    MutableOctets room(std::size_t limit) noexcept { return MutableOctets{out_}.first(limit); }

    void close(std::size_t size) noexcept { size_ = size; }

    [[nodiscard]] Octets octets() const noexcept { return Octets{out_}.first(size_); }

    [[nodiscard]] bool untouched_behind(std::size_t limit) const noexcept {
        return std::ranges::all_of(Octets{out_}.subspan(limit),
                                   [](std::uint8_t octet) { return octet == poison; });
    }

  private:
    std::array<std::uint8_t, max_message_size + 1000> out_; // NOLINT: filled by the constructor
    std::size_t size_{0};
};

inline void answer(const Bytes& upstream, const ParsedQuery& query, const Channel& channel,
                   Written& written) {
    Response response;
    assert_true(parse_response(upstream.octets(), query.question, response) ==
                ResponseVerdict::accepted);
    written.close(write_answer(answer_of(upstream.octets(), response), query.question, query.asker,
                               channel, written.room(max_message_size)));
    assert_true(written.octets().size() <= channel.limit);
    assert_true(written.untouched_behind(channel.limit));
}

inline void refuse(Rcode rcode, const std::optional<ExtendedError>& error, const ParsedQuery& query,
                   const Channel& channel, Written& written) {
    written.close(write_failure(rcode, error, &query.question, query.asker, channel,
                                written.room(max_message_size)));
}

inline Message edns_query(Octets options = {}, std::uint32_t ttl = 0) {
    Message message = query("wWw.exAmple.com");
    message.opt(options, 4096, ttl);
    return message;
}

inline Message upstream(unsigned more_flags = 0) {
    Message message{7, response_flags | more_flags};
    message.question("www.example.com", type::a);
    return message.at(12, Section::answer, type::a, address);
}

} // namespace dotproxy::dns::test
