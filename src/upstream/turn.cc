// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/turn.hh"

#include <utility>

namespace dotproxy {

void StreamBudget::look() noexcept {
    const TimePoint now = Clock::now();
    if (!begun_) {
        begun_ = true;
        start_ = now;
    }
    pieces_ = 0;
    spent_ = spent_ || now - start_ >= limit_;
}

void Turn::note_late(Outcome outcome, TimePoint asked_at) noexcept {
    counters.duration(outcome).add(now - asked_at);
}

void Turn::end() noexcept {
    const Histogram::Measured took{Clock::now() - now};
    counters.turns().add(took);
    streams.renew(std::exchange(udp_waits, false));
    for_each_of<Outcome>([&](Outcome outcome) {
        auto& answers = answered_at_once_[static_cast<std::size_t>(outcome)];
        if (answers > 0) {
            counters.duration(outcome).add(took, std::exchange(answers, 0));
        }
    });
}

} // namespace dotproxy
