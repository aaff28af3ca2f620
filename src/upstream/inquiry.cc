// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/inquiry.hh"

#include "upstream/lanes.hh"

#include <algorithm>

namespace dotproxy {

void Inquiry::begin_anew() noexcept {
    sends = 0;
    lane = 0;
    asked = 0;
    checking = false;
    overdue = false;
    held.reset();
}

bool Inquiry::in_flight() const noexcept {
    return std::any_of(places.begin(), places.end(),
                       [](const Place& place) { return place.connection != nullptr; });
}

const Connection* Inquiry::only_place() const noexcept {
    const Connection* only = nullptr;
    for (const Place& place : places) {
        if (place.connection != nullptr) {
            if (only != nullptr) {
                return nullptr;
            }
            only = place.connection;
        }
    }
    return queued || is_side(lane) || held != nullptr || sends >= max_sends ? nullptr : only;
}

void Inquiry::add_place(Connection& connection, std::uint16_t slot) noexcept {
    for (Place& place : places) {
        if (place.connection == nullptr) {
            place = {.connection = &connection, .slot = slot};
            return;
        }
    }
}

void Inquiry::remove_place(const Connection& connection) noexcept {
    for (Place& place : places) {
        if (place.connection == &connection) {
            place = {};
        }
    }
}

} // namespace dotproxy
