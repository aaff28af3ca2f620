// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/http_wire.hh"

#include "dns/age.hh"
#include "dns/query.hh"

#include <algorithm>
#include <array>
#include <utility>

namespace dotproxy {

namespace {

constexpr unsigned ok = 200;
constexpr unsigned too_many_requests = 429;
constexpr unsigned not_implemented = 501;
constexpr unsigned unavailable = 503;
constexpr unsigned version_not_supported = 505;

// Whoever asks us to wait is not obeyed for longer than this (E86).
constexpr std::chrono::seconds longest_rest{60};
// Where it does not say for how long.
constexpr std::chrono::seconds calm{1};

/// What a status that is no success says: of the question, or of the upstream (E86).
QueryWire::Loss loss_by(unsigned status) noexcept {
    constexpr unsigned server_errors = 500;
    if (status == too_many_requests) {
        return QueryWire::Loss::too_many;
    }
    if (status == unavailable) {
        return QueryWire::Loss::busy;
    }
    const bool of_server =
        status >= server_errors && status != not_implemented && status != version_not_supported;
    return of_server ? QueryWire::Loss::failed : QueryWire::Loss::unfit;
}

} // namespace

bool HttpWire::has_room() const noexcept {
    const std::size_t room = std::min(session_.room(), Slots::capacity - slots_.taken());
    return room > 1 || (room == 1 && slots_.taken() == 0);
}

std::uint16_t HttpWire::send(Inquiry& inquiry) noexcept {
    const std::uint16_t slot = slots_.take(&inquiry);
    std::array<std::uint8_t, dns::max_query_size> message; // NOLINT(*-member-init)
    session_.ask(slot, write_query(inquiry, 0, false, message));
    unsent_.push_back(slot);
    return slot;
}

void HttpWire::send_probe() noexcept {
    probe_ = slots_.take(nullptr);
    std::array<std::uint8_t, dns::max_query_size> message; // NOLINT(*-member-init)
    const std::size_t size = write_probe(0, message);
    session_.ask(probe_, std::span{message}.first(size));
}

void HttpWire::ask_for_life() noexcept {
    if (pong_ && session_.room() > 0 && slots_.taken() < Slots::capacity) {
        pong_ = false;
        send_probe();
    } else {
        pinged_ = true;
        session_.ping();
    }
}

bool HttpWire::is_probed() const noexcept {
    return pinged_ || QueryWire::is_probed();
}

void HttpWire::forget_probe() noexcept {
    pinged_ = false;
    QueryWire::forget_probe();
}

dns::Octets HttpWire::queued() noexcept {
    session_.fill();
    return session_.output().view();
}

std::size_t HttpWire::on_sent() noexcept {
    for (const std::uint16_t slot : unsent_) {
        slots_[slot].sent = true;
    }
    const std::size_t queries = unsent_.size();
    unsent_.clear();
    session_.output().clear();
    return queries;
}

void HttpWire::forget(std::uint16_t slot) noexcept {
    session_.cancel(slot);
    std::erase(unsent_, slot);
    slots_.free(slot);
}

QueryWire::Arrival HttpWire::next() noexcept {
    http::Event event;
    if (session_.next(event)) {
        return arrival_of(event);
    }
    if (!session_.is_sound()) {
        return {.kind = Arrival::Kind::broken,
                .reason = "HTTP/2: " + std::string{session_.reason()}};
    }
    return {};
}

QueryWire::Arrival HttpWire::arrival_of(const http::Event& event) noexcept {
    using Kind = http::Event::Kind;
    switch (event.kind) {
    case Kind::response:
        return event.status == ok ? answer(event) : judge(event);
    case Kind::refused:
        return lost(event.tag, Loss::unprocessed, "refuses requests");
    case Kind::failed:
        // One that was not written yet ends so when the peer takes its leave meanwhile.
        return lost(event.tag, slots_[event.tag].sent ? Loss::failed : Loss::unprocessed,
                    "ends requests without an answer");
    case Kind::pong:
        pinged_ = false;
        pong_ = true;
        return {.kind = Arrival::Kind::alive};
    case Kind::leaving:
        return {.kind = Arrival::Kind::leaving};
    case Kind::throttled:
    case Kind::expelled:
        break;
    }
    return {.kind = Arrival::Kind::expelled,
            .loss = event.kind == Kind::throttled ? Loss::busy : Loss::unfit,
            .rest = event.kind == Kind::throttled ? calm : std::chrono::seconds{0},
            .reason = "ends all with " + std::string{session_.reason()}};
}

/// A response with a message; whether that answers the question is for whoever takes it to say.
QueryWire::Arrival HttpWire::answer(const http::Event& event) noexcept {
    if (!event.is_message) {
        return lost(event.tag, Loss::unfit,
                    "answers with something else than DNS on " + target_.path);
    }
    if (event.body.size() < dns::header_size ||
        (dns::flags(event.body) & dns::flag::response) == 0) {
        return lost(event.tag, Loss::failed, "answers with what is no DNS message");
    }
    pong_ = false;
    Inquiry* const inquiry = slots_[event.tag].inquiry;
    if (inquiry == nullptr) {
        slots_.free(std::exchange(probe_, Slots::none));
        return {.kind = Arrival::Kind::probe};
    }
    if (inquiry->sealed.empty()) { // else its octets are the signer's
        dns::lower_ttls(event.body, event.age);
    }
    return {.kind = Arrival::Kind::answer,
            .slot = event.tag,
            .inquiry = inquiry,
            .message = event.body};
}

/// A response with a status that is no success.
QueryWire::Arrival HttpWire::judge(const http::Event& event) noexcept {
    Arrival arrival = lost(event.tag, loss_by(event.status),
                           "answers HTTP " + std::to_string(event.status) + " on " + target_.path);
    if (arrival.loss == Loss::too_many || arrival.loss == Loss::busy) {
        arrival.rest = std::min(event.retry_after.value_or(std::chrono::seconds{0}), longest_rest);
    }
    return arrival;
}

/// The query in `slot`, which is free again, came to nothing.
QueryWire::Arrival HttpWire::lost(std::uint16_t slot, Loss how, std::string reason) noexcept {
    Inquiry* const inquiry = slots_[slot].inquiry;
    std::erase(unsent_, slot);
    slots_.free(slot);
    if (slot == probe_) {
        probe_ = Slots::none;
    }
    return {.kind = Arrival::Kind::lost,
            .slot = slot,
            .inquiry = inquiry,
            .loss = how,
            .reason = std::move(reason)};
}

} // namespace dotproxy
