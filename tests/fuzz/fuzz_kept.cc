// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Kept answers. The first octet is the mode. 0xff: the rest is a kept answer and a key, as they
// could lie in memory that somebody scribbled over. Else: it chooses the type that was asked, the
// second octet the bounds of the TTLs, and the rest is an upstream's message, whose answer must be
// the same from the cache as straight from the message.

#include "dns/kept.hh"
#include "dns/key.hh"

#include "fuzz/asked.hh"
#include "fuzz/fuzz.hh"

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

namespace {

using namespace dotproxy::dns;
using dotproxy::fuzz::askers_of;
using dotproxy::fuzz::question_of;
using dotproxy::fuzz::require;
using std::chrono::seconds;

constexpr std::size_t choices = 2;
constexpr std::uint8_t hostile = 0xff;

using Buffer = std::vector<std::uint8_t>; // of exactly the size that may be used

Buffer answer_to(const Asker& asker, const Question& question, const Answer& answer,
                 std::size_t limit) {
    Buffer out(limit);
    out.resize(write_answer(answer, question, asker, {.limit = limit, .keepalive = 100}, out));
    return out;
}

void read_hostile(Octets octets) {
    for (const bool stale : {false, true}) {
        Buffer kept(octets.begin(), octets.end());
        const std::optional<Answer> answer = stale ? read_stale(kept) : read_kept(kept, seconds{9});
        if (!answer) {
            continue;
        }
        (void)dnssec_bogus(*answer);
        const Question question = question_of({}, 0);
        (void)keeping_of(*answer, question, {});
        for (const Asker& asker : askers_of(question)) {
            (void)answer_to(asker, question, *answer, classic_udp_size);
            (void)answer_to(asker, question, *answer, max_message_size);
        }
    }
    if (const std::optional<Question> question = read_key(octets)) {
        Buffer key(max_key_size);
        key.resize(put_key(*question, key));
        require(std::ranges::equal(key, octets), "a key that is read is the one that is written");
        Buffer query(max_query_size);
        require(write_query(*question, 1, true, query) <= query.size(), "a key makes a query");
    }
}

std::size_t record_count(const Answer& answer) {
    return std::size_t{answer.answers} + answer.authorities + answer.additionals;
}

// Where the TTLs stand among records that have been accepted.
std::vector<std::size_t> ttls_among(Octets records, std::size_t count) {
    std::vector<std::size_t> ttls;
    std::size_t at = 0;
    for (; count > 0; --count) {
        while (records[at] != 0 && records[at] < 0xc0) {
            at += records[at] + 1U;
        }
        at += records[at] == 0 ? 5U : 6U;
        ttls.push_back(at);
        at += 6U + load16(records, at + 4);
    }
    require(at == records.size(), "records add up");
    return ttls;
}

// An answer is kept for as long as the shortest of its TTLs, of which none has run out by then.
void check_last_second(Buffer kept, const Keeping& keeping) {
    require(keeping.ttl >= seconds{1} && keeping.ttl <= max_kept_ttl, "the TTL has bounds");
    const std::optional<Answer> last = read_kept(kept, keeping.ttl - seconds{1});
    require(last.has_value(), "what is kept can be read");
    for (const std::size_t at : ttls_among(last->records, record_count(*last))) {
        require(load32(last->records, at) >= 1, "no TTL ends before the answer does");
    }
}

// Without TTLs, what was kept and what came make the same answers.
void check_equal(Buffer kept, const Answer& direct, const Question& question) {
    const std::optional<Answer> back = read_kept(kept, seconds::max());
    require(back.has_value(), "what is kept can be read");
    Buffer records(direct.records.begin(), direct.records.end());
    for (const std::size_t at : ttls_among(records, record_count(direct))) {
        store32(records, at, 0);
    }
    Answer same = direct;
    same.records = records;
    for (const Asker& asker : askers_of(question)) {
        for (const std::size_t limit : {header_size, classic_udp_size, max_message_size}) {
            require(answer_to(asker, question, same, limit) ==
                        answer_to(asker, question, *back, limit),
                    "a kept answer is the direct one");
        }
    }
}

void keep_and_compare(Octets message, const Question& question, const TtlPolicy& policy) {
    Response response;
    if (parse_response(message, question, response) != ResponseVerdict::accepted) {
        return;
    }
    const Answer direct = answer_of(message, response);
    const Keeping keeping = keeping_of(direct, question, policy);
    if (keeping.keep == Keep::no) {
        return;
    }
    Buffer kept(max_kept_size);
    const std::size_t size = write_kept(direct, keeping, policy, kept);
    require(size > 0 && size <= max_kept_size, "what may be kept fits");
    kept.resize(size);
    Buffer less(size - 1);
    require(write_kept(direct, keeping, policy, less) == 0, "what does not fit is not written");
    if (keeping.keep == Keep::answer) {
        check_last_second(kept, keeping);
    }
    check_equal(kept, direct, question);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < choices) {
        return 0;
    }
    const Octets rest{data + choices, std::min(size - choices, max_kept_size)};
    if (data[0] == hostile) {
        read_hostile(rest);
        return 0;
    }
    const TtlPolicy policy{.min_ttl = seconds{data[1] & 0xf},
                           .max_ttl = seconds{std::int64_t{1} << (data[1] >> 3U)},
                           .max_negative_ttl = seconds{std::int64_t{1} << (data[1] >> 4U)}};
    const Octets message = rest.first(std::min(rest.size(), max_message_size));
    keep_and_compare(message, question_of(message, data[0]), policy);
    return 0;
}
