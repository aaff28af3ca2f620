// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The OPT pseudo-record (RFC 6891), for this room alone: its options one after the other, and one
// of our own to write. Nothing is copied from one side's OPT to the other's (C40).

#pragma once

#include "dns/record.hh"
#include "dns/wire.hh"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace dotproxy::dns {

namespace option {
constexpr std::uint16_t subnet = 8;     // RFC 7871
constexpr std::uint16_t cookie = 10;    // RFC 7873
constexpr std::uint16_t keepalive = 11; // RFC 7828
constexpr std::uint16_t padding = 12;   // RFC 7830
constexpr std::uint16_t error = 15;     // RFC 8914
} // namespace option

/// The UDP payload size that we advertise. On a stream it means nothing (C48).
constexpr std::uint16_t own_payload_size = max_udp_answer_size;

/// Octets of an OPT without options.
constexpr std::size_t opt_size = 1 + record_fixed_size;

/// Octets of OPTION-CODE and OPTION-LENGTH.
constexpr std::size_t option_prefix_size = 4;

/// Options whose meaning is looked at (L2). Those behind them have their lengths checked only.
constexpr std::size_t max_options = 64;

// The TTL field of an OPT (RFC 6891, section 6.1.3).
[[nodiscard]] constexpr std::uint8_t opt_upper_rcode(std::uint32_t ttl) noexcept {
    return static_cast<std::uint8_t>(ttl >> 24U);
}

[[nodiscard]] constexpr std::uint8_t opt_version(std::uint32_t ttl) noexcept {
    return static_cast<std::uint8_t>(ttl >> 16U & 0xffU);
}

[[nodiscard]] constexpr bool opt_dnssec_ok(std::uint32_t ttl) noexcept {
    return (ttl & 0x8000U) != 0;
}

/// Whether an OPT may be this record: it belongs to the root (C43).
[[nodiscard]] inline bool opt_at_root(Octets message, const Record& record) noexcept {
    return message[record.owner] == 0;
}

/// One option.
struct Option {
    std::uint16_t code;
    Octets data;
};

/// Walks the options of an OPT's RDATA, once and in order.
class OptionReader {
  public:
    explicit OptionReader(Octets rdata) noexcept : left_{rdata} {}

    /// The next option; nullopt at the end, and where one runs past it.
    [[nodiscard]] std::optional<Option> next() noexcept {
        if (left_.size() < option_prefix_size) {
            return std::nullopt;
        }
        const std::size_t length = load16(left_, 2);
        if (left_.size() - option_prefix_size < length) {
            return std::nullopt;
        }
        const Option option{.code = load16(left_, 0),
                            .data = left_.subspan(option_prefix_size, length)};
        left_ = left_.subspan(option_prefix_size + length);
        return option;
    }

    /// After next() returned nullopt: whether the options filled the RDATA to its last octet (C47).
    [[nodiscard]] bool at_end() const noexcept { return left_.empty(); }

  private:
    Octets left_;
};

/// Writes an OPT of our own, with the options that there is room for.
class OptWriter {
  public:
    /// Begins at `at` in `out`, where there is room for opt_size octets. Version 0, no flags but
    /// DO.
    OptWriter(MutableOctets out, std::size_t at, std::uint16_t rcode, bool dnssec_ok) noexcept;

    /// Whether an option with `size` octets of data still fits.
    [[nodiscard]] bool fits(std::size_t size) const noexcept {
        return out_.size() - end_ >= option_prefix_size + size;
    }

    /// How much data one more option can have, where an empty one fits.
    [[nodiscard]] std::size_t room() const noexcept {
        return out_.size() - end_ - option_prefix_size;
    }

    /// Adds an option if it fits, and returns its data, to be written by the caller; else nothing.
    [[nodiscard]] MutableOctets add(std::uint16_t code, std::size_t size) noexcept;

    /// Where the OPT ends.
    [[nodiscard]] std::size_t end() const noexcept { return end_; }

  private:
    MutableOctets out_;
    std::size_t rdata_;
    std::size_t end_;
};

/// Whether `text` may be passed on: UTF-8 without control characters (L11).
[[nodiscard]] bool is_clean_text(Octets text) noexcept;

/// An empty client subnet: "none of mine to anyone" (RFC 7871, section 7.1.2).
constexpr std::size_t subnet_opt_out_size = 4;

/// Writes the data of a subnet option without an address, scope 0.
void write_subnet_opt_out(MutableOctets data, std::uint16_t family) noexcept;

} // namespace dotproxy::dns
