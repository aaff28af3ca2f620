// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/endpoint.hh"

#include "upstream/frame_wire.hh"
#include "upstream/http_wire.hh"

#include <algorithm>
#include <iterator>
#include <sys/socket.h>
#include <utility>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

constexpr Clock::duration shortest_pause = 50ms;
constexpr Clock::duration longest_pause = 10s;
constexpr int outage_share = 64;

// A page in a browser asks for some dozens of names; with an upstream that closes after each answer
// all of them are asked at once, and a steady 25 a second after that.
constexpr int connect_burst = 50;
constexpr Clock::duration connect_interval = 40ms;
constexpr int answers_per_connect = 4;

// Whoever is asked too much at a time is asked this much all the same (E86).
constexpr std::size_t fewest_in_flight = 4;
constexpr unsigned answers_per_place = 100;
constexpr Clock::duration restraint_time = 5s; // and then twice as much is tried

/// 3/4 to 5/4 of `pause`, so that workers and hosts do not knock all at once.
Clock::duration jitter(Clock::duration pause, std::uint32_t random) noexcept {
    return pause * (768 + static_cast<int>(random % 512)) / 1024;
}

} // namespace

std::vector<Address> in_turns(std::vector<Address> addresses) {
    for (auto next = addresses.begin(); next != addresses.end(); ++next) {
        const int before = next == addresses.begin() ? AF_UNSPEC : std::prev(next)->family();
        const auto other = std::find_if(next, addresses.end(), [before](const Address& address) {
            return address.family() != before;
        });
        if (other != addresses.end()) {
            std::rotate(next, other, std::next(other)); // the others stay in order
        }
    }
    return addresses;
}

TimePoint Endpoint::retry_at() const noexcept {
    return std::max(
        {retry_at_, rests_until_, paid_until_ - (connect_burst - 1) * connect_interval});
}

void Endpoint::note_connect(TimePoint now) noexcept {
    paid_until_ = std::max(paid_until_, now) + connect_interval;
}

std::unique_ptr<QueryWire> Endpoint::make_wire(std::uint16_t id_mask) const {
    if (https_.target != nullptr) {
        return std::make_unique<HttpWire>(*https_.context, *https_.target);
    }
    return std::make_unique<FrameWire>(id_mask);
}

void Endpoint::note_too_many(std::size_t in_flight, TimePoint sent_at, TimePoint now) noexcept {
    if (sent_at <= restrained_at_) {
        most_in_flight_ = std::max(fewest_in_flight, std::min(most_in_flight_, in_flight));
    } else if (in_flight >= fewest_in_flight) {
        restrained_at_ = now;
        answers_since_ = 0;
        most_in_flight_ = std::max(fewest_in_flight, std::min(most_in_flight_, in_flight + 1) / 2);
    }
}

void Endpoint::note_answer(TimePoint now) noexcept {
    if (most_in_flight_ < Slots::capacity) {
        if (now - restrained_at_ >= restraint_time) {
            restrained_at_ = now;
            most_in_flight_ = std::min(most_in_flight_ * 2, Slots::capacity);
        } else if (++answers_since_ == answers_per_place) {
            answers_since_ = 0;
            ++most_in_flight_;
        }
    }
    if (paid_until_ > TimePoint{}) { // what is earned beyond the burst is not kept
        paid_until_ -= connect_interval / answers_per_connect;
    }
}

Trouble Endpoint::recover() noexcept {
    failures_ = 0;
    retry_at_ = TimePoint::min();
    return std::exchange(trouble_, Trouble::none);
}

void Endpoint::fail(Trouble trouble, std::string reason, TimePoint now,
                    std::uint32_t random) noexcept {
    if (trouble_ == Trouble::none) {
        down_since_ = now;
    }
    trouble_ = trouble;
    reason_ = std::move(reason);
    if (failures_++ == 0) {
        retry_at_ = now;
        return;
    }
    const Clock::duration outage = now - down_since_;
    retry_at_ =
        now + jitter(std::clamp(outage / outage_share, shortest_pause, longest_pause), random);
}

} // namespace dotproxy
