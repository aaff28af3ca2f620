// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Names on the wire. Letters are folded eight octets at a time; length octets (at most 63) and the
// root label are no letters, so an uncompressed name is folded and compared as a plain string.

#include "dns/name.hh"

#include <algorithm>
#include <bit>
#include <cstring>

namespace dotproxy::dns {

namespace {

constexpr std::size_t word_size = 8;
constexpr std::uint64_t each_octet = 0x0101010101010101;

constexpr std::uint8_t label_type_mask = 0xc0;

/// A compressor needs one pointer for each name that the name at hand lies below in this message,
/// which makes two or three. Many more only cost time (L5).
constexpr unsigned max_pointers = 32;

// The first octet in the lowest bits, whatever the machine.
std::uint64_t load_word(const std::uint8_t* from) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, from, word_size);
    if constexpr (std::endian::native == std::endian::big) {
        word = __builtin_bswap64(word);
    }
    return word;
}

void store_word(std::uint8_t* to, std::uint64_t word) noexcept {
    if constexpr (std::endian::native == std::endian::big) {
        word = __builtin_bswap64(word);
    }
    std::memcpy(to, &word, word_size);
}

// The top bit of each octet that holds an upper-case ASCII letter.
std::uint64_t upper_case(std::uint64_t word) noexcept {
    const std::uint64_t low = word & (each_octet * 0x7f);
    const std::uint64_t above_z = low + each_octet * (0x7f - 'Z');
    const std::uint64_t from_a = low + each_octet * (0x80 - 'A');
    return (from_a ^ above_z) & ~word & (each_octet * 0x80);
}

std::uint64_t folded(std::uint64_t word) noexcept {
    return word | upper_case(word) >> 2U;
}

std::uint8_t folded(std::uint8_t octet) noexcept {
    return octet >= 'A' && octet <= 'Z' ? static_cast<std::uint8_t>(octet | 0x20U) : octet;
}

// Gathers the top bits of the eight octets, the first octet's lowest. The factor moves bit 8i to
// 56 + i, and no two of its partial products share a bit, so nothing carries.
std::uint64_t gathered(std::uint64_t top_bits) noexcept {
    return ((top_bits >> 7U) * 0x0102040810204080U) >> 56U;
}

void fold_octets(const std::uint8_t* from, std::uint8_t* to, std::size_t size) noexcept {
    std::size_t at = 0;
    for (; at + word_size <= size; at += word_size) {
        store_word(to + at, folded(load_word(from + at)));
    }
    for (; at < size; ++at) {
        to[at] = folded(from[at]);
    }
}

bool same_folded(const std::uint8_t* a, const std::uint8_t* b, std::size_t size) noexcept {
    std::size_t at = 0;
    for (; at + word_size <= size; at += word_size) {
        if (folded(load_word(a + at)) != folded(load_word(b + at))) {
            return false;
        }
    }
    for (; at < size; ++at) {
        if (folded(a[at]) != folded(b[at])) {
            return false;
        }
    }
    return true;
}

/// Labels that stand one after the other: up to a pointer, or up to and with the root label.
struct Run {
    std::size_t size;
    bool last;
};

Run run_at(Octets message, std::size_t at) noexcept {
    std::size_t end = at;
    while (message[end] != 0 && !is_pointer(message[end])) {
        end += message[end] + 1U;
    }
    const bool last = message[end] == 0;
    return {.size = end - at + (last ? 1 : 0), .last = last};
}

} // namespace

