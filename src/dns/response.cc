// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// One walk over the message decides whether it is well-formed and where its OPT stands; then the
// answer section is held against the question.

#include "dns/response.hh"

#include "dns/chain.hh"
#include "dns/edns.hh"
#include "dns/rdata.hh"
#include "dns/record.hh"

#include <algorithm>

namespace dotproxy::dns {

namespace {

bool is_same_question(Octets message, const Question& asked) noexcept {
    const std::size_t fixed = header_size + asked.name.size;
    return message.size() >= fixed + question_fixed_size &&
           same_name(message.subspan(header_size, asked.name.size), asked.name.view()) &&
           load16(message, fixed) == asked.type && load16(message, fixed + 2) == asked.klass;
}

// Steps 1, 2 and 4 of the acceptance algorithm. Sets where the question ends.
ResponseVerdict check_question(Octets message, const Question& asked,
                               std::size_t& question_end) noexcept {
    if (message.size() < header_size) {
        return ResponseVerdict::foreign;
    }
    if ((flags(message) & flag::response) == 0 || opcode(message) != 0) {
        return ResponseVerdict::ignored;
    }
    question_end = header_size;
    if (qdcount(message) == 0) {
        return ResponseVerdict::accepted; // for an error; see may_lack_question()
    }
    if (qdcount(message) != 1 || !is_same_question(message, asked)) {
        return ResponseVerdict::foreign;
    }
    question_end += asked.name.size + question_fixed_size;
    return ResponseVerdict::accepted;
}

bool may_lack_question(std::uint16_t rcode) noexcept {
    return rcode != static_cast<std::uint16_t>(Rcode::noerror) &&
           rcode != static_cast<std::uint16_t>(Rcode::nxdomain);
}

void read_option(const Option& option, Response& out) noexcept {
    if (option.code == option::keepalive && option.data.size() == 2 && !out.keepalive) {
        out.keepalive = load16(option.data, 0);
    }
    if (option.code == option::error && option.data.size() >= 2 &&
        out.error_count < out.errors.size()) {
        const Octets text = option.data.subspan(2);
        const bool usable = text.size() <= max_error_text && is_clean_text(text);
        out.errors[out.error_count++] = {.code = load16(option.data, 0),
                                         .text = usable ? text : Octets{}};
    }
}

bool read_opt(Octets message, const Record& record, Response& out) noexcept {
    if (out.edns || !opt_at_root(message, record)) {
        return false;
    }
    out.edns = true;
    out.rcode = static_cast<std::uint16_t>(out.rcode | opt_upper_rcode(record.ttl) << 4U);
    OptionReader options{message.subspan(record.rdata, record.end - record.rdata)};
    std::size_t seen = 0;
    while (const std::optional<Option> option = options.next()) {
        if (++seen <= max_options) {
            read_option(*option, out);
        }
    }
    return options.at_end();
}

/// Checks owner names. Nearly all of them are pointers, to the question or to where the owner
/// before them pointed: those need no second look.
class Owners {
  public:
    explicit Owners(bool question) noexcept
        : question_{question ? to_question : std::uint16_t{0}} {}

    std::optional<Record> record_at(Octets message, std::size_t at) noexcept {
        const std::uint16_t head = at + 1 < message.size() ? load16(message, at) : std::uint16_t{0};
        if (head != 0 && (head == question_ || head == last_)) {
            return dns::record_at(message, at, pointer_size);
        }
        const std::optional<Record> record = dns::record_at(message, at);
        if (record && head >= lowest_pointer) {
            last_ = head;
        }
        return record;
    }

  private:
    static constexpr std::size_t pointer_size = 2;
    static constexpr std::uint16_t lowest_pointer = 0xc000;
    static constexpr std::uint16_t to_question = lowest_pointer | header_size;

