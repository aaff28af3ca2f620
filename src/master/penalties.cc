// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/penalties.hh"

#include <algorithm>
#include <array>
#include <cmath>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

constexpr double times_its_limit = 10;
constexpr unsigned seconds_in_a_row = 10;
constexpr Clock::duration memory_of_blocks = 10min;
constexpr std::size_t most_remembered = 1024;
constexpr unsigned lines_per_minute = 10;

// More than this is not to be believed of what a worker counts.
constexpr double most_sent_for_one_read = 100;
constexpr Clock::duration minute = 1min;

bool overlaps_any(std::span<const Prefix> prefixes, const Prefix& prefix) noexcept {
    return std::ranges::any_of(prefixes,
                               [&prefix](const Prefix& one) { return one.overlaps(prefix); });
}

bool is_loopback(const Prefix& prefix) noexcept {
    static const std::array loopback{Prefix::parse("127.0.0.0/8").value(),
                                     Prefix::parse("::1").value()};
    return overlaps_any(loopback, prefix);
}

std::string seconds_text(Clock::duration duration) {
    return std::to_string(std::chrono::round<std::chrono::seconds>(duration).count()) + " s";
}

/// What a line says when it begins.
std::string text_of(const Block& block, bool counts_only) {
    std::string text = (counts_only ? "would block " : "blocks ") + block.prefix.text() + " for " +
                       seconds_text(block.until - block.since) + ": ";
    if (!block.offence) {
        return text + "told to by dotproxyctl";
    }
    text += number_text(block.rate) + ' ' + name_of(*block.offence) +
            " a second over its limit of " + number_text(block.limit);
    return text + (block.entire ? "" : ", perhaps in its name by others: it is answered over TCP");
}

} // namespace

std::string number_text(double number) {
    return std::to_string(static_cast<std::uint64_t>(std::clamp(number, 0.0, 1e15)));
}

const char* name_of(Offence offence) noexcept {
    switch (offence) {
    case Offence::miss:
        return "misses";
    case Offence::connection:
        return "connections";
    default:
        return "questions";
    }
}

const char* Untouchables::reason(const Prefix& prefix) const noexcept {
    if (is_loopback(prefix)) {
        return "this host is never blocked";
    }
    if (overlaps_any(own, prefix)) {
        return "an address of this machine is never blocked";
    }
    if (overlaps_any(upstreams, prefix)) {
        return "an upstream is never blocked";
    }
    if (overlaps_any(proxies, prefix)) {
        return "a trusted proxy is never blocked";
    }
    // The longest that has all of it says what it is; within it there may be others.
    const auto has_all = std::ranges::find_if(
        networks, [&prefix](const auto& one) { return one.first.contains(prefix); });
    const bool has_unlimited = std::ranges::any_of(networks, [&prefix](const auto& one) {
        return one.second == 0 && prefix.contains(one.first);
    });
    return has_unlimited || (has_all != networks.end() && has_all->second == 0)
               ? "a network with factor 0 in limits.networks is never blocked"
               : nullptr;
}

bool Penalties::look(std::span<const Offender> offenders, const Moment& moment,
                     const Terms& terms) {
    update(offenders, moment);
    for (Suspect& suspect : suspects_) {
        if (terms.block_time != Clock::duration{0} && suspect.seconds >= seconds_in_a_row) {
            punish(suspect, moment, terms);
        }
    }
    return !suspects_.empty();
}

/// Takes what workers have written since the last look. Of what was written before the first one
/// nobody knows in what time: it counts from there on.
void Penalties::update(std::span<const Offender> offenders, const Moment& moment) {
    const TimePoint now = moment.now;
    const double sent = sent_for_one_read(moment);
    last_look_ = moment;
    for (Suspect& suspect : suspects_) {
        suspect.seen = false;
    }
    for (const Offender& offender : offenders) {
        if (!std::isfinite(offender.culprit.limit) || offender.culprit.limit <= 0) {
            continue;
        }
        const auto known = std::ranges::find(suspects_, offender.culprit, &Suspect::culprit);
        if (known == suspects_.end()) {
            if (offender.last + 2 * between_looks >= now) {
                suspects_.push_back(
                    {.culprit = offender.culprit, .over = offender.over, .looked_at = now});
            }
            continue;
        }
        const Clock::duration elapsed = now - known->looked_at;
        known->seen = true;
        if (elapsed < between_looks) {
            continue;
        }
        // What stands there anew begins at 0.
        const std::uint64_t more =
            offender.over >= known->over ? offender.over - known->over : offender.over;
        const double scale = known->culprit.verified ? 1 : sent;
        const double rate =
            static_cast<double>(more) * scale / std::chrono::duration<double>{elapsed}.count();
        // What is an estimate differs from one second to the next.
        known->rate = scale > 1 && known->rate > 0 ? (known->rate + rate) / 2 : rate;
        known->seconds =
            known->rate >= times_its_limit * known->culprit.limit ? known->seconds + 1 : 0;
        known->over = offender.over;
        known->looked_at = now;
        known->seen = more > 0;
    }
    std::erase_if(suspects_, [](const Suspect& suspect) { return !suspect.seen; });
}

/// A flood that is more than can be read is seen in part. The kernel drops without looking at whose
/// it is, so that of everybody's datagrams the same part is left.
double Penalties::sent_for_one_read(const Moment& moment) const noexcept {
    if (!last_look_ || moment.read <= last_look_->read || moment.lost <= last_look_->lost) {
        return 1;
    }
    const auto read = static_cast<double>(moment.read - last_look_->read);
    const auto lost = static_cast<double>(moment.lost - last_look_->lost);
    return std::min(1 + lost / read, most_sent_for_one_read);
}

