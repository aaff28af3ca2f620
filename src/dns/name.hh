// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Domain names on the wire (RFC 1035, sections 3.1 and 4.1.4), and the client's own spelling of
// one. Case is folded for ASCII letters only (RFC 4343).

#pragma once

#include "dns/wire.hh"

#include <array>
#include <optional>

namespace dotproxy::dns {

/// An uncompressed name, the root label included; at least one octet once it has been set.
struct Name {
    std::uint8_t size{0};
    std::array<std::uint8_t, max_name_size> octets; // [0, size) is meaningful

    [[nodiscard]] Octets view() const noexcept { return Octets{octets}.first(size); }
};

/// The octets that a name takes up at `at` (compressed or not), after checking it whole: labels of
/// at most 63 octets, pointers strictly backwards to what ends in front of the labels behind which
/// they stand, a bounded number of them (L5), at most 255 octets once expanded. nullopt when it is
/// malformed or runs past the end of `message`.
[[nodiscard]] std::optional<std::size_t> name_extent(Octets message, std::size_t at) noexcept;

/// Whether a pointer begins at this octet, where a label could.
[[nodiscard]] inline bool is_pointer(std::uint8_t octet) noexcept {
    return (octet & 0xc0U) == 0xc0;
}

/// The offset that the pointer at `at` leads to.
[[nodiscard]] inline std::size_t pointer_target(Octets message, std::size_t at) noexcept {
    return load16(message, at) & 0x3fffU;
}

/// The octets that the name at `at`, which name_extent() accepted, takes up.
[[nodiscard]] inline std::size_t name_size(Octets message, std::size_t at) noexcept {
    std::size_t end = at;
    while (message[end] != 0 && !is_pointer(message[end])) {
        end += message[end] + 1U;
    }
    return end - at + (message[end] == 0 ? 1 : 2);
}

/// Where the first label of the name at `at`, which name_extent() accepted, stands: behind the
/// pointers that it may begin with. Names with the same start are equal.
[[nodiscard]] inline std::size_t name_start(Octets message, std::size_t at) noexcept {
    while (is_pointer(message[at])) {
        at = pointer_target(message, at);
    }
    return at;
}

/// Expands the name at `at`, which name_extent() accepted, folded to lower case.
void read_name(Octets message, std::size_t at, Name& out) noexcept;

/// Expands the name at `at`, which name_extent() accepted, as it is spelled. Returns its size; 0
/// when it does not fit `out`.
[[nodiscard]] std::size_t copy_name(Octets message, std::size_t at, MutableOctets out) noexcept;

/// Whether the name at `at` (which name_extent() accepted) equals `name` (uncompressed), case
/// ignored.
[[nodiscard]] bool name_equals(Octets message, std::size_t at, Octets name) noexcept;

/// Whether two uncompressed names are equal, case ignored.
[[nodiscard]] bool same_name(Octets a, Octets b) noexcept;

/// Whether uncompressed `name` is `zone` or below it, case ignored.
[[nodiscard]] bool within(Octets name, Octets zone) noexcept;

/// Copies `name` to `out`, folded to lower case.
void fold(Octets name, MutableOctets out) noexcept;

/// Which letters of a name the client wrote in upper case (C31: its spelling comes back bit for
/// bit, and resolvers that vary it at random rely on that). One bit an octet.
class Spelling {
  public:
    Spelling() noexcept = default;
    /// Takes the spelling of an uncompressed name.
    explicit Spelling(Octets name) noexcept;
    /// Writes the spelling onto the same name in lower case.
    void apply(MutableOctets folded) const noexcept;

  private:
    std::array<std::uint64_t, 4> upper_{};
};

} // namespace dotproxy::dns
