// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Every answer is laid out the same way: header, question, records, OPT. The records are copied as
// they came, at the same offset, so the compression pointers in them hold. What is added is counted
// before it is written, and what does not fit is left out in one fixed order: Extended DNS Errors,
// the keepalive time-out, all records at once (L3, L4).

#include "dns/answer.hh"

#include "dns/edns.hh"
#include "dns/record.hh"

#include <algorithm>
#include <span>

namespace dotproxy::dns {

namespace {

constexpr std::uint16_t echoed_flags =
    flag::opcode_mask | flag::recursion_desired | flag::checking_disabled;

MutableOctets room_in(MutableOctets out, const Channel& channel) noexcept {
    return out.first(std::min({out.size(), channel.limit, max_message_size}));
}

// Without an OPT there is no place for the upper bits.
std::uint16_t plain_rcode(std::uint16_t rcode) noexcept {
    return rcode <= flag::rcode_mask ? rcode : static_cast<std::uint16_t>(Rcode::servfail);
}

std::uint16_t rcode_for(const Asker& asker, std::uint16_t rcode) noexcept {
    return asker.edns ? rcode : plain_rcode(rcode);
}

void put_header(MutableOctets out, const Asker& asker, std::uint16_t rcode,
                std::uint16_t more_flags) noexcept {
    set_id(out, asker.id);
    set_flags(out, static_cast<std::uint16_t>(flag::response | flag::recursion_available |
                                              (asker.flags & echoed_flags) | more_flags |
                                              (rcode & flag::rcode_mask)));
}

void put_spelled_question(MutableOctets out, const Question& question,
                          const Asker& asker) noexcept {
    (void)put_question(out, question.name.view(), question.type, question.klass);
    asker.spelling.apply(out.subspan(header_size, question.name.size));
}

std::size_t question_end_of(const Question& question) noexcept {
    return header_size + question.name.size + question_fixed_size;
}

// What an answer to `asker` cannot do without.
std::size_t least_opt_size(const Asker& asker) noexcept {
    if (!asker.edns) {
        return 0;
    }
    return opt_size + (asker.subnet ? option_prefix_size + subnet_opt_out_size : 0) +
           (asker.cookie ? option_prefix_size + asker.cookie->size() : 0);
}

// The longest beginning of UTF-8 `text` within `size` octets.
Octets cut_text(Octets text, std::size_t size) noexcept {
    if (text.size() <= size) {
        return text;
    }
    while (size > 0 && (text[size] & 0xc0U) == 0x80) {
        --size;
    }
    return text.first(size);
}

void add_error(OptWriter& opt, const ExtendedError& error) noexcept {
    constexpr std::size_t code_size = 2;
    if (!opt.fits(code_size)) {
        return;
    }
    const Octets text = cut_text(error.text, std::min(opt.room() - code_size, max_error_text));
    const MutableOctets data = opt.add(option::error, code_size + text.size());
    store16(data, 0, error.code);
    std::ranges::copy(text, data.begin() + code_size);
}

// Fills the message up to a multiple of a block, as far as there is room: how long an answer is
// tells who listens much about what it is (RFC 7830; RFC 8467, section 4.1; E24).
void pad(OptWriter& opt) noexcept {
    if (!opt.fits(0)) {
        return;
    }
    const std::size_t size = opt.end() + option_prefix_size;
    const std::size_t blocks = (size + padded_block - 1) / padded_block;
    const std::size_t missing = std::min(blocks * padded_block - size, opt.room());
    std::ranges::fill(opt.add(option::padding, missing), std::uint8_t{0});
}

// Writes the OPT at `at`, where least_opt_size() fits. Returns where the message ends.
std::size_t put_opt(MutableOctets out, std::size_t at, std::uint16_t rcode,
                    std::span<const ExtendedError> errors, const Asker& asker,
                    const Channel& channel) noexcept {
    if (!asker.edns) {
        return at;
    }
    OptWriter opt{out, at, rcode, asker.dnssec_ok};
    if (asker.subnet) {
        write_subnet_opt_out(opt.add(option::subnet, subnet_opt_out_size), asker.subnet_family);
    }
    if (asker.cookie) {
        std::ranges::copy(*asker.cookie, opt.add(option::cookie, asker.cookie->size()).begin());
    }
    if (asker.keepalive && channel.keepalive && opt.fits(sizeof *channel.keepalive)) {
        store16(opt.add(option::keepalive, sizeof *channel.keepalive), 0, *channel.keepalive);
    }
    for (const ExtendedError& error : errors) {
        add_error(opt, error);
    }
    if (channel.encrypted) {
        pad(opt); // last: nothing may follow that is not counted
    }
    return opt.end();
}

// An answer without records: header, question if there is one, OPT if the asker sent one; where
// that is too much for `out`, a bare header; where even that is, nothing.
std::size_t write_empty(std::uint16_t rcode, std::uint16_t more_flags,
                        std::span<const ExtendedError> errors, const Question* question,
                        const Asker& asker, const Channel& channel, MutableOctets out) noexcept {
    if (out.size() < header_size) {
        return 0;
    }
    const std::size_t end = question != nullptr ? question_end_of(*question) : header_size;
    if (end + least_opt_size(asker) > out.size()) {
        put_header(out, asker, plain_rcode(rcode), more_flags);
        set_counts(out, 0, 0, 0, 0);
        return header_size;
    }
    put_header(out, asker, rcode, more_flags);
    set_counts(out, question != nullptr ? 1 : 0, 0, 0, asker.edns ? 1 : 0);
    if (question != nullptr) {
        put_spelled_question(out, *question, asker);
    }
    return put_opt(out, end, rcode, errors, asker, channel);
}

// RFC 6840, sections 5.7 and 5.8: to those who understand it (C90).
bool may_see_authentic(const Asker& asker) noexcept {
    return asker.dnssec_ok || (asker.flags & flag::authentic_data) != 0;
}

} // namespace

std::size_t udp_limit(const Asker& asker) noexcept {
    return std::clamp<std::size_t>(asker.udp_payload_size, classic_udp_size, max_udp_answer_size);
}

void Answer::say_first(const ExtendedError& error) noexcept {
    error_count = std::min(error_count + 1, errors.size());
    std::shift_right(errors.begin(), errors.end(), 1);
    errors[0] = error;
}

Answer answer_of(Octets message, const Response& response) noexcept {
    return {.rcode = response.rcode,
            .authentic = (response.flags & flag::authentic_data) != 0,
            .answers = response.answers,
            .authorities = response.authorities,
            .additionals = response.additionals,
            .records =
                message.subspan(response.question_end, response.body_end - response.question_end),
            .errors = response.errors,
            .error_count = response.error_count};
}

std::size_t answer_room(const Answer& answer, const Question& question) noexcept {
    return question_end_of(question) + answer.records.size() + answer_overhead;
}

std::size_t write_answer(const Answer& answer, const Question& question, const Asker& asker,
                         const Channel& channel, MutableOctets out) noexcept {
    const MutableOctets room = room_in(out, channel);
    const std::uint16_t rcode = rcode_for(asker, answer.rcode);
    const std::size_t question_end = question_end_of(question);
    if (question_end + answer.records.size() + least_opt_size(asker) > room.size()) {
        return write_empty(rcode, flag::truncated, answer.said(), &question, asker, channel, room);
    }
    const bool authentic = answer.authentic && may_see_authentic(asker);
    put_header(room, asker, rcode, authentic ? flag::authentic_data : 0);
    set_counts(room, 1, answer.answers, answer.authorities,
               static_cast<std::uint16_t>(answer.additionals + (asker.edns ? 1 : 0)));
    put_spelled_question(room, question, asker);
    std::ranges::copy(answer.records, room.subspan(question_end).begin());
    return put_opt(room, question_end + answer.records.size(), rcode, answer.said(), asker,
                   channel);
}

std::size_t write_failure(Rcode rcode, const std::optional<ExtendedError>& error,
                          const Question* question, const Asker& asker, const Channel& channel,
                          MutableOctets out) noexcept {
    const std::span<const ExtendedError> errors =
        error ? std::span{&*error, 1} : std::span<const ExtendedError>{};
    return write_empty(rcode_for(asker, static_cast<std::uint16_t>(rcode)), 0, errors, question,
                       asker, channel, room_in(out, channel));
}

std::size_t write_truncated(const Question& question, const Asker& asker, const Channel& channel,
                            MutableOctets out) noexcept {
    return write_empty(static_cast<std::uint16_t>(Rcode::noerror), flag::truncated, {}, &question,
                       asker, channel, room_in(out, channel));
}

std::size_t write_sealed(Octets message, const Question& question, const Asker& asker,
                         const Channel& channel, MutableOctets out) noexcept {
    const MutableOctets room = room_in(out, channel);
    if (message.size() > room.size()) {
        return write_empty(flags(message) & flag::rcode_mask, flag::truncated, {}, &question, asker,
                           channel, room);
    }
    std::ranges::copy(message, room.begin());
    set_id(room, asker.id);
    return message.size();
}

} // namespace dotproxy::dns
