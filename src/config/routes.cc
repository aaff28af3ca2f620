// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "config/routes.hh"

#include "dns/name_text.hh"
#include "dns/reverse.hh"

#include <algorithm>
#include <bit>
#include <cstring>

namespace dotproxy {

namespace {

/// Octets as a number; of 1 to 8, `size` and the octets say what it is.
std::uint64_t word_of(const std::uint8_t* octets, std::size_t size) noexcept {
    const auto load = [octets]<class Part>(Part part, std::size_t at) {
        std::memcpy(&part, octets + at, sizeof part);
        return std::uint64_t{part};
    };
    if (size == sizeof(std::uint64_t)) {
        return load(std::uint64_t{}, 0);
    }
    if (size >= sizeof(std::uint32_t)) { // two that overlap
        return load(std::uint32_t{}, size - sizeof(std::uint32_t)) << 32U |
               load(std::uint32_t{}, 0);
    }
    return std::uint64_t{octets[0]} << 16U | std::uint64_t{octets[size / 2]} << 8U |
           octets[size - 1];
}

/// The hash of a name that begins with `label`, its length included; `rest` is that of what
/// follows. Nobody but the administrator says what is in the table, so that it need not be secret.
std::uint64_t add_label(std::uint64_t rest, dns::Octets label) noexcept {
    constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;
    std::uint64_t hash = rest;
    for (std::size_t at = 0; at < label.size(); at += sizeof(std::uint64_t)) {
        const std::size_t size = std::min(label.size() - at, sizeof(std::uint64_t));
        hash = (std::rotl(hash, 29) ^ word_of(&label[at], size)) * odd;
        hash ^= hash >> 32U;
    }
    return hash;
}

/// Calls `visit(start, hash)` for each name that a name is in, from the shortest on to itself, as
/// long as it says true: where it begins, and its hash.
template <class Visit>
void for_each_domain(dns::Octets name, Visit visit) noexcept {
    const dns::Labels labels{name};
    std::size_t end = name.size() - 1;
    std::uint64_t hash = 0;
    for (std::size_t i = 0; i < labels.count(); ++i) {
        const std::size_t start = labels.start(i);
        hash = add_label(hash, name.subspan(start, end - start));
        if (!visit(start, hash)) {
            return;
        }
        end = start;
    }
}

} // namespace

Routes::Routes(std::vector<Route> routes) : routes_{std::move(routes)} {
    std::size_t names = 0;
    for (const Route& route : routes_) {
        names += dns::Labels{route.domain.view()}.count();
    }
    slots_.resize(routes_.empty() ? 0 : std::bit_ceil(2 * names));
    for (std::uint32_t i = 0; i < routes_.size(); ++i) {
        for_each_domain(routes_[i].domain.view(), [&](std::size_t start, std::uint64_t hash) {
            Slot& slot = slots_[place_of(routes_[i].domain.view().subspan(start), hash)];
            if (slot.route == none || start == 0) {
                slot = {.hash = static_cast<std::uint32_t>(hash >> 32U),
                        .route = i,
                        .start = static_cast<std::uint8_t>(start)};
            }
            return true;
        });
    }
}

/// Where `name`, of that hash, stands, or would.
std::size_t Routes::place_of(dns::Octets name, std::uint64_t hash) const noexcept {
    const auto upper = static_cast<std::uint32_t>(hash >> 32U);
    std::size_t at = hash & (slots_.size() - 1);
    for (; slots_[at].route != none; at = (at + 1) & (slots_.size() - 1)) {
        const Slot& slot = slots_[at];
        if (slot.hash == upper &&
            std::ranges::equal(routes_[slot.route].domain.view().subspan(slot.start), name)) {
            break;
        }
    }
    return at;
}

std::optional<std::uint8_t> Routes::search(dns::Octets name) const noexcept {
    std::optional<std::uint8_t> found;
    for_each_domain(name, [&](std::size_t start, std::uint64_t hash) {
        const Slot& slot = slots_[place_of(name.subspan(start), hash)];
        if (slot.route == none) {
            return false;
        }
        if (slot.start == 0) {
            found = routes_[slot.route].group;
        }
        return true;
    });
    return found;
}

std::string Routes::domains_of(unsigned group) const {
    constexpr std::size_t most = 8;
    std::string text;
    std::size_t count = 0;
    for (const Route& route : routes_) {
        if (route.group == group && ++count <= most) {
            text += (count > 1 ? ", " : "") + dns::name_text(route.domain.view());
        }
    }
    return count <= most ? text
                         : text + " and " + std::to_string(count - most) + " further domains";
}

bool Routes::lead_below(dns::Octets name) const noexcept {
    bool lead = !slots_.empty(); // below the root
    if (lead) {
        for_each_domain(name, [&](std::size_t start, std::uint64_t hash) {
            lead = slots_[place_of(name.subspan(start), hash)].route != none;
            return lead;
        });
    }
    return lead;
}

} // namespace dotproxy