void Penalties::punish(Suspect& suspect, const Moment& moment, const Terms& terms) {
    const Culprit& culprit = suspect.culprit;
    suspect.seconds = 0;
    if (is_blocked(culprit) || blocks_.size() >= capacity ||
        terms.untouchables.reason(culprit.prefix) != nullptr) {
        return;
    }
    const Clock::duration length = length_of(culprit.prefix, moment.now, terms.block_time);
    ++begun_;
    begin({.prefix = culprit.prefix,
           .offence = culprit.offence,
           .entire = culprit.verified,
           .rate = suspect.rate,
           .limit = culprit.limit,
           .since = moment.now,
           .until = moment.now + length},
          moment, terms.counts_only);
}

Clock::duration Penalties::length_of(const Prefix& prefix, TimePoint now,
                                     Clock::duration first) const {
    const auto past = past_.find(prefix.text());
    const bool repeats = past != past_.end() && now - past->second.until < memory_of_blocks;
    return std::min(repeats ? std::max(past->second.length * 2, first) : first, longest);
}

bool Penalties::is_blocked(const Culprit& culprit) const noexcept {
    return std::ranges::any_of(blocks_, [&culprit](const Block& block) {
        return block.covers(culprit.prefix, culprit.verified);
    });
}

void Penalties::begin(Block block, const Moment& moment, bool counts_only) {
    counts_only_ = counts_only;
    block.dropped_before = moment.dropped;
    block.alone = blocks_.empty();
    for (Block& other : blocks_) {
        other.alone = false;
    }
    say(text_of(block, counts_only));
    blocks_.push_back(block);
    ++version_;
}

void Penalties::end(std::size_t index, const Moment& moment, const char* why) {
    const Block block = blocks_[index];
    blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(index));
    ++version_;
    if (block.offence) {
        std::erase_if(past_, [&moment](const auto& past) {
            return moment.now - past.second.until >= memory_of_blocks;
        });
        if (past_.size() < most_remembered) {
            past_[block.prefix.text()] = {.length = block.until - block.since, .until = moment.now};
        }
    }
    std::string line = (counts_only_ ? "would no longer block " : "no longer blocks ") +
                       block.prefix.text() + ", after " + seconds_text(moment.now - block.since) +
                       why;
    if (block.alone && !counts_only_) {
        line += "; " + std::to_string(moment.dropped - block.dropped_before) +
                " datagrams were dropped";
    }
    say(std::move(line));
}

void Penalties::expire(const Moment& moment) {
    for (std::size_t i = blocks_.size(); i-- > 0;) {
        if (blocks_[i].until <= moment.now) {
            end(i, moment, "");
        }
    }
}

const char* Penalties::block(const Prefix& prefix, Clock::duration time, const Moment& moment,
                             const Terms& terms) {
    if (const char* const reason = terms.untouchables.reason(prefix)) {
        return reason;
    }
    std::erase_if(blocks_, [&prefix](const Block& block) { return block.prefix == prefix; });
    if (blocks_.size() >= capacity) {
        return "there are as many blocks as there can be";
    }
    begin({.prefix = prefix,
           .offence = std::nullopt,
           .since = moment.now,
           .until = moment.now + time},
          moment, terms.counts_only);
    return nullptr;
}

bool Penalties::unblock(const Prefix& prefix, const Moment& moment) {
    bool found = false;
    for (std::size_t i = blocks_.size(); i-- > 0;) {
        if (blocks_[i].prefix == prefix) {
            found = true;
            end(i, moment, ", as dotproxyctl says");
        }
    }
    past_.erase(prefix.text());
    return found;
}

void Penalties::spare(const Moment& moment, const Terms& terms) {
    counts_only_ = terms.counts_only;
    for (std::size_t i = blocks_.size(); i-- > 0;) {
        if (terms.untouchables.reason(blocks_[i].prefix) != nullptr) {
            end(i, moment, ", which is none to be blocked any more");
        } else if (blocks_[i].offence && terms.block_time == Clock::duration{0}) {
            end(i, moment, ", since nobody is blocked any more for what it does");
        }
    }
}

TimePoint Penalties::nearest() const noexcept {
    TimePoint earliest = left_unsaid_ > 0 ? minute_began_ + minute : TimePoint::max();
    for (const Block& block : blocks_) {
        earliest = std::min(earliest, block.until);
    }
    return earliest;
}

std::vector<Suspect> Penalties::suspects() const {
    std::vector<Suspect> sorted = suspects_;
    std::ranges::sort(sorted, std::ranges::greater{},
                      [](const Suspect& suspect) { return suspect.rate / suspect.culprit.limit; });
    return sorted;
}

void Penalties::say(std::string line) {
    if (lines_.size() < lines_per_minute) { // of more than these none is said anyway
        lines_.push_back(std::move(line));
    } else {
        ++left_unsaid_;
    }
}

std::vector<std::string> Penalties::take_lines(TimePoint now) {
    std::vector<std::string> taken;
    if (minute_began_ == TimePoint::min() || now - minute_began_ >= minute) {
        if (left_unsaid_ > 0) {
            taken.push_back("and " + std::to_string(left_unsaid_) +
                            " more blocks began or ended; dotproxyctl limits lists what there is");
            left_unsaid_ = 0;
        }
        minute_began_ = now;
        said_ = 0;
    }
    for (std::string& line : lines_) {
        if (said_ < lines_per_minute) {
            ++said_;
            taken.push_back(std::move(line));
        } else {
            ++left_unsaid_;
        }
    }
    lines_.clear();
    return taken;
}

} // namespace dotproxy
