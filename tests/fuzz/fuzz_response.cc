// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// An upstream's message, and the answers to different askers that are made of it. The first octet
// chooses the type that was asked, the second and third the room for one of the answers; the rest
// is the message. The name that was asked is the message's own, or else www.example.com.

#include "dns/answer.hh"
#include "dns/excerpt.hh"

#include "fuzz/asked.hh"
#include "fuzz/fuzz.hh"

#include <algorithm>
#include <memory>
#include <optional>
#include <vector>

namespace {

using namespace dotproxy::dns;
using dotproxy::fuzz::askers_of;
using dotproxy::fuzz::question_of;
using dotproxy::fuzz::require;

constexpr std::size_t choices = 3;

void check_answer(Octets answer, const Question& question, const Answer& from, const Asker& asker,
                  std::size_t limit) {
    require(answer.size() <= limit, "the answer keeps to its room");
    if (answer.size() <= header_size) {
        return;
    }
    const bool cut = (flags(answer) & flag::truncated) != 0;
    Response again;
    const ResponseVerdict verdict = parse_response(answer, question, again);
    require(verdict == (cut ? ResponseVerdict::truncated : ResponseVerdict::accepted),
            "an accepted response makes an acceptable answer");
    if (cut) {
        require(ancount(answer) == 0 && nscount(answer) == 0, "TC comes without records");
        return;
    }
    require(again.edns == asker.edns, "an OPT for an OPT");
    require(again.answers == from.answers && again.authorities == from.authorities &&
                again.additionals == from.additionals,
            "records are all there");
    require(again.body_end - again.question_end == from.records.size(), "records keep their size");
    require(again.rcode == from.rcode || !asker.edns, "RCODE is passed on");
    require(again.error_count <= from.error_count, "no error is invented");
}

// Of an answer that came in the clear, names are spelled as they were asked for.
void check_respelled(Octets message, const Question& question) {
    if (parse_sealed_response(message, question) == ResponseVerdict::accepted) {
        (void)is_signed(message);
    }
    std::vector<std::uint8_t> copy{message.begin(), message.end()};
    Response response;
    const ResponseVerdict verdict = parse_response(copy, question, response);
    if (verdict == ResponseVerdict::accepted || verdict == ResponseVerdict::mixed) {
        respell_owners(copy, response, question.name);
        require(parse_response(copy, question, response) == verdict,
                "it says the same in another spelling");
    }
}

// The answer that is passed on; one that was mixed is written to `room`.
std::optional<Answer> answer_in(Octets message, const Question& question, MutableOctets room) {
    Response response;
    const ResponseVerdict verdict = parse_response(message, question, response);
    if (verdict != ResponseVerdict::accepted && verdict != ResponseVerdict::mixed) {
        return std::nullopt;
    }
    require(response.question_end <= response.body_end && response.body_end <= message.size(),
            "offsets lie within the message");
    if (verdict == ResponseVerdict::accepted) {
        return answer_of(message, response);
    }
    const std::optional<Answer> excerpt = excerpt_of(message, response, question, room);
    require(!excerpt || (excerpt->answers > 0 && excerpt->answers < response.answers),
            "something is left, and something is not");
    return excerpt;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size < choices) {
        return 0;
    }
    const Octets message{data + choices, std::min(size - choices, max_message_size)};
    const Question question = question_of(message, data[0]);
    check_respelled(message, question);
    std::vector<std::uint8_t> records(max_message_size);
    const std::optional<Answer> answer = answer_in(message, question, records);
    if (!answer) {
        return 0;
    }
    const std::size_t chosen = load16(Octets{data, size}, 1);
    for (const Asker& asker : askers_of(question)) {
        for (const std::size_t limit : {chosen, classic_udp_size, max_message_size}) {
            const auto out = std::make_unique<std::uint8_t[]>(limit); // NOLINT: exactly that size
            const Channel channel{.limit = limit, .keepalive = 100};
            const MutableOctets room{out.get(), limit};
            const std::size_t written = write_answer(*answer, question, asker, channel, room);
            check_answer(room.first(written), question, *answer, asker, limit);
            require(write_sealed(message, question, asker, channel, room) <= limit,
                    "the sealed answer keeps to its room");
        }
    }
    return 0;
}
