// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "bench/statistics.hh"

#include <algorithm>
#include <cstdio>

namespace dotproxy::bench {

void Statistics::sent(TimePoint when) {
    if (in_window(when)) {
        ++sent_;
        if (Bin* bin = bin_of(when)) {
            ++bin->sent;
        }
    }
}

void Statistics::answered(TimePoint when, TimePoint now, bool good) {
    if (good && in_window(now)) {
        ++received_;
    }
    if (!in_window(when)) {
        return;
    }
    if (!good) {
        ++failed_;
        return;
    }
    latencies_.push_back(std::chrono::duration<float, std::micro>{now - when}.count());
    if (Bin* bin = bin_of(when)) {
        ++bin->answered;
    }
}

void Statistics::lost(TimePoint when) noexcept {
    if (in_window(when)) {
        ++lost_;
    }
}

Statistics::Bin* Statistics::bin_of(TimePoint when) {
    if (bin_.count() == 0) {
        return nullptr;
    }
    const auto index = static_cast<std::size_t>((when - begin_) / bin_);
    if (index >= bins_.size()) {
        bins_.resize(index + 1);
    }
    return &bins_[index];
}

double Statistics::percentile(double share) noexcept {
    if (latencies_.empty()) {
        return 0;
    }
    const auto rank =
        static_cast<std::ptrdiff_t>(share * static_cast<double>(latencies_.size() - 1));
    std::nth_element(latencies_.begin(), latencies_.begin() + rank, latencies_.end());
    return static_cast<double>(latencies_[static_cast<std::size_t>(rank)]);
}

void Statistics::print() {
    const double seconds = std::chrono::duration<double>{end_ - begin_}.count();
    std::printf("seconds=%.6f sent=%llu received=%llu answered=%zu failed=%llu lost=%llu ", seconds,
                static_cast<unsigned long long>(sent_), static_cast<unsigned long long>(received_),
                latencies_.size(), static_cast<unsigned long long>(failed_),
                static_cast<unsigned long long>(lost_));
    std::printf("records=%llu ", static_cast<unsigned long long>(records_));
    std::printf("p50=%.1f p90=%.1f p99=%.1f max=%.1f\n", percentile(0.5), percentile(0.9),
                percentile(0.99), percentile(1));
    for (std::size_t i = 0; i < bins_.size(); ++i) {
        std::printf("bin %zu %u %u\n", i, bins_[i].sent, bins_[i].answered);
    }
    std::fflush(stdout);
}

} // namespace dotproxy::bench
