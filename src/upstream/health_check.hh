// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// HealthCheck: connects once to every address of a group, whether or not anybody asks, has it
// verified, and sends a query of our own (". NS") that must be answered: so that a wrong name or
// pin is found when it is configured, and not when the upstream is needed. Its connections carry
// nothing else and are closed at once; tickets that came with them are kept.
//
// Questions go first: it waits a moment, or for one that is on its way to an address; what has
// answered one needs no check. Where this host has no way to an address, as before its network is
// up, that says nothing about the upstream: such an address is tried again for a while.

#pragma once

#include "shared/counter_region.hh"
#include "upstream/connection.hh"
#include "upstream/endpoints.hh"
#include "upstream/inquiry.hh"
#include "upstream/turn.hh"

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace dotproxy {

class HealthCheck final : public Connection::Owner {
  public:
    /// What was found out about one endpoint.
    struct Finding {
        Endpoint& endpoint;
        Connection::End how;     // trouble: none where it works
        bool verified;           // it has proved its identity, whatever came then
        std::string reason;      // why it does not work
        const char* tls_version; // "TLS 1.3" where it works
        Clock::duration took;    // from the connect to the answer, or to the failure

        [[nodiscard]] bool works() const noexcept { return how.trouble == Trouble::none; }
    };

    struct Timing {
        Clock::duration calm{};     // before anything is done
        Clock::duration patience{}; // how long an address is tried to which this host has no way
    };

    /// `endpoints`, and `counts`, which tells what other workers had answered, outlive it.
    HealthCheck(Turn& turn, Endpoints& endpoints, const CounterLease& counts, Timing timing);

    /// Begins, once in its life, with the next flush.
    void start() noexcept;
    /// Ends it without a finding about what is not finished.
    void stop() noexcept;

    /// Whether nothing more will be found.
    [[nodiscard]] bool is_over() const noexcept;

    /// What was found since the last call.
    [[nodiscard]] std::vector<Finding> take_findings() noexcept;

    /// Whether an endpoint that failed is one that this host has no way to, as to IPv6 addresses
    /// where it has none itself, and another address of the same upstream works.
    [[nodiscard]] bool is_dispensable(const Finding& found) const noexcept;

    /// Has the endpoints know what was found since the last call, and logs it.
    void report() noexcept;

    void expire() noexcept;
    void soonest(TimePoint& earliest) const noexcept;
    /// Makes connections, and writes.
    void flush() noexcept;
    void bury() noexcept;

    void mark_dirty(Connection& /*connection*/) noexcept override {} // the flush asks all of them

    [[nodiscard]] bool wants_proof(const Connection& /*connection*/) noexcept override {
        return true;
    }

    void on_ready(Connection& connection) noexcept override;

    void on_answer(Connection& /*connection*/) noexcept override {} // on_ready() follows

    // Its connections are given no questions.
    void on_response(Connection& /*connection*/, Inquiry& /*inquiry*/,
                     const Reply& /*reply*/) noexcept override {}

    void on_lost(Connection& /*connection*/, Inquiry& /*inquiry*/, bool /*processed*/,
                 const std::string& /*reason*/) noexcept override {}

    // It ends with its probe.
    void on_busy(Connection& /*connection*/, Clock::duration /*rest*/) noexcept override {}

    void on_leaving(Connection& /*connection*/) noexcept override {}

    void on_silent(Connection& /*connection*/) noexcept override {}

    void on_closed(Connection& connection, Connection::State was, Connection::End how,
                   std::string reason) noexcept override;

  private:
    struct Check {
        Endpoint& endpoint;
        std::unique_ptr<Connection> connection; // nullptr: none at present
        TimePoint due;                          // when to connect; max() while that is not wanted
        TimePoint began{};                      // of the connection
        Clock::duration pause;                  // before the next one
        unsigned row;                           // of its counters
        std::uint64_t answers;                  // that were counted there when this began
        std::uint64_t connects;                 // the same; its own do not count
        bool works{false};
    };

    [[nodiscard]] bool is_in_use(const Check& check) const noexcept;
    [[nodiscard]] bool is_tried(const Check& check) const noexcept;
    void proceed(Check& check) noexcept;
    void connect(Check& check) noexcept;
    void note_working(Check& check, const char* tls_version) noexcept;
    [[nodiscard]] Check& check_of(const Connection& connection) noexcept;

    Turn& turn_;
    Endpoints& endpoints_;
    const CounterLease& counts_;
    Timing timing_;
    TimePoint began_{};
    std::vector<Check> checks_; // one for each endpoint, once it was started
    std::vector<Finding> findings_;
    std::minstd_rand random_; // for the IDs on the wire
};

} // namespace dotproxy
