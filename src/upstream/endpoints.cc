// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/endpoints.hh"

#include <algorithm>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

// An outage that has lasted this many client time-outs is not about to end.
constexpr int hopeless_after = 3;

// Of the log at once; where there are more addresses, one for each.
constexpr unsigned fewest_lines = 10;

FailureReason reason_of(Trouble trouble) noexcept {
    switch (trouble) {
    case Trouble::untrusted:
        return FailureReason::untrusted;
    case Trouble::unreachable:
    case Trouble::busy:
    case Trouble::unfit:
        return FailureReason::unreachable;
    case Trouble::silent:
    case Trouble::none:
        break;
    }
    return FailureReason::timeout;
}

} // namespace

Endpoints::Endpoints(Turn& turn, unsigned group, const tls::ClientContexts& contexts,
                     const CounterLease& lease)
    : turn_{turn}, random_{std::random_device{}()},
      failure_log_{
          std::max(fewest_lines, static_cast<unsigned>(turn.config.upstream_texts().size())), 10s},
      failover_log_{1, 10s} {
    const auto& upstreams = turn.config.upstreams;
    identities_.reserve(upstreams.size());
    targets_.reserve(upstreams.size());
    for (std::size_t i = 0; i < upstreams.size(); ++i) {
        const UpstreamConfig& upstream = upstreams[i];
        if (upstream.group != group) {
            continue;
        }
        const auto rank = static_cast<unsigned>(identities_.size());
        auto identity = tls::Identity::make(upstream.name, upstream.pins);
        if (!identity) {
            throw ConfigError{"upstream " + std::to_string(i) + ": nothing to verify"};
        }
        identities_.push_back(std::move(*identity));
        const HttpsWay https = https_of(upstream);
        for (const Address& address : in_turns(upstream.addresses)) {
            all_.push_back(std::make_unique<Endpoint>(
                rank, upstream, address, identities_.back(), *contexts.at(i),
                turn.counters.upstream(lease.row_of(upstream.text(address))), https));
        }
    }
}

/// How the upstream whose identity came last is asked over HTTPS, if it is.
HttpsWay Endpoints::https_of(const UpstreamConfig& upstream) {
    targets_.push_back({.authority = upstream.authority, .path = upstream.path});
    if (!upstream.is_https()) {
        return {};
    }
    if (http_ == nullptr) {
        http_ = std::make_unique<http::ClientContext>();
    }
    return {.context = http_.get(), .target = &targets_.back()};
}

bool Endpoints::precedes(const Endpoint& a, const Endpoint& b) noexcept {
    const bool a_well = a.trouble() == Trouble::none;
    const bool b_well = b.trouble() == Trouble::none;
    if (a_well != b_well) {
        return a_well;
    }
    if (!a_well && a.retry_at() != b.retry_at()) {
        return a.retry_at() < b.retry_at(); // each has its turn
    }
    return a.rank() != b.rank() ? a.rank() < b.rank() : a.good_at() > b.good_at();
}

bool Endpoints::failing() const noexcept {
    return std::all_of(all_.begin(), all_.end(),
                       [](const auto& endpoint) { return endpoint->trouble() != Trouble::none; });
}

bool Endpoints::hopeless() const noexcept {
    const TimePoint long_ago = turn_.now - hopeless_after * turn_.config.timeouts.query;
    const TimePoint too_late = turn_.now + Patience::client(turn_.config);
    return std::all_of(all_.begin(), all_.end(), [=](const auto& endpoint) {
        const Trouble trouble = endpoint->trouble();
        return trouble == Trouble::untrusted || trouble == Trouble::unfit ||
               endpoint->rests_until() > too_late ||
               (trouble != Trouble::none && endpoint->down_since() <= long_ago);
    });
}

NoAnswer Endpoints::excuse() noexcept {
    // The preferred endpoint's trouble tells most.
    const auto troubled = std::find_if(all_.begin(), all_.end(), [](const auto& endpoint) {
        return endpoint->trouble() != Trouble::none;
    });
    if (troubled == all_.end()) {
        return no_answer_in_time();
    }
    const Trouble trouble = (*troubled)->trouble();
    excuse_ = (*troubled)->text() + ": " + (*troubled)->reason();
    return {.reason = reason_of(trouble),
            .error =
                dns::ExtendedError::of(trouble == Trouble::untrusted || trouble == Trouble::unfit
                                           ? dns::ExtendedError::no_reachable_authority
                                           : dns::ExtendedError::network_error,
                                       excuse_)};
}

void Endpoints::failed(Endpoint& endpoint, Trouble trouble, std::string reason) noexcept {
    endpoint.counts().add(UpstreamCounter::failed);
    const bool news = endpoint.trouble() != trouble;
    endpoint.fail(trouble, std::move(reason), turn_.now, static_cast<std::uint32_t>(random_()));
    log::write_limited(failure_log_, turn_.now, news ? log::Level::warning : log::Level::debug,
                       "upstream %s: %s", endpoint.text().c_str(), endpoint.reason().c_str());
}

void Endpoints::failed_over(Endpoint& endpoint) noexcept {
    endpoint.counts().add(UpstreamCounter::failed_over);
    log::write_limited(failover_log_, turn_.now, log::Level::info,
                       "upstream %s: answers with an error; another upstream is asked",
                       endpoint.text().c_str());
}

bool Endpoints::answered(Endpoint& endpoint) noexcept {
    endpoint.note_answer(turn_.now);
    if (endpoint.recover() == Trouble::none) {
        return false;
    }
    log::write_limited(failure_log_, turn_.now, log::Level::notice, "upstream %s: works again",
                       endpoint.text().c_str());
    return true;
}

} // namespace dotproxy
