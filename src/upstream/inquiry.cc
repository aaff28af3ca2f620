// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/inquiry.hh"

#include "upstream/lanes.hh"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace dotproxy {

namespace {

// A failure hardly ever takes more octets; of one that does, header and question are kept.
constexpr std::size_t most_held = dns::max_udp_answer_size;

} // namespace

void Inquiry::begin_anew() noexcept {
    sends = 0;
    lane = 0;
    asked = 0;
    checking = false;
    overdue = false;
    held.reset();
}

bool Inquiry::in_flight() const noexcept {
    return queries != nullptr || std::any_of(places.begin(), places.end(), [](const Place& place) {
               return place.connection != nullptr;
           });
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

void Inquiry::hold(const Reply& reply) noexcept {
    held = std::make_unique<HeldFailure>();
    held->verdict = reply.verdict;
    if (!is_readable(reply.verdict)) {
        return;
    }
    const bool whole = reply.message.size() <= most_held;
    const dns::Octets kept =
        whole ? reply.message : reply.message.first(reply.response.question_end);
    held->message.assign(kept.begin(), kept.end());
    if (!whole) {
        dns::set_counts(held->message, dns::qdcount(kept), 0, 0, 0);
    }
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

bool settle(Inquiry& inquiry, Inquirer& inquirer) noexcept {
    const auto held = std::move(inquiry.held); // outlives the inquiry, which may end in the call
    if (held == nullptr) {
        return false;
    }
    dns::ResponseVerdict verdict = held->verdict;
    dns::Response response;
    if (!held->message.empty()) {
        verdict = dns::parse_response(held->message, inquiry.question, response);
    }
    if (held->bogus) {
        response.say(dns::ExtendedError::of(dns::ExtendedError::dnssec_bogus,
                                            "answered only with checking disabled"));
    }
    inquirer.answered(inquiry, held->message, verdict, response);
    return true;
}

} // namespace dotproxy
