// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A client's message, and every message that is made of it: the upstream query, an answer of our
// own, a failure. The first octet chooses the room for answers, the rest is the message.

#include "dns/local.hh"

#include "fuzz/fuzz.hh"

#include <algorithm>
#include <array>
#include <memory>

namespace {

using namespace dotproxy::dns;
using dotproxy::fuzz::require;

/// An exact allocation, so that the sanitizer sees the first octet read or written too far.
class Exact {
  public:
    explicit Exact(std::size_t size)
        : octets_{std::make_unique<std::uint8_t[]>(size)}, size_{size} {
        std::fill_n(octets_.get(), size, std::uint8_t{0xa5});
    }

    [[nodiscard]] MutableOctets span() { return {octets_.get(), size_}; }

  private:
    std::unique_ptr<std::uint8_t[]> octets_; // NOLINT(cppcoreguidelines-avoid-c-arrays)
    std::size_t size_;
};

void check_upstream_query(const ParsedQuery& query) {
    Exact out{max_query_size};
    const std::size_t size = write_query(query.question, 1, query.asker.keepalive, out.span());
    require(size <= max_query_size && size % 128 == 0, "the query fills blocks");
    ParsedQuery again;
    require(parse_query(out.span().first(size), again) == QueryVerdict::forward ||
                query.question.type == type::tkey,
            "our query is one");
    require(again.question == query.question, "our query asks what was asked");
    require(again.asker.edns && again.asker.padding, "our query has our OPT");
}

// An answer of ours is a sound response to the question, within its room.
void check_answer(Octets answer, const ParsedQuery& query, std::size_t limit) {
    require(answer.size() <= limit, "the answer keeps to its room");
    if (answer.empty() || (flags(answer) & flag::truncated) != 0 || qdcount(answer) == 0) {
        return;
    }
    Response response;
    require(parse_response(answer, query.question, response) == ResponseVerdict::accepted ||
                opcode(answer) != 0,
            "the answer answers");
    require(response.edns == query.asker.edns || opcode(answer) != 0, "an OPT for an OPT");
    require(id(answer) == query.asker.id, "the answer has the asker's ID");
    if (query.asker.cookie) {
        const Cookie& cookie = *query.asker.cookie;
        require(std::search(answer.begin(), answer.end(), cookie.begin(), cookie.end()) !=
                    answer.end(),
                "the answer has the asker's cookie");
    }
}

void check_answers(const ParsedQuery& query, std::size_t limit) {
    const Channel channel{.limit = limit, .keepalive = 100};
    const std::array<Name, 1> except{query.question.name};
    for (const LocalZones& zones :
         {LocalZones{.served = false, .except = {}}, LocalZones{.served = true, .except = {}},
          LocalZones{.served = true, .except = except}}) {
        Exact out{limit};
        if (const auto found = find_local(query.question, zones)) {
            const std::size_t size =
                write_local(*found, query.question, query.asker, channel, out.span());
            check_answer(out.span().first(size), query, limit);
        }
    }
    constexpr std::array<std::uint8_t, 6> text{'w', 'h', 0xc3, 0xbf, 'y', '?'};
    for (const Rcode rcode : {Rcode::formerr, Rcode::servfail, Rcode::notimp, Rcode::badvers}) {
        Exact out{limit};
        const ExtendedError error{.code = ExtendedError::network_error, .text = text};
        const std::size_t size =
            write_failure(rcode, error, &query.question, query.asker, channel, out.span());
        check_answer(out.span().first(size), query, limit);
        Exact bare{limit};
        require(write_failure(rcode, error, nullptr, query.asker, channel, bare.span()) <= limit,
                "the header keeps to its room");
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < 1) {
        return 0;
    }
    const Octets message{data + 1, size - 1};
    ParsedQuery query;
    query.cookie = message; // of an earlier message
    const QueryVerdict verdict = parse_query(message, query);
    if (verdict == QueryVerdict::drop) {
        require(query.cookie.empty(), "nothing is left of an earlier message");
        return 0;
    }
    const std::size_t limit = data[0] < 128 ? std::size_t{data[0]} * 8 : udp_limit(query.asker);
    require(query.question_end <= message.size(), "the question ends within the message");
    if (!query.cookie.empty()) {
        require(is_cookie_size(query.cookie.size()) && query.asker.edns, "a cookie is one");
        query.asker.cookie.emplace(); // what is in it is the relay's
        std::ranges::copy(query.cookie.first(client_cookie_size), query.asker.cookie->begin());
    }
    if (query.question_end == 0) {
        require(verdict == QueryVerdict::format_error || verdict == QueryVerdict::not_implemented ||
                    (verdict == QueryVerdict::cookie_only && !query.cookie.empty()),
                "nothing is forwarded without a question");
        Exact out{limit};
        require(write_failure(Rcode::badcookie, std::nullopt, nullptr, query.asker,
                              {.limit = limit, .keepalive = {}}, out.span()) <= limit,
                "the cookie keeps to its room");
        return 0;
    }
    require(query.asker.udp_payload_size >= classic_udp_size, "no less than 512 octets");
    check_upstream_query(query);
    check_answers(query, limit);
    return 0;
}
