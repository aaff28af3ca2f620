// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Routes: which group of upstreams is asked about which names. Of the domains that a name is in,
// the longest counts. Looked up for every question, so it is a hash table of the domains and of all
// names above them: a name is looked up label by label from its end on, as long as that leads on.

#pragma once

#include "dns/name.hh"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dotproxy {

struct Route {
    dns::Name domain; // in lower case
    std::uint8_t group{0};
};

class Routes {
  public:
    Routes() = default;
    /// No domain is given twice. Throws std::bad_alloc.
    explicit Routes(std::vector<Route> routes);

    /// The group for an uncompressed name in lower case; nullopt: no route leads anywhere for it.
    [[nodiscard]] std::optional<std::uint8_t> find(dns::Octets name) const noexcept {
        return slots_.empty() ? std::nullopt : search(name);
    }

    /// Whether a domain is `name`, or below it.
    [[nodiscard]] bool lead_below(dns::Octets name) const noexcept;

    /// As they were given.
    [[nodiscard]] const std::vector<Route>& all() const noexcept { return routes_; }

    /// The domains of a group, as people write them: "corp.example, lan and 3 further domains";
    /// empty where there are none.
    [[nodiscard]] std::string domains_of(unsigned group) const;

  private:
    static constexpr std::uint32_t none = ~std::uint32_t{0};

    /// A name that a domain is in, or which is one.
    struct Slot {
        std::uint32_t hash{0}; // the upper half; the lower one says where it is
        std::uint32_t route{none};
        std::uint8_t start{0}; // of the name in the route's domain; 0: it is that
    };

    [[nodiscard]] std::optional<std::uint8_t> search(dns::Octets name) const noexcept;
    [[nodiscard]] std::size_t place_of(dns::Octets name, std::uint64_t hash) const noexcept;

    std::vector<Route> routes_;
    std::vector<Slot> slots_; // a power of two, half of them empty at least
};

} // namespace dotproxy
