// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// SipHash (Aumasson and Bernstein, 2012), a short keyed hash. With the rounds 1 and 3 for tables
// whose keys come from the network: without the key nobody can choose what collides (L19). With 2
// and 4, as its authors propose for what must not be forged.

#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

namespace dotproxy {

/// Whatever the rounds.
struct SipHashKey {
    std::uint64_t k0;
    std::uint64_t k1;

    /// A key that nobody can know. Throws std::system_error when the system has no randomness.
    [[nodiscard]] static SipHashKey draw();
};

/// Hashes octets under a key, with so many rounds for each word and at the end.
template <unsigned word_rounds, unsigned last_rounds>
class SipHashOf {
  public:
    using Key = SipHashKey;

    [[nodiscard]] static Key draw_key() { return Key::draw(); }

    explicit SipHashOf(const Key& key) noexcept
        : v0_{key.k0 ^ 0x736f6d6570736575U}, v1_{key.k1 ^ 0x646f72616e646f6dU},
          v2_{key.k0 ^ 0x6c7967656e657261U}, v3_{key.k1 ^ 0x7465646279746573U} {}

    /// The hash of `octets`.
    [[nodiscard]] std::uint64_t operator()(std::span<const std::uint8_t> octets) const noexcept {
        SipHashOf state{*this};
        const std::size_t whole = octets.size() & ~std::size_t{7};
        for (std::size_t i = 0; i < whole; i += 8) {
            state.absorb(word(octets.subspan(i).first<8>()));
        }
        const std::uint64_t length = std::uint64_t{octets.size()} << 56U;
        state.absorb(length | rest(octets.subspan(whole)));
        state.v2_ ^= 0xffU;
        state.template rounds<last_rounds>();
        return state.v0_ ^ state.v1_ ^ state.v2_ ^ state.v3_;
    }

  private:
    // Written out, since GCC makes one load of this and of no loop.
    static std::uint64_t word(std::span<const std::uint8_t, 8> octets) noexcept {
        return std::uint64_t{octets[0]} | std::uint64_t{octets[1]} << 8U |
               std::uint64_t{octets[2]} << 16U | std::uint64_t{octets[3]} << 24U |
               std::uint64_t{octets[4]} << 32U | std::uint64_t{octets[5]} << 40U |
               std::uint64_t{octets[6]} << 48U | std::uint64_t{octets[7]} << 56U;
    }

    static std::uint64_t rest(std::span<const std::uint8_t> octets) noexcept {
        std::uint64_t value = 0;
        for (std::size_t i = octets.size(); i > 0; --i) {
            value = value << 8U | octets[i - 1];
        }
        return value;
    }

    void absorb(std::uint64_t value) noexcept {
        v3_ ^= value;
        rounds<word_rounds>();
        v0_ ^= value;
    }

    template <unsigned count>
    void rounds() noexcept {
        for (unsigned i = 0; i < count; ++i) {
            round();
        }
    }

    void round() noexcept {
        v0_ += v1_;
        v1_ = std::rotl(v1_, 13) ^ v0_;
        v0_ = std::rotl(v0_, 32);
        v2_ += v3_;
        v3_ = std::rotl(v3_, 16) ^ v2_;
        v0_ += v3_;
        v3_ = std::rotl(v3_, 21) ^ v0_;
        v2_ += v1_;
        v1_ = std::rotl(v1_, 17) ^ v2_;
        v2_ = std::rotl(v2_, 32);
    }

    std::uint64_t v0_, v1_, v2_, v3_;
};

using SipHash = SipHashOf<1, 3>;
using SipHash24 = SipHashOf<2, 4>;

} // namespace dotproxy
