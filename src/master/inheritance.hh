// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Inheritance: what the service manager passes to this process: sockets that it has bound for us,
// and what a master before us gave it to keep (Notify::keep), so that a restart loses neither a
// question nor the cache.

#pragma once

#include "base/fd.hh"
#include "master/generation.hh"
#include "master/notify.hh"

#include <string_view>
#include <vector>

namespace dotproxy {

/// The names under which descriptors are kept.
constexpr std::string_view kept_cache = "cache";
constexpr std::string_view kept_listeners = "listen";

struct Inheritance {
    Listeners bound; // by the service manager: always served
    Listeners kept;  // by a master before: served where the configuration names their address
    Fd cache;        // the memory of its cache; empty: none
    bool kept_useless{false}; // among what was kept as `kept` was something that is none of it
};

/// Sorts what was passed. What is none of these is closed with a warning.
[[nodiscard]] Inheritance take_inheritance(std::vector<PassedDescriptor> passed);

} // namespace dotproxy
