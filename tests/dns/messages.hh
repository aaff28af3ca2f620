// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Messages for tests, written octet by octet and not with the code under test. Nothing here owns
// memory, so a failing assertion may jump over it.

#pragma once

#include "dns/query.hh"
#include "dns/response.hh"
#include "dns/wire.hh"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

namespace dotproxy::dns::test {

/// Octets that are put together piece by piece.
class Bytes {
  public:
    Bytes& u8(unsigned value) noexcept {
        octets_[size_++] = static_cast<std::uint8_t>(value);
        return *this;
    }

    Bytes& u16(unsigned value) noexcept { return u8(value >> 8U & 0xffU).u8(value & 0xffU); }

    Bytes& u32(std::uint32_t value) noexcept { return u16(value >> 16U).u16(value & 0xffffU); }

    Bytes& raw(Octets octets) noexcept {
        for (const std::uint8_t octet : octets) {
            u8(octet);
        }
        return *this;
    }

    Bytes& text(std::string_view characters) noexcept {
        for (const char character : characters) {
            u8(static_cast<unsigned char>(character));
        }
        return *this;
    }

    /// A name in dotted form, as it is spelled; "" is the root.
    Bytes& name(std::string_view dotted) noexcept {
        while (!dotted.empty()) {
            const std::string_view label = dotted.substr(0, dotted.find('.'));
            u8(static_cast<unsigned>(label.size())).text(label);
            dotted.remove_prefix(std::min(dotted.size(), label.size() + 1));
        }
        return u8(0);
    }

    Bytes& pointer(std::size_t target) noexcept {
        return u16(0xc000U | static_cast<unsigned>(target));
    }

    /// An EDNS option.
    Bytes& option(unsigned code, Octets data = {}) noexcept {
        return u16(code).u16(static_cast<unsigned>(data.size())).raw(data);
    }

    Bytes& fill(std::size_t count, unsigned value) noexcept {
        for (; count > 0; --count) {
            u8(value);
        }
        return *this;
    }

    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    [[nodiscard]] Octets octets() const noexcept { return Octets{octets_}.first(size_); }

    [[nodiscard]] MutableOctets mutable_octets() noexcept {
        return MutableOctets{octets_}.first(size_);
    }

    void truncate(std::size_t size) noexcept { size_ = size; }

  private:
    std::array<std::uint8_t, 70000> octets_; // NOLINT(cppcoreguidelines-pro-type-member-init)
    std::size_t size_{0};
};

enum class Section : std::size_t { question = 4, answer = 6, authority = 8, additional = 10 };

/// A message whose header counts what was added.
class Message : public Bytes {
  public:
    Message(unsigned id, unsigned flags) noexcept { u16(id).u16(flags).u32(0).u32(0); }

    Message& count(Section section, int more = 1) noexcept {
        const auto at = static_cast<std::size_t>(section);
        store16(mutable_octets(), at, static_cast<std::uint16_t>(load16(octets(), at) + more));
        return *this;
    }

    Message& question(std::string_view qname, unsigned qtype, unsigned qclass = 1) noexcept {
        name(qname).u16(qtype).u16(qclass);
        return count(Section::question);
    }

    /// The rest of a record, behind its owner.
    Message& rest(Section section, unsigned type, Octets rdata, unsigned klass = 1,
                  std::uint32_t ttl = 300) noexcept {
        u16(type).u16(klass).u32(ttl).u16(static_cast<unsigned>(rdata.size())).raw(rdata);
        return count(section);
    }

    Message& record(Section section, std::string_view owner, unsigned type, Octets rdata,
                    unsigned klass = 1) noexcept {
        name(owner);
        return rest(section, type, rdata, klass);
    }

    /// A record owned by the name at `owner`.
    Message& at(std::size_t owner, Section section, unsigned type, Octets rdata) noexcept {
        pointer(owner);
        return rest(section, type, rdata);
    }

