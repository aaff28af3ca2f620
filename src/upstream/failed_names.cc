// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/failed_names.hh"

#include <algorithm>

namespace dotproxy {

std::optional<unsigned> FailedNames::answered_by(const dns::Name& name,
                                                 TimePoint now) const noexcept {
    const Entry* const entry = find(name, now);
    return entry != nullptr && entry->answered_by ? std::optional<unsigned>{*entry->answered_by}
                                                  : std::nullopt;
}

FailedNames::Check FailedNames::checked(const dns::Name& name, unsigned rank,
                                        TimePoint now) const noexcept {
    const Entry* const entry = find(name, now);
    return entry != nullptr && entry->checked_at == rank ? entry->check : Check::unknown;
}

void FailedNames::note_answer(const dns::Name& name, unsigned rank, TimePoint now) noexcept {
    renew(name, now).answered_by = static_cast<std::uint8_t>(rank);
}

void FailedNames::note_check(const dns::Name& name, unsigned rank, Check check,
                             TimePoint now) noexcept {
    Entry& entry = renew(name, now);
    entry.checked_at = static_cast<std::uint8_t>(rank);
    entry.check = check;
}

void FailedNames::forget(const dns::Name& name) noexcept {
    if (!entries_.empty()) {
        const std::uint64_t hash = hash_(name.view());
        Entry& entry = entries_[hash % capacity];
        if (entry.hash == hash) {
            entry = {};
        }
    }
}

const FailedNames::Entry* FailedNames::find(const dns::Name& name, TimePoint now) const noexcept {
    if (now >= last_until_) { // as it nearly always is: no need for the hash
        return nullptr;
    }
    const std::uint64_t hash = hash_(name.view());
    const Entry& entry = entries_[hash % capacity];
    return entry.hash == hash && now < entry.until ? &entry : nullptr;
}

/// The entry of a name, which is known from now on; empty where nothing was known before.
FailedNames::Entry& FailedNames::renew(const dns::Name& name, TimePoint now) noexcept {
    if (entries_.empty()) {
        entries_.resize(capacity);
    }
    const std::uint64_t hash = hash_(name.view());
    Entry& entry = entries_[hash % capacity];
    if (entry.hash != hash || now >= entry.until) {
        entry = {};
        entry.hash = hash;
    }
    entry.until = last_until_ = std::max(last_until_, now + lately);
    return entry;
}

} // namespace dotproxy
