// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Slots: the message IDs of one upstream connection, and which inquiry each stands for. An ID is a
// slot and how often that slot was used, under a random mask: IDs do not count up (C97), none is
// used twice at a time (C7), and one that was never given out is told from one that is late.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace dotproxy {

struct Inquiry;

class Slots {
  public:
    /// The most that can be taken at a time, well below the ID space (C99).
    static constexpr std::size_t capacity = 4096;
    static constexpr std::uint16_t none = capacity;

    struct Slot {
        Inquiry* inquiry{nullptr}; // nullptr while taken: nobody waits any more, or a probe
        std::uint16_t next_free{0};
        std::uint16_t uses{0}; // how often it was taken; stays at the top once there
        bool taken{false};
        bool sent{false};      // its query has left this host
        bool forgotten{false}; // taken, and nobody waits any more (C98)
    };

    /// What an ID that came back stands for.
    enum class Meaning : std::uint8_t {
        in_flight,
        late,    // a second answer, or one to an earlier use
        unknown, // never given out
    };

    explicit Slots(std::uint16_t id_mask) noexcept : id_mask_{id_mask} {}

    /// Takes a slot; there is one as long as taken() is below capacity.
    [[nodiscard]] std::uint16_t take(Inquiry* inquiry) noexcept;
    void free(std::uint16_t slot) noexcept;
    /// Nobody waits for it any more; it stays taken until the answer comes.
    void forget(std::uint16_t slot) noexcept;

    [[nodiscard]] std::uint16_t wire_id(std::uint16_t slot) const noexcept;
    /// Finds the slot of an ID.
    [[nodiscard]] Meaning find(std::uint16_t wire_id, std::uint16_t& slot) const noexcept;

    [[nodiscard]] Slot& operator[](std::uint16_t slot) noexcept { return slots_[slot]; }

    [[nodiscard]] std::size_t taken() const noexcept { return taken_; }

    [[nodiscard]] std::size_t forgotten() const noexcept { return forgotten_; }

    [[nodiscard]] auto begin() noexcept { return slots_.begin(); }

    [[nodiscard]] auto end() noexcept { return slots_.end(); }

  private:
    std::vector<Slot> slots_;
    std::size_t taken_{0};
    std::size_t forgotten_{0};
    std::uint16_t free_head_{none};
    std::uint16_t id_mask_;
};

} // namespace dotproxy
