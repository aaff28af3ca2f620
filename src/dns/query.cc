// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A client's message is walked to its last octet before anything is made of it: whatever would be
// overlooked here could turn into something else once an OPT of ours stands beside it (L1).

#include "dns/query.hh"

#include "dns/edns.hh"
#include "dns/record.hh"

#include <algorithm>

namespace dotproxy::dns {

namespace {

/// RFC 8467, section 4.1.
constexpr std::size_t padding_block = 128;

bool read_question(Octets message, ParsedQuery& out) noexcept {
    // Nothing stands in front of this name that a pointer could lead to: it is not compressed.
    const std::optional<std::size_t> size = name_extent(message, header_size);
    if (!size || message.size() - header_size - *size < question_fixed_size) {
        return false;
    }
    const Octets name = message.subspan(header_size, *size);
    Question& question = out.question;
    question.name.size = static_cast<std::uint8_t>(name.size());
    fold(name, question.name.octets);
    question.type = load16(message, header_size + name.size());
    question.klass = load16(message, header_size + name.size() + 2);
    out.asker.spelling = Spelling{name};
    out.question_end = header_size + name.size() + question_fixed_size;
    return true;
}

/// Whether the option can be what it says it is; most are not looked at.
bool read_option(const Option& option, ParsedQuery& out) noexcept {
    Asker& asker = out.asker;
    switch (option.code) {
    case option::keepalive:
        // A client's option is empty (RFC 7828, section 3.2.1). With a value it asks for nothing;
        // refusing it would be wrong over UDP, where the option must be ignored (section 3.3.1).
        asker.keepalive = asker.keepalive || option.data.empty();
        break;
    case option::padding:
        asker.padding = true;
        break;
    case option::subnet:
        // A prefix length of 0 says that no address may be passed on. Any other is not passed on
        // either, but then the client does not expect the option back (C40).
        if (!asker.subnet && option.data.size() >= subnet_opt_out_size && option.data[2] == 0) {
            asker.subnet = true;
            asker.subnet_family = load16(option.data, 0);
            out.question.subnet_opt_out = true;
        }
        break;
    case option::cookie:
        if (out.cookie.empty()) {
            out.cookie = option.data;
            return is_cookie_size(option.data.size());
        }
        break;
    default:
        break; // C45
    }
    return true;
}

bool read_opt(Octets message, const Record& record, ParsedQuery& out) noexcept {
    Asker& asker = out.asker;
    if (asker.edns || !opt_at_root(message, record)) {
        return false; // C43
    }
    asker.edns = true;
    asker.udp_payload_size =
        std::max(record.klass, static_cast<std::uint16_t>(classic_udp_size)); // C34
    asker.dnssec_ok = opt_dnssec_ok(record.ttl);
    out.question.dnssec_ok = asker.dnssec_ok;
    if (opt_version(record.ttl) != 0) {
        return true; // what its RDATA looks like is that version's business
    }
    OptionReader options{message.subspan(record.rdata, record.end - record.rdata)};
    std::size_t seen = 0;
    while (const std::optional<Option> option = options.next()) {
        if (++seen <= max_options && !read_option(*option, out)) {
            out.cookie = {};
            return false;
        }
    }
    return options.at_end();
}

// SIG(0), which signs the message, covers no type (RFC 2931, section 3).
bool is_sig0(Octets message, const Record& record) noexcept {
    return record.end - record.rdata >= 2 && load16(message, record.rdata) == 0;
}

/// What stands behind the question, which ends at `at`.
QueryVerdict read_records(Octets message, std::size_t at, ParsedQuery& out) noexcept {
    const std::size_t additional = std::size_t{ancount(message)} + nscount(message);
    const std::size_t count = additional + arcount(message);
    std::uint8_t version = 0;
    // What a TKEY query asks stands in its additional section (RFC 2930), so it goes whole, too.
    bool sealed = out.question.type == type::tkey;
    for (std::size_t i = 0; i < count; ++i) {
        const std::optional<Record> record = record_at(message, at);
        if (!record) {
            return QueryVerdict::format_error;
        }
        at = record->end;
        switch (record->type) {
        case type::opt:
            if (i < additional || !read_opt(message, *record, out)) {
                return QueryVerdict::format_error;
            }
            version = opt_version(record->ttl);
            break;
        case type::tsig:
            if (i < additional || i + 1 != count) {
                return QueryVerdict::format_error; // RFC 8945, section 5.1
            }
            sealed = true;
            break;
        case type::sig:
            sealed = sealed || (i >= additional && is_sig0(message, *record));
            break;
        default:
            break;
        }
    }
    if (at != message.size()) {
        return QueryVerdict::format_error; // C30
    }
    if (version != 0) {
        return QueryVerdict::bad_version;
    }
    return sealed ? QueryVerdict::sealed : QueryVerdict::forward;
}

/// Header and question; returns where they end.
std::size_t begin_query(const Question& question, std::uint16_t id, MutableOctets out) noexcept {
    const auto chosen = [](bool on, std::uint16_t bit) { return on ? bit : std::uint16_t{0}; };
    set_id(out, id);
    set_flags(out, static_cast<std::uint16_t>(
                       chosen(question.recursion_desired, flag::recursion_desired) |
                       chosen(question.authentic_data, flag::authentic_data) |
                       chosen(question.checking_disabled, flag::checking_disabled)));
    set_counts(out, 1, 0, 0, 1);
    return put_question(out, question.name.view(), question.type, question.klass);
}

} // namespace

bool operator==(const Question& a, const Question& b) noexcept {
    const Octets name = a.name.view();
    return a.type == b.type && a.klass == b.klass && a.recursion_desired == b.recursion_desired &&
           a.checking_disabled == b.checking_disabled && a.authentic_data == b.authentic_data &&
           a.dnssec_ok == b.dnssec_ok && a.subnet_opt_out == b.subnet_opt_out &&
           a.group == b.group &&
           std::equal(name.begin(), name.end(), b.name.view().begin(), b.name.view().end());
}

QueryVerdict parse_query(Octets message, ParsedQuery& out) noexcept {
    out.cookie = {}; // what was parsed before is gone, whatever this is
    out.question_end = 0;
    if (message.size() < header_size || (flags(message) & flag::response) != 0) {
        return QueryVerdict::drop;
    }
    const std::uint16_t bits = flags(message);
    out.asker = Asker{};
    out.asker.id = id(message);
    out.asker.flags = bits;
    out.question.type = 0;
    out.question.recursion_desired = (bits & flag::recursion_desired) != 0;
    out.question.checking_disabled = (bits & flag::checking_disabled) != 0;
    out.question.authentic_data = (bits & flag::authentic_data) != 0;
    out.question.dnssec_ok = false;
    out.question.subnet_opt_out = false;
    if (opcode(message) != 0) {
        return QueryVerdict::not_implemented;
    }
    if (qdcount(message) == 0) {
        const QueryVerdict rest = read_records(message, header_size, out);
        return rest == QueryVerdict::forward && !out.cookie.empty() ? QueryVerdict::cookie_only
                                                                    : QueryVerdict::format_error;
    }
    if (qdcount(message) != 1 || !read_question(message, out)) {
        return QueryVerdict::format_error;
    }
    return read_records(message, out.question_end, out);
}

std::size_t write_query(const Question& question, std::uint16_t id, bool keepalive,
                        MutableOctets out) noexcept {
    OptWriter opt{out, begin_query(question, id, out), 0, question.dnssec_ok};
    if (keepalive) {
        (void)opt.add(option::keepalive, 0);
    }
    if (question.subnet_opt_out) {
        write_subnet_opt_out(opt.add(option::subnet, subnet_opt_out_size), 1);
    }
    const std::size_t unpadded = opt.end() + option_prefix_size;
    const std::size_t padding = (padding_block - unpadded % padding_block) % padding_block;
    std::ranges::fill(opt.add(option::padding, padding), std::uint8_t{0});
    return opt.end();
}

std::size_t write_plain_query(const Question& question, std::uint16_t id, bool edns,
                              MutableOctets out) noexcept {
    const std::size_t question_end = begin_query(question, id, out);
    if (!edns) {
        set_counts(out, 1, 0, 0, 0);
        return question_end;
    }
    OptWriter opt{out, question_end, 0, question.dnssec_ok};
    if (question.subnet_opt_out) {
        write_subnet_opt_out(opt.add(option::subnet, subnet_opt_out_size), 1);
    }
    return opt.end();
}

} // namespace dotproxy::dns
