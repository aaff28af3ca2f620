// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Messages whose answers are kept, for the tests of dns/kept.hh, and what their readers may use.

#pragma once

#include "dns/kept.hh"

#include "dns/messages.hh"

#include <string_view>

#include "unit.hh"

namespace dotproxy::dns::test {

using namespace std::chrono_literals;

constexpr std::uint8_t poison = 0xa5;
inline constexpr TtlPolicy wide{.min_ttl = 0s, .max_ttl = 7 * 24h, .max_negative_ttl = 7 * 24h};
constexpr std::uint32_t days7 = 604800;

/// Room for a kept answer, and whether its users stay in it.
class Room {
  public:
    Room() noexcept { octets_.fill(poison); }

    MutableOctets room(std::size_t size) noexcept {
        return MutableOctets{octets_}.subspan(64, size);
    }

    [[nodiscard]] bool untouched_outside(std::size_t size) const noexcept {
        const auto untouched = [](Octets octets) {
            return std::ranges::all_of(octets, [](auto octet) { return octet == poison; });
        };
        return untouched(Octets{octets_}.first(64)) &&
               untouched(Octets{octets_}.subspan(64 + size));
    }

  private:
    std::array<std::uint8_t, max_kept_size + 128> octets_; // NOLINT: filled by the constructor
};

inline Question question(std::string_view name = "www.example.com", unsigned qtype = type::a) {
    return parsed(query(name, qtype)).question;
}

inline Answer accepted(const Bytes& from, const Question& asked) {
    Response response;
    assert_true(parse_response(from.octets(), asked, response) == ResponseVerdict::accepted);
    return answer_of(from.octets(), response);
}

inline Message& add(Message& message, Section section, unsigned type, Octets rdata,
                    std::uint32_t ttl = 300, unsigned owner = header_size) {
    message.pointer(owner);
    return message.rest(section, type, rdata, klass::in, ttl);
}

inline Message with_address(std::uint32_t ttl) {
    Message message = response("www.example.com");
    return add(message, Section::answer, type::a, address, ttl);
}

inline Bytes soa_rdata(std::uint32_t minimum) {
    Bytes rdata;
    return rdata.pointer(16).pointer(16).u32(1).u32(2).u32(3).u32(4).u32(minimum);
}

/// An answer without addresses, with or without an alias, and with an SOA.
inline Message denial(unsigned rcode, std::uint32_t ttl, std::uint32_t minimum) {
    Message message{7, response_flags | rcode};
    message.question("www.example.com", type::a);
    return add(message, Section::authority, type::soa, soa_rdata(minimum).octets(), ttl, 16);
}

inline Keeping keeping(const Bytes& from, const TtlPolicy& policy = wide,
                       const Question& asked = question()) {
    return keeping_of(accepted(from, asked), asked, policy);
}

inline void assert_kept(const Keeping& found, bool negative, std::chrono::seconds ttl) {
    assert_true(found.keep == Keep::answer);
    assert_int_equal(found.negative, negative);
    assert_int_equal(found.ttl.count(), ttl.count());
}

inline void assert_not_kept(const Keeping& found) {
    assert_true(found.keep == Keep::no);
}

/// Keeps the answer in a message, and returns the octets.
inline MutableOctets keep(const Bytes& from, Room& into, const TtlPolicy& policy = wide,
                          const Question& asked = question()) {
    const Answer answer = accepted(from, asked);
    const Keeping found = keeping_of(answer, asked, policy);
    assert_true(found.keep != Keep::no);
    const std::size_t size = write_kept(answer, found, policy, into.room(max_kept_size));
    assert_true(size > 0);
    assert_true(into.untouched_outside(size));
    return into.room(size);
}

Answer accepted(const Bytes&&, const Question&) = delete; // the answer borrows from it

// The TTL of the last record, which is an address.
inline std::uint32_t last_ttl(const Answer& answer) {
    return load32(answer.records, answer.records.size() - 10);
}

} // namespace dotproxy::dns::test
