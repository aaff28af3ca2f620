// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "dns/edns.hh"

namespace dotproxy::dns {

OptWriter::OptWriter(MutableOctets out, std::size_t at, std::uint16_t rcode,
                     bool dnssec_ok) noexcept
    : out_{out}, rdata_{at + opt_size}, end_{rdata_} {
    out[at] = 0;
    store16(out, at + 1, type::opt);
    store16(out, at + 3, own_payload_size);
    store16(out, at + 5, static_cast<std::uint16_t>(rcode >> 4U << 8U));
    store16(out, at + 7, dnssec_ok ? 0x8000 : 0);
    store16(out, at + 9, 0);
}

MutableOctets OptWriter::add(std::uint16_t code, std::size_t size) noexcept {
    if (!fits(size)) {
        return {};
    }
    store16(out_, end_, code);
    store16(out_, end_ + 2, static_cast<std::uint16_t>(size));
    const MutableOctets data = out_.subspan(end_ + option_prefix_size, size);
    end_ += option_prefix_size + size;
    store16(out_, rdata_ - 2, static_cast<std::uint16_t>(end_ - rdata_));
    return data;
}

namespace {

/// What the first octet of a UTF-8 sequence says of it (RFC 3629, section 3).
struct Sequence {
    std::size_t size;
    std::uint32_t bits;    // of the code point
    std::uint32_t minimum; // a smaller code point has a shorter form
};

std::optional<Sequence> sequence_of(std::uint8_t first) noexcept {
    if (first < 0x80) {
        return Sequence{.size = 1, .bits = first, .minimum = 0};
    }
    if ((first & 0xe0U) == 0xc0) {
        return Sequence{.size = 2, .bits = first & 0x1fU, .minimum = 0x80};
    }
    if ((first & 0xf0U) == 0xe0) {
        return Sequence{.size = 3, .bits = first & 0x0fU, .minimum = 0x800};
    }
    if ((first & 0xf8U) == 0xf0) {
        return Sequence{.size = 4, .bits = first & 0x07U, .minimum = 0x10000};
    }
    return std::nullopt;
}

bool is_control(std::uint32_t code) noexcept {
    return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

bool is_character(std::uint32_t code) noexcept {
    const bool surrogate = code >= 0xd800 && code < 0xe000;
    return code <= 0x10ffff && !surrogate && !is_control(code);
}

} // namespace

bool is_clean_text(Octets text) noexcept {
    while (!text.empty()) {
        const std::optional<Sequence> sequence = sequence_of(text[0]);
        if (!sequence || sequence->size > text.size()) {
            return false;
        }
        std::uint32_t code = sequence->bits;
        for (const std::uint8_t octet : text.subspan(1, sequence->size - 1)) {
            if ((octet & 0xc0U) != 0x80) {
                return false;
            }
            code = code << 6U | (octet & 0x3fU);
        }
        if (code < sequence->minimum || !is_character(code)) {
            return false;
        }
        text = text.subspan(sequence->size);
    }
    return true;
}

void write_subnet_opt_out(MutableOctets data, std::uint16_t family) noexcept {
    store16(data, 0, family);
    store16(data, 2, 0);
}

} // namespace dotproxy::dns
