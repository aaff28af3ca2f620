// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Handshakes: how many of a worker's clients may be in the middle of a TLS handshake. Each holds up
// to 50 KiB, and to answer a ClientHello costs as much as sixty answers from the cache (limits 38;
// E26). Who finds no seat waits in front of it with what it has sent in the kernel's hands.

#pragma once

#include "base/address.hh"
#include "relay/address_counts.hh"
#include "relay/standing.hh"

#include <cstdint>
#include <utility>

namespace dotproxy {

class Handshakes {
  public:
    static constexpr std::uint32_t most = 64;

    /// One of them, for as long as this lives. Must not outlive the Handshakes.
    class Seat {
      public:
        Seat() noexcept = default;

        Seat(Seat&& other) noexcept
            : room_{std::exchange(other.room_, nullptr)}, place_{std::move(other.place_)} {}

        Seat& operator=(Seat&& other) noexcept {
            std::swap(room_, other.room_);
            std::swap(place_, other.place_);
            return *this;
        }

        ~Seat() {
            if (room_ != nullptr) {
                --room_->taken_;
                ++room_->left_;
            }
        }

        explicit operator bool() const noexcept { return room_ != nullptr; }

      private:
        friend class Handshakes;

        Seat(Handshakes& room, AddressCounts::Place place) noexcept
            : room_{&room}, place_{std::move(place)} {}

        Handshakes* room_{nullptr};
        AddressCounts::Place place_;
    };

    Handshakes() : addresses_{most + 1} {}

    Handshakes(const Handshakes&) = delete;
    Handshakes& operator=(const Handshakes&) = delete;
    ~Handshakes() = default;

    /// A seat for `peer`; an empty one where there is none, or its source has as many as there are
    /// left for others (limits 33). This host may have them all.
    [[nodiscard]] Seat enter(const Address& peer, Standing standing) noexcept;

    [[nodiscard]] bool full() const noexcept { return taken_ >= most; }

    [[nodiscard]] std::uint32_t taken() const noexcept { return taken_; }

    /// How many have given theirs back so far: another number says that there may be one for who
    /// found none.
    [[nodiscard]] std::uint32_t left() const noexcept { return left_; }

  private:
    AddressCounts addresses_;
    std::uint32_t taken_{0};
    std::uint32_t left_{0};
};

} // namespace dotproxy
