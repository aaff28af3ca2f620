// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "upstream/health_check.hh"

#include "base/log.hh"

#include <algorithm>
#include <limits>
#include <utility>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

constexpr Clock::duration first_pause = 1s; // and then twice as long each time

// A question that is on its way has an answer by then, or went elsewhere.
constexpr Clock::duration longest_calm = 1s;

/// Of a connection in no lane: its end does not depend on one.
constexpr unsigned any_lane = 0;

bool has_no_way(Connection::End how) noexcept {
    return how.failure == ConnectFailure::unreachable;
}

} // namespace

HealthCheck::HealthCheck(Turn& turn, Endpoints& endpoints, const CounterLease& counts,
                         Timing timing)
    : turn_{turn},
      endpoints_{endpoints}, counts_{counts}, timing_{timing}, random_{std::random_device{}()} {}

void HealthCheck::start() noexcept {
    began_ = turn_.now;
    for (const auto& endpoint : endpoints_) {
        const unsigned row = counts_.row_of(endpoint->text());
        checks_.push_back({.endpoint = *endpoint,
                           .connection = nullptr,
                           .due = turn_.now + timing_.calm,
                           .pause = first_pause,
                           .row = row,
                           .answers = counts_.sum(row, UpstreamCounter::answers),
                           .connects = counts_.sum(row, UpstreamCounter::connects)});
    }
}

void HealthCheck::stop() noexcept {
    for (Check& check : checks_) {
        check.due = TimePoint::max();
        if (check.connection != nullptr) {
            check.connection->close();
        }
    }
}

bool HealthCheck::is_over() const noexcept {
    return std::ranges::all_of(checks_, [](const Check& check) {
        return check.due == TimePoint::max() && check.connection == nullptr;
    });
}

std::vector<HealthCheck::Finding> HealthCheck::take_findings() noexcept {
    return std::exchange(findings_, {});
}

bool HealthCheck::is_dispensable(const Finding& found) const noexcept {
    return has_no_way(found.how) && std::ranges::any_of(checks_, [&](const Check& check) {
               return check.works && check.endpoint.rank() == found.endpoint.rank();
           });
}

/// One that works is no news to the endpoint: what was wrong with it ends when a question is
/// answered. What came after it had been verified is logged and not held against it: there are
/// servers that never answer a probe and are good for questions. Nor is a missing way, which will
/// be seen when a question looks for it.
void HealthCheck::report() noexcept {
    for (Finding& found : take_findings()) {
        Endpoint& endpoint = found.endpoint;
        if (found.works()) {
            log::write(log::Level::info, "upstream %s: works", endpoint.text().c_str());
        } else if (endpoint.good_at() > TimePoint::min()) {
            log::write(log::Level::debug, "upstream %s: is of use, though not to a check: %s",
                       endpoint.text().c_str(), found.reason.c_str());
        } else if (found.how.trouble == Trouble::unfit ||
                   (!found.verified && !has_no_way(found.how))) {
            endpoints_.failed(endpoint, found.how.trouble, std::move(found.reason));
        } else {
            const bool news = endpoint.trouble() == Trouble::none && !is_dispensable(found);
            log::write(news ? log::Level::warning : log::Level::info, "upstream %s: %s",
                       endpoint.text().c_str(), found.reason.c_str());
        }
    }
}

void HealthCheck::expire() noexcept {
    for (const Check& check : checks_) {
        if (check.connection != nullptr && check.connection->deadline() <= turn_.now) {
            check.connection->on_deadline();
        }
    }
}

void HealthCheck::soonest(TimePoint& earliest) const noexcept {
    for (const Check& check : checks_) {
        earliest = std::min(earliest, check.due);
        if (check.connection != nullptr) {
            earliest = std::min(earliest, check.connection->deadline());
        }
    }
}

void HealthCheck::flush() noexcept {
    for (Check& check : checks_) {
        if (check.due <= turn_.now) {
            proceed(check);
        }
        if (check.connection != nullptr) {
            check.connection->flush(); // with TCP Fast Open there is something to write at once
        }
    }
}

/// Whether it has answered a question meanwhile, of this worker or of another one.
bool HealthCheck::is_in_use(const Check& check) const noexcept {
    return check.endpoint.good_at() > TimePoint::min() ||
           (check.row != other_upstreams && // where it is not alone
            counts_.sum(check.row, UpstreamCounter::answers) > check.answers);
}

/// Whether a question is on its way to it.
bool HealthCheck::is_tried(const Check& check) const noexcept {
    return check.row != other_upstreams &&
           counts_.sum(check.row, UpstreamCounter::connects) > check.connects;
}

void HealthCheck::proceed(Check& check) noexcept {
    check.due = TimePoint::max();
    check.began = turn_.now;
    if (is_in_use(check)) {
        note_working(check, "");
    } else if (is_tried(check) && turn_.now < began_ + longest_calm) {
        check.due = turn_.now + timing_.calm;
    } else {
        connect(check);
    }
}

void HealthCheck::connect(Check& check) noexcept {
    check.connects = std::numeric_limits<std::uint64_t>::max();
    check.endpoint.note_connect(turn_.now);
    check.connection = std::make_unique<Connection>(turn_, *this, check.endpoint, any_lane,
                                                    static_cast<std::uint16_t>(random_()));
    check.connection->start();
}

void HealthCheck::bury() noexcept {
    for (Check& check : checks_) {
        if (check.connection != nullptr && check.connection->state() == Connection::State::closed) {
            check.connection.reset();
        }
    }
}

void HealthCheck::on_ready(Connection& connection) noexcept {
    note_working(check_of(connection), connection.tls_version());
    connection.close();
}

void HealthCheck::note_working(Check& check, const char* tls_version) noexcept {
    check.works = true;
    findings_.push_back({.endpoint = check.endpoint,
                         .how = {Trouble::none, ConnectFailure::other},
                         .verified = true,
                         .reason = {},
                         .tls_version = tls_version,
                         .took = turn_.now - check.began});
}

void HealthCheck::on_closed(Connection& connection, Connection::State was, Connection::End how,
                            std::string reason) noexcept {
    Check& check = check_of(connection);
    if (how.trouble == Trouble::none) {
        return;
    }
    if (has_no_way(how) && turn_.now < began_ + timing_.patience) {
        check.due = turn_.now + check.pause;
        check.pause *= 2;
        return;
    }
    findings_.push_back({.endpoint = check.endpoint,
                         .how = how,
                         .verified = was == Connection::State::proving,
                         .reason = std::move(reason),
                         .tls_version = "",
                         .took = turn_.now - check.began});
}

HealthCheck::Check& HealthCheck::check_of(const Connection& connection) noexcept {
    return *std::ranges::find_if(
        checks_, [&](const Check& check) { return check.connection.get() == &connection; });
}

} // namespace dotproxy
