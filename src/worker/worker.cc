// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "worker/worker.hh"

#include "base/log.hh"
#include "front/courtesy.hh"
#include "front/tcp_front.hh"
#include "front/udp_front.hh"
#include "relay/designations.hh"
#include "relay/gate.hh"
#include "relay/relay.hh"
#include "tls/server_context.hh"
#include "upstream/groups.hh"
#include "upstream/turn.hh"

#include <algorithm>
#include <cerrno>
#include <exception>
#include <span>
#include <sys/socket.h>

namespace dotproxy {

namespace {

constexpr Milliseconds orphan_time{1000};
// At boot the service may be there before the network is; and who has waited for it asks at once.
constexpr HealthCheck::Timing check_timing{.calm = std::chrono::milliseconds{100},
                                           .patience = std::chrono::minutes{2}};

/// What it shows to clients.
std::span<const tls::CertificateFacts> certificates_of(const tls::ServerContext* tls) noexcept {
    return tls != nullptr ? std::span{tls->certificates()}
                          : std::span<const tls::CertificateFacts>{};
}

class Worker final : public Watch {
  public:
    explicit Worker(WorkerBrief& brief)
        : turn_{brief.config, brief.counters.slot(brief.slot)}, control_{std::move(brief.control)},
          gate_{turn_, brief.on_link, brief.limits, brief.cookie_secrets},
          designations_{brief.config.listen, certificates_of(brief.server_tls)},
          relay_{turn_, gate_, groups_, designations_, brief.cache}, groups_{turn_, brief.tls,
                                                                             brief.counters, relay_,
                                                                             check_timing},
          courtesy_{turn_, brief.counters}, tcp_{turn_,           gate_,          relay_,
                                                 courtesy_,       brief.counters, brief.handover,
                                                 brief.server_tls} {
        for (const auto& listener : brief.listeners) {
            if (listener->protocol == Protocol::udp) {
                udp_.push_back(
                    std::make_unique<UdpFront>(turn_, gate_, relay_, courtesy_, *listener));
            }
        }
    }

    /// Everything that can fail at the start; false: it did.
    [[nodiscard]] bool open(const WorkerBrief& brief) {
        control_watching_ = turn_.loop.add(control_.get(), EPOLLIN, *this);
        bool good = control_watching_ && tcp_.open_handover();
        for (const auto& listener : brief.listeners) {
            good = good && (listener->protocol == Protocol::udp || tcp_.open(*listener));
        }
        for (const auto& front : udp_) {
            good = good && front->open();
        }
        return good && report(Report::ready);
    }

    int run() noexcept {
        while (!finished()) {
            turn_.loop.wait_and_dispatch(nearest(), turn_.now);
            if (tcp_.behind()) {
                flush_udp(); // who asks now and then does not wait for those who never stop
            }
            tcp_.serve();
            relay_.expire();
            groups_.expire();
            tcp_.expire();
            courtesy_.expire();
            groups_.flush();
            tcp_.flush();
            groups_.bury();
            tcp_.bury();
            // Last: the client's next query may come before this returns, and should find this
            // worker waiting rather than wake another one.
            flush_udp();
            if (gate_.take_alarm()) {
                static_cast<void>(report(Report::offence)); // else it sees at its next ping
            }
            turn_.end();
        }
        groups_.close_all();
        return exit_finished;
    }

    void on_ready(std::uint32_t /*events*/) noexcept override {
        std::uint8_t order = 0;
        const ssize_t count = ::recv(control_.get(), &order, 1, MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (count <= 0) {
            on_orphaned();
            return;
        }
        switch (Order{order}) {
        case Order::ping:
            static_cast<void>(report(Report::alive));
            break;
        case Order::hand_over:
            drain(true);
            break;
        case Order::finish:
            drain(false);
            break;
        case Order::check:
            groups_.start_check();
            break;
        }
    }

  private:
    [[nodiscard]] TimePoint nearest() noexcept {
        TimePoint earliest = draining_ ? drain_until_ : TimePoint::max();
        relay_.soonest(earliest);
        groups_.soonest(earliest);
        tcp_.soonest(earliest);
        courtesy_.soonest(earliest);
        return earliest;
    }

    [[nodiscard]] bool finished() noexcept {
        if (draining_ && turn_.now >= drain_until_) {
            // Out of time: an answer that says so is better than none.
            relay_.fail_all();
            flush_udp();
            tcp_.flush();
            return true;
        }
        return draining_ && relay_.idle() && tcp_.idle();
    }

    void flush_udp() noexcept {
        for (const auto& front : udp_) {
            front->flush();
        }
    }

    void drain(bool to_successor) noexcept {
        if (!draining_) {
            draining_ = true;
            drain_until_ = turn_.now + turn_.config.timeouts.drain;
            relay_.drain();
            groups_.stop_check(); // whoever serves next makes one of its own
            for (const auto& front : udp_) {
                front->drain();
            }
        }
        tcp_.drain(to_successor);
    }

    /// The master is gone. What was asked is answered, but whoever takes its place, and waits for
    /// the last process of this service to end, shall not wait for long.
    void on_orphaned() noexcept {
        control_watching_.end();
        control_.reset();
        drain(false);
        drain_until_ = std::min(drain_until_, turn_.now + orphan_time);
    }

    [[nodiscard]] bool report(Report what) noexcept {
        const auto octet = static_cast<std::uint8_t>(what);
        return ::send(control_.get(), &octet, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
    }

    Turn turn_;
    Fd control_;
    Watching control_watching_;
    Gate gate_;
    Designations designations_;
    Relay relay_;
    Groups groups_;
    Courtesy courtesy_;
    std::vector<std::unique_ptr<UdpFront>> udp_;
    TcpFront tcp_;
    TimePoint drain_until_{};
    bool draining_{false};
};

} // namespace

int run_worker(WorkerBrief brief) noexcept {
    try {
        const auto worker = std::make_unique<Worker>(brief);
        if (!worker->open(brief)) {
            log::write(log::Level::error, "cannot watch its sockets: errno %d", errno);
            return exit_failed;
        }
        return worker->run();
    } catch (const std::exception& problem) {
        log::write(log::Level::error, "cannot start: %s", problem.what());
        return exit_failed;
    }
}

} // namespace dotproxy
