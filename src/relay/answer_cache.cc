// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "relay/answer_cache.hh"

#include <algorithm>
#include <chrono>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

// In a key's last octet, whose upper bits are free.
constexpr std::uint8_t kind_answer = 0;
constexpr std::uint8_t kind_failure = 0x80;

// A failure of ours, or the first one of an upstream (RFC 9520, section 3.2: at least a second).
constexpr std::chrono::seconds first_failure_ttl = 1s;
// For so long after a failure, what expired is given before the upstream is asked (RFC 8767,
// section 5), and the next failure is one in a row.
constexpr std::uint64_t lately = 30'000;

// What is left of a TTL when it is time to ask again: one part in ten.
constexpr std::uint64_t prefetch_part = 10;

std::uint64_t milliseconds(std::chrono::milliseconds time) noexcept {
    return static_cast<std::uint64_t>(time.count());
}

std::chrono::seconds age_of(const Entry& entry, std::uint64_t now) noexcept {
    return std::chrono::seconds{(now - entry.stored_at) / 1000};
}

dns::ExtendedError stale_error(const dns::Answer& answer) noexcept {
    const bool nxdomain = answer.rcode == static_cast<std::uint16_t>(dns::Rcode::nxdomain);
    return {.code =
                nxdomain ? dns::ExtendedError::stale_nxdomain : dns::ExtendedError::stale_answer,
            .text = {}};
}

} // namespace

AnswerCache::AnswerCache(Turn& turn, const CacheMemory* memory)
    : turn_{turn}, policy_{.min_ttl = turn.config.cache.min_ttl,
                           .max_ttl = turn.config.cache.max_ttl,
                           .max_negative_ttl = turn.config.cache.max_negative_ttl},
      max_stale_{milliseconds(turn.config.cache.max_stale)} {
    if (memory != nullptr) {
        cache_.emplace(*memory, max_stale_);
        kept_.emplace();
    }
}

AnswerCache::Known AnswerCache::look_up(const dns::Question& question, bool failing) noexcept {
    Known known;
    if (!cache_) {
        return known;
    }
    const std::optional<Entry> entry = find(question, kind_answer);
    if (entry && now() < entry->expires_at()) {
        known.answer = dns::read_kept(entry->value, age_of(*entry, now()));
    }
    if (known.answer) {
        turn_.counters.add(Counter::cache_hits);
        const std::uint64_t left = entry->expires_at() - now();
        if (turn_.config.cache.prefetch && !turn_.overloaded() &&
            left * prefetch_part <= std::uint64_t{entry->ttl} * 1000) {
            known.refresh_until = claim(question, turn_.config.timeouts.query);
        }
        return known;
    }
    const bool expired = entry && now() < entry->expires_at() + max_stale_;
    const Failure failure = last_failure(question, entry);
    if (expired && !failure.bogus) {
        if (!failure.answer && !failing) {
            known.expired = true;
            turn_.counters.add(Counter::cache_misses);
            return known;
        }
        known.answer = expired_answer(question);
        if (known.answer) {
            known.outcome = Outcome::stale;
            turn_.counters.add(Counter::cache_stale);
        }
        if (known.answer && !failure.counts && !turn_.overloaded()) {
            known.refresh_until = claim(question, turn_.config.timeouts.query);
        }
    } else if (failure.answer) {
        known.tried_again = !failure.counts;
        if (known.tried_again && claim(question, first_failure_ttl) != 0) {
            turn_.counters.add(Counter::cache_misses);
            return known; // by this one
        }
        known.answer = failure.answer;
        known.outcome = Outcome::failed;
        known.answer->say_first({.code = dns::ExtendedError::cached_error, .text = {}});
        turn_.counters.add(Counter::cache_failures);
    }
    if (!known.answer) {
        turn_.counters.add(Counter::cache_misses);
    }
    return known;
}

std::optional<dns::Answer> AnswerCache::learn(const dns::Question& question,
                                              const dns::Answer& answer,
                                              std::uint64_t refresh_until) noexcept {
    if (!cache_) {
        return std::nullopt;
    }
    const dns::Keeping keeping = dns::keeping_of(answer, question, policy_);
    switch (keeping.keep) {
    case dns::Keep::no:
        // What was known is not so any more, or not for sure; nor does it fail.
        forget(question, kind_answer);
        forget(question, kind_failure);
        break;
    case dns::Keep::answer:
        remember(question, answer, keeping);
        if (refresh_until != 0) {
            // One that failed stays claimed, and is not tried again before.
            cache_->release(key_of(question, kind_answer), refresh_until);
        }
        break;
    case dns::Keep::failure:
        remember(question, answer,
                 {.keep = dns::Keep::failure, .ttl = last_failure(question).next_ttl});
        return dns::dnssec_bogus(answer) ? std::nullopt : stand_in(question);
    }
    return std::nullopt;
}

std::optional<dns::Answer> AnswerCache::make_up(const dns::Question& question,
                                                const dns::ExtendedError& error) noexcept {
    if (!cache_) {
        return std::nullopt;
    }
    const Failure last = last_failure(question);
    if (!last.counts) { // else all who gave up in this moment would write the same
        dns::Answer answer;
        answer.rcode = static_cast<std::uint16_t>(dns::Rcode::servfail);
        if (last.bogus) { // nobody has taken that back
            answer.say_first({.code = dns::ExtendedError::dnssec_bogus, .text = {}});
        }
        answer.say_first(error);
        // A fault of our way to the upstream says little about the name, and may be over at any
        // time.
        remember(question, answer, {.keep = dns::Keep::failure, .ttl = first_failure_ttl});
    }
    return last.bogus ? std::nullopt : expired_answer(question);
}

