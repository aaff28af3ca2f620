// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/frame_wire.hh"

#include "dns/frame.hh"
#include "dns/query.hh"

#include <algorithm>
#include <array>
#include <span>

namespace dotproxy {

std::uint16_t FrameWire::send(Inquiry& inquiry) noexcept {
    const std::uint16_t slot = slots_.take(&inquiry);
    std::array<std::uint8_t, dns::max_query_size> message; // NOLINT(*-member-init)
    queue(write_query(inquiry, slots_.wire_id(slot), !keepalive_asked_, message));
    keepalive_asked_ = keepalive_asked_ || inquiry.sealed.empty();
    unsent_.push_back(slot);
    return slot;
}

void FrameWire::send_probe() noexcept {
    probe_ = slots_.take(nullptr);
    std::array<std::uint8_t, dns::max_query_size> message; // NOLINT(*-member-init)
    const std::size_t size = write_probe(slots_.wire_id(probe_), message);
    queue(std::span{message}.first(size));
}

void FrameWire::queue(dns::Octets message) noexcept {
    const std::span<std::uint8_t> room = queued_.grow(dns::frame_prefix_size + message.size());
    dns::store16(room, 0, static_cast<std::uint16_t>(message.size()));
    std::copy(message.begin(), message.end(), room.begin() + dns::frame_prefix_size);
}

std::size_t FrameWire::on_sent() noexcept {
    for (const std::uint16_t slot : unsent_) {
        slots_[slot].sent = true;
    }
    const std::size_t queries = unsent_.size();
    unsent_.clear();
    queued_.clear();
    return queries;
}

void FrameWire::feed(dns::Octets plain) noexcept {
    taken_in_ = 0;
    if (partial_.empty()) {
        input_ = plain;
    } else {
        partial_.append(plain);
        input_ = partial_.view();
    }
}

FrameWire::Arrival FrameWire::next() noexcept {
    const dns::Frame frame = dns::next_frame(input_.subspan(taken_in_));
    switch (frame.state) {
    case dns::Frame::State::complete:
        taken_in_ += frame.consumed;
        return arrival_of(frame.message);
    case dns::Frame::State::invalid:
        return {.kind = Arrival::Kind::broken, .reason = "sent a frame that holds no DNS message"};
    case dns::Frame::State::partial:
        break;
    }
    return {};
}

FrameWire::Arrival FrameWire::arrival_of(dns::Octets message) noexcept {
    std::uint16_t slot = Slots::none;
    switch (slots_.find(dns::id(message), slot)) {
    case Slots::Meaning::unknown:
        // The stream has shifted or makes no sense (L83).
        return {.kind = Arrival::Kind::broken, .reason = "answered what was not asked"};
    case Slots::Meaning::late:
        return {.kind = Arrival::Kind::late}; // a second answer to the same query (L85)
    case Slots::Meaning::in_flight:
        break;
    }
    if (Inquiry* inquiry = slots_[slot].inquiry) {
        return {
            .kind = Arrival::Kind::answer, .slot = slot, .inquiry = inquiry, .message = message};
    }
    slots_.free(slot);
    if (slot != probe_) {
        return {.kind = Arrival::Kind::late, .slot = slot};
    }
    probe_ = Slots::none;
    return {.kind = Arrival::Kind::probe};
}

void FrameWire::keep_rest(TimePoint now) noexcept {
    if (partial_.empty()) {
        if (taken_in_ < input_.size()) {
            partial_.append(input_.subspan(taken_in_));
            partial_since_ = now;
        }
    } else if (taken_in_ > 0) {
        partial_.consume(taken_in_);
        partial_since_ = now;
        partial_.release();
    }
    input_ = {};
}

} // namespace dotproxy