    std::uint16_t question_;
    std::uint16_t last_{0};
};

// Step 5.
bool read_records(Octets message, Response& out) noexcept {
    const std::size_t additional = std::size_t{out.answers} + out.authorities;
    const std::size_t count = additional + arcount(message);
    std::size_t at = out.question_end;
    Owners owners{out.question_end > header_size};
    for (std::size_t i = 0; i < count; ++i) {
        const std::optional<Record> record = owners.record_at(message, at);
        if (!record) {
            return false;
        }
        at = record->end;
        if (record->type == type::opt) {
            if (i < additional || !read_opt(message, *record, out)) {
                return false;
            }
            continue;
        }
        if (!is_rdata_sound(message, *record)) {
            return false;
        }
        if (!out.edns) {
            // What follows the OPT stays behind: moving it would break the pointers in it.
            out.body_end = at;
            out.additionals = static_cast<std::uint16_t>(out.additionals + (i >= additional));
        }
    }
    return at == message.size();
}

// The server could not answer, or would not; any other RCODE says something of the name.
bool is_failure(std::uint16_t rcode) noexcept {
    switch (static_cast<Rcode>(rcode)) {
    case Rcode::formerr:
    case Rcode::servfail:
    case Rcode::notimp:
    case Rcode::refused:
        return true;
    default:
        return false;
    }
}

// Whether an error names a reason that has nothing to do with DNSSEC.
bool explains(const ExtendedError& error) noexcept {
    switch (error.code) {
    case ExtendedError::other:
    case ExtendedError::unsupported_algorithm:
    case ExtendedError::unsupported_digest:
    case ExtendedError::indeterminate:
    case ExtendedError::cached_error:
        return false;
    default:
        return true;
    }
}

} // namespace

Failure failure_of(const Response& response) noexcept {
    if (!is_failure(response.rcode)) {
        return Failure::none;
    }
    const auto said = response.said();
    if (std::ranges::any_of(said, [](const ExtendedError& error) {
            return error.is_bogus() || error.is_filtered();
        })) {
        return Failure::meant;
    }
    const bool servfail = response.rcode == static_cast<std::uint16_t>(Rcode::servfail);
    return servfail && std::ranges::none_of(said, explains) ? Failure::unexplained : Failure::other;
}

ResponseVerdict parse_response(Octets message, const Question& asked, Response& out) noexcept {
    std::size_t question_end = 0;
    const ResponseVerdict verdict = check_question(message, asked, question_end);
    if (verdict != ResponseVerdict::accepted) {
        return verdict;
    }
    out = Response{};
    out.flags = flags(message);
    if ((out.flags & flag::truncated) != 0) {
        return ResponseVerdict::truncated;
    }
    out.rcode = out.flags & flag::rcode_mask;
    out.question_end = out.body_end = question_end;
    out.answers = ancount(message);
    out.authorities = nscount(message);
    if (!read_records(message, out)) {
        return ResponseVerdict::malformed;
    }
    if (qdcount(message) == 0) {
        // An error. Its records, if it has any, answer no question that we could name.
        out.body_end = header_size;
        out.answers = out.authorities = out.additionals = 0;
        return may_lack_question(out.rcode) ? ResponseVerdict::accepted : ResponseVerdict::foreign;
    }
    switch (answers(message, asked, question_end, out.answers)) {
    case Answering::all:
        return ResponseVerdict::accepted;
    case Answering::some:
        return ResponseVerdict::mixed;
    case Answering::none:
        break;
    }
    return ResponseVerdict::unrelated;
}

ResponseVerdict parse_sealed_response(Octets message, const Question& asked) noexcept {
    std::size_t at = 0;
    const ResponseVerdict verdict = check_question(message, asked, at);
    if (verdict != ResponseVerdict::accepted) {
        return verdict;
    }
    if (qdcount(message) == 0 && !may_lack_question(flags(message) & flag::rcode_mask)) {
        return ResponseVerdict::foreign;
    }
    const std::size_t count = std::size_t{ancount(message)} + nscount(message) + arcount(message);
    for (std::size_t i = 0; i < count; ++i) {
        const std::optional<Record> record = record_at(message, at);
        if (!record) {
            return ResponseVerdict::malformed;
        }
        at = record->end;
    }
    return at == message.size() ? ResponseVerdict::accepted : ResponseVerdict::malformed;
}

bool is_signed(Octets message) noexcept {
    const std::size_t count = std::size_t{ancount(message)} + nscount(message) + arcount(message);
    std::size_t at = header_size;
    for (std::size_t i = 0; i < qdcount(message); ++i) {
        at += name_size(message, at) + question_fixed_size;
    }
    std::uint16_t last = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const Record record = known_record_at(message, at, name_size(message, at));
        last = record.type;
        at = record.end;
    }
    return arcount(message) > 0 && (last == type::tsig || last == type::sig);
}

void respell_owners(MutableOctets message, const Response& response, const Name& name) noexcept {
    std::size_t at = response.question_end;
    while (at < response.body_end) {
        const std::size_t size = name_size(message, at);
        const MutableOctets owner = message.subspan(at, size);
        if (same_name(owner, name.view())) {
            std::ranges::copy(name.view(), owner.begin());
        }
        at = known_record_at(message, at, size).end;
    }
}

} // namespace dotproxy::dns