std::optional<std::size_t> name_extent(Octets message, std::size_t at) noexcept {
    std::size_t cursor = at;
    // Where the labels now being read begin. A pointer must lead in front of them, so each one
    // takes us strictly backwards and the walk ends.
    std::size_t run = at;
    // What a pointer leads to is a name that was complete before (RFC 1035, section 4.1.4): it may
    // not run on into the one that points to it, let alone into what an answer leaves behind.
    std::size_t until = message.size();
    std::size_t extent = 0;   // known from the first pointer on
    std::size_t expanded = 1; // the root label
    unsigned pointers = 0;
    while (cursor < until) {
        const std::uint8_t octet = message[cursor];
        if (octet == 0) {
            return extent != 0 ? extent : cursor + 1 - at;
        }
        if ((octet & label_type_mask) == 0) {
            cursor += octet + 1U;
            expanded += octet + 1U;
            if (expanded > max_name_size) {
                return std::nullopt;
            }
            continue;
        }
        if (!is_pointer(octet) || cursor + 1 >= until || ++pointers > max_pointers) {
            return std::nullopt;
        }
        const std::size_t target = pointer_target(message, cursor);
        if (target >= run || target < header_size) {
            return std::nullopt;
        }
        if (extent == 0) {
            extent = cursor + 2 - at;
        }
        until = run;
        cursor = run = target;
    }
    return std::nullopt;
}

void read_name(Octets message, std::size_t at, Name& out) noexcept {
    std::size_t size = 0;
    bool last = false;
    while (!last) {
        at = name_start(message, at);
        const Run run = run_at(message, at);
        fold_octets(message.data() + at, out.octets.data() + size, run.size);
        size += run.size;
        at += run.size;
        last = run.last;
    }
    out.size = static_cast<std::uint8_t>(size);
}

std::size_t copy_name(Octets message, std::size_t at, MutableOctets out) noexcept {
    std::size_t size = 0;
    bool last = false;
    while (!last) {
        at = name_start(message, at);
        const Run run = run_at(message, at);
        if (run.size > out.size() - size) {
            return 0;
        }
        std::copy_n(message.begin() + static_cast<std::ptrdiff_t>(at), run.size,
                    out.begin() + static_cast<std::ptrdiff_t>(size));
        size += run.size;
        at += run.size;
        last = run.last;
    }
    return size;
}

bool name_equals(Octets message, std::size_t at, Octets name) noexcept {
    std::size_t matched = 0;
    while (true) {
        at = name_start(message, at);
        const Run run = run_at(message, at);
        if (run.size > name.size() - matched ||
            !same_folded(message.data() + at, name.data() + matched, run.size)) {
            return false;
        }
        matched += run.size;
        at += run.size;
        if (run.last) {
            return matched == name.size();
        }
    }
}

bool same_name(Octets a, Octets b) noexcept {
    return a.size() == b.size() && same_folded(a.data(), b.data(), a.size());
}

bool within(Octets name, Octets zone) noexcept {
    if (zone.size() > name.size()) {
        return false;
    }
    const std::size_t start = name.size() - zone.size();
    if (!same_folded(name.data() + start, zone.data(), zone.size())) {
        return false;
    }
    // The octets match; do they begin at a label?
    std::size_t at = 0;
    while (at < start) {
        at += name[at] + 1U;
    }
    return at == start;
}

void fold(Octets name, MutableOctets out) noexcept {
    fold_octets(name.data(), out.data(), name.size());
}

Spelling::Spelling(Octets name) noexcept {
    const std::size_t size = std::min(name.size(), max_name_size);
    std::size_t at = 0;
    for (; at + word_size <= size; at += word_size) {
        upper_[at / 64] |= gathered(upper_case(load_word(name.data() + at))) << (at % 64);
    }
    for (; at < size; ++at) {
        upper_[at / 64] |= std::uint64_t{name[at] != folded(name[at])} << (at % 64);
    }
}

void Spelling::apply(MutableOctets folded) const noexcept {
    for (std::size_t word = 0; word < upper_.size(); ++word) {
        for (std::uint64_t left = upper_[word]; left != 0; left &= left - 1) {
            const std::size_t at = word * 64 + static_cast<std::size_t>(std::countr_zero(left));
            if (at >= folded.size()) {
                return;
            }
            folded[at] = static_cast<std::uint8_t>(folded[at] & ~0x20U);
        }
    }
}

} // namespace dotproxy::dns