    Message& opt(Octets rdata = {}, unsigned size = 1232, std::uint32_t ttl = 0) noexcept {
        u8(0);
        return rest(Section::additional, type::opt, rdata, size, ttl);
    }
};

constexpr unsigned query_flags = 0x0100;    // RD
constexpr unsigned response_flags = 0x8180; // QR RD RA
constexpr std::uint32_t dnssec_ok = 0x8000;

inline constexpr std::array<std::uint8_t, 4> address{192, 0, 2, 1};

/// Some RDATA that a record of this type can have.
inline Bytes rdata_of(unsigned rtype) noexcept {
    Bytes rdata;
    switch (rtype) {
    case type::ns:
    case type::cname:
    case type::dname:
        return rdata.name("a.example");
    case type::txt:
        return rdata.u8(3).text("abc");
    case type::aaaa:
        return rdata.fill(16, 0x20);
    case type::rrsig:
        return rdata.fill(18, 0).name("example").fill(8, 's');
    case 47: // NSEC
        return rdata.name("b.example").u16(1).u8(0x40);
    default:
        return rdata.raw(address);
    }
}

inline Message query(std::string_view qname, unsigned qtype = type::a) noexcept {
    Message message{0x1234, query_flags};
    message.question(qname, qtype);
    return message;
}

inline Message response(std::string_view qname, unsigned qtype = type::a) noexcept {
    Message message{7, response_flags};
    message.question(qname, qtype);
    return message;
}

inline Bytes wire_name(std::string_view dotted) noexcept {
    Bytes bytes;
    bytes.name(dotted);
    return bytes;
}

/// The question of a query that was made with query().
inline ParsedQuery parsed(const Bytes& message) noexcept {
    ParsedQuery query;
    (void)parse_query(message.octets(), query);
    return query;
}

/// What can be said of an answer that was written, by walking it with nothing but offsets.
struct Layout {
    bool sound{false}; // names uncompressed or one pointer, counts right, nothing left over
    std::size_t question_end{0};
    std::size_t opt{0}; // its offset; 0: none
    std::size_t opts{0};
    std::size_t end{0};
};

inline Layout layout(Octets message) noexcept {
    Layout found;
    if (message.size() < header_size) {
        return found;
    }
    const auto skip_name = [message](std::size_t at) {
        while (at < message.size() && message[at] != 0 && message[at] < 0xc0) {
            at += message[at] + 1U;
        }
        return at < message.size() && message[at] == 0 ? at + 1 : at + 2;
    };
    std::size_t at = header_size;
    for (unsigned i = 0; i < qdcount(message); ++i) {
        at = skip_name(at) + 4;
    }
    found.question_end = at;
    const std::size_t records = std::size_t{ancount(message)} + nscount(message) + arcount(message);
    for (std::size_t i = 0; i < records; ++i) {
        const std::size_t owner = at;
        at = skip_name(at);
        if (at + 10 > message.size()) {
            return found;
        }
        if (load16(message, at) == type::opt) {
            found.opt = owner;
            ++found.opts;
        }
        at += 10U + load16(message, at + 8);
    }
    found.end = at;
    found.sound = at == message.size();
    return found;
}

/// The data of the first option `code` in the OPT of an answer; empty with `found` false if none.
struct FoundOption {
    bool found{false};
    Octets data;
    std::size_t count{0};
};

inline FoundOption find_option(Octets message, unsigned code) noexcept {
    FoundOption result;
    const Layout where = layout(message);
    if (!where.sound || where.opt == 0) {
        return result;
    }
    std::size_t at = where.opt + 11;
    const std::size_t end = at + load16(message, where.opt + 9);
    while (at + 4 <= end) {
        const std::size_t length = load16(message, at + 2);
        if (load16(message, at) == code) {
            if (!result.found) {
                result.data = message.subspan(at + 4, length);
            }
            result.found = true;
            ++result.count;
        }
        at += 4 + length;
    }
    return result;
}

inline bool same(Octets a, Octets b) noexcept {
    return std::ranges::equal(a, b);
}

} // namespace dotproxy::dns::test