std::optional<dns::Answer> AnswerCache::stand_in(const dns::Question& question) noexcept {
    if (!cache_ || last_failure(question).bogus) {
        return std::nullopt;
    }
    return expired_answer(question);
}

void AnswerCache::recovered() noexcept {
    // Of what failed since the last time, nothing counts for longer than that yet.
    if (cache_ && now() >= cache_->failures_ended(now()) + milliseconds(first_failure_ttl)) {
        cache_->end_failures(now() - 1); // what comes in this turn is news
    }
}

void AnswerCache::drain() noexcept {
    draining_ = true;
    if (cache_) {
        cache_->end_failures(now());
    }
}

AnswerCache::Key AnswerCache::key_of(const dns::Question& question, std::uint8_t kind) noexcept {
    const std::size_t size = dns::put_key(question, key_);
    key_[size - 1] |= kind;
    return std::span{key_}.first(size);
}

// Read once a turn, and only in turns that need it.
std::uint64_t AnswerCache::now() noexcept {
    if (turn_at_ != turn_.now) {
        turn_at_ = turn_.now;
        uptime_ = Cache::uptime();
    }
    return uptime_;
}

std::optional<Entry> AnswerCache::find(const dns::Question& question, std::uint8_t kind) noexcept {
    std::optional<Entry> entry = cache_->find(key_of(question, kind));
    if (entry && entry->value.empty()) {
        return std::nullopt; // forgotten
    }
    if (entry && entry->stored_at > now()) {
        // Another worker's turn may have begun after ours. A time that is further off is none.
        if (entry->stored_at - now() > 1000) {
            return std::nullopt;
        }
        entry->stored_at = now();
    }
    return entry;
}

// What failed before the answer that is `known` was stored is not the last attempt.
AnswerCache::Failure AnswerCache::last_failure(const dns::Question& question,
                                               const std::optional<Entry>& known) noexcept {
    const std::chrono::seconds longest = turn_.config.cache.failure_ttl;
    Failure failure{.answer = {}, .next_ttl = std::min(first_failure_ttl, longest)};
    const std::optional<Entry> entry = find(question, kind_failure);
    const bool last = entry && (!known || entry->stored_at >= known->stored_at);
    if (last && now() < entry->expires_at() + lately) {
        failure.answer = dns::read_kept(entry->value, age_of(*entry, now()));
        failure.bogus = failure.answer && dns::dnssec_bogus(*failure.answer);
        if (entry->stored_at > cache_->failures_ended(now())) {
            failure.counts = failure.answer && now() < entry->expires_at();
            failure.next_ttl = std::min(std::chrono::seconds{entry->ttl} * 2, longest);
        } else if (!failure.bogus) {
            failure.answer.reset();
        }
    }
    return failure;
}

AnswerCache::Failure AnswerCache::last_failure(const dns::Question& question) noexcept {
    return last_failure(question, find(question, kind_answer));
}

std::optional<dns::Answer> AnswerCache::expired_answer(const dns::Question& question) noexcept {
    const std::optional<Entry> entry = find(question, kind_answer);
    if (!entry || now() >= entry->expires_at() + max_stale_) {
        return std::nullopt;
    }
    if (now() < entry->expires_at()) { // another worker was luckier
        return dns::read_kept(entry->value, age_of(*entry, now()));
    }
    std::optional<dns::Answer> answer = dns::read_stale(entry->value);
    if (answer) {
        answer->say_first(stale_error(*answer));
    }
    return answer;
}

void AnswerCache::remember(const dns::Question& question, const dns::Answer& answer,
                           const dns::Keeping& keeping) noexcept {
    const bool failure = keeping.keep == dns::Keep::failure;
    if (failure && draining_ && !dns::dnssec_bogus(answer)) {
        return;
    }
    const std::size_t size = dns::write_kept(answer, keeping, policy_, **kept_);
    if (size == 0) {
        return;
    }
    const Entry entry{.key = key_of(question, failure ? kind_failure : kind_answer),
                      .value = std::span{**kept_}.first(size),
                      .stored_at = now(),
                      .ttl = static_cast<std::uint32_t>(keeping.ttl.count())};
    if (cache_->insert(entry, now()) != Stored::yes) {
        turn_.counters.add(Counter::cache_not_stored);
    }
}

void AnswerCache::forget(const dns::Question& question, std::uint8_t kind) noexcept {
    if (!find(question, kind)) {
        return;
    }
    const Entry nothing{.key = key_of(question, kind), .value = {}, .stored_at = now(), .ttl = 0};
    if (cache_->insert(nothing, now()) != Stored::yes) {
        turn_.counters.add(Counter::cache_not_stored);
    }
}

void AnswerCache::release(const dns::Question& question, std::uint64_t until) noexcept {
    cache_->release(key_of(question, kind_answer), until);
}

std::uint64_t AnswerCache::claim(const dns::Question& question, Milliseconds duration) noexcept {
    const std::uint64_t until = now() + milliseconds(duration);
    return cache_->claim(key_of(question, kind_answer), now(), until) ? until : 0;
}

} // namespace dotproxy
