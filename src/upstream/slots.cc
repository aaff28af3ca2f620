// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/slots.hh"

namespace dotproxy {

namespace {

constexpr unsigned slot_bits = 12;
constexpr unsigned use_mask = 0xf; // the rest of the ID
static_assert(Slots::capacity == 1U << slot_bits);

} // namespace

std::uint16_t Slots::take(Inquiry* inquiry) noexcept {
    std::uint16_t index = free_head_;
    if (index != none) {
        free_head_ = slots_[index].next_free;
    } else {
        index = static_cast<std::uint16_t>(slots_.size());
        slots_.emplace_back();
    }
    Slot& slot = slots_[index];
    slot.inquiry = inquiry;
    slot.taken = true;
    slot.sent = false;
    slot.forgotten = false;
    // Counts on modulo the mask once all values have been seen, so that it never wraps to "unused".
    slot.uses = static_cast<std::uint16_t>(slot.uses <= use_mask * 2 ? slot.uses + 1
                                                                     : slot.uses - use_mask);
    ++taken_;
    return index;
}

void Slots::free(std::uint16_t index) noexcept {
    Slot& slot = slots_[index];
    forgotten_ -= slot.forgotten ? 1 : 0;
    slot.forgotten = false;
    slot.taken = false;
    slot.inquiry = nullptr;
    slot.next_free = free_head_;
    free_head_ = index;
    --taken_;
}

void Slots::forget(std::uint16_t slot) noexcept {
    slots_[slot].inquiry = nullptr;
    slots_[slot].forgotten = true;
    ++forgotten_;
}

std::uint16_t Slots::wire_id(std::uint16_t slot) const noexcept {
    const unsigned use = (slots_[slot].uses - 1U) & use_mask;
    return static_cast<std::uint16_t>((slot | use << slot_bits) ^ id_mask_);
}

Slots::Meaning Slots::find(std::uint16_t wire_id, std::uint16_t& slot) const noexcept {
    const unsigned id = unsigned{wire_id} ^ id_mask_;
    const unsigned use = id >> slot_bits;
    slot = static_cast<std::uint16_t>(id & (capacity - 1));
    if (slot >= slots_.size() || use >= slots_[slot].uses) {
        return Meaning::unknown;
    }
    const bool current = slots_[slot].taken && use == ((slots_[slot].uses - 1U) & use_mask);
    return current ? Meaning::in_flight : Meaning::late;
}

} // namespace dotproxy
