// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// bench/responder: the upstream of the benchmark, a server of DNS over TLS and, to whom asks for
// h2, over HTTPS on 127.0.0.1 that answers everything at once, or as late as one that is far away.
// It has to be so quick that the proxy before it is the bottleneck: one thread, one read and one
// TLS record of answers a turn. It says on its standard output where it listens ("port N"), and
// what it has counted on SIGUSR1 and at its end. SIGUSR2 makes it fall silent: it reads and
// forgets, queries and handshakes alike, until the next SIGUSR2. SIGHUP makes it close every
// connection, whatever is still to be answered.

#include "base/clock.hh"
#include "base/fd.hh"
#include "base/loop.hh"
#include "bench/answer.hh"
#include "bench/handler.hh"
#include "bench/session.hh"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <getopt.h>
#include <gnutls/gnutls.h>
#include <memory>
#include <netinet/in.h>
#include <stdexcept>
#include <string>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <system_error>
#include <unordered_map>
#include <vector>

namespace dotproxy::bench {
namespace {

struct Options {
    std::uint16_t port{0};
    std::string certificate;
    std::string key;
    Milliseconds delay{0};      // how late a handshake is taken up and a query answered
    Milliseconds idle_close{0}; // 0: never
    std::uint32_t ttl{300};
    std::string mute; // a label; questions for names that have it are not answered
};

[[noreturn]] void fail(const char* what) {
    throw std::system_error{errno, std::generic_category(), what};
}

void check(int result, const char* what) {
    if (result < 0) {
        throw std::runtime_error{std::string{what} + ": " + gnutls_strerror(result)};
    }
}

/// What every session needs of GnuTLS, made once.
class ServerContext {
  public:
    explicit ServerContext(const Options& options) {
        check(gnutls_certificate_allocate_credentials(&credentials_), "credentials");
        check(gnutls_certificate_set_x509_key_file(credentials_, options.certificate.c_str(),
                                                   options.key.c_str(), GNUTLS_X509_FMT_PEM),
              "certificate");
        check(
            gnutls_priority_init(&priority_, "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2", nullptr),
            "priority");
        check(gnutls_session_ticket_key_generate(&ticket_key_), "ticket key");
    }

    ~ServerContext() {
        gnutls_free(ticket_key_.data);
        gnutls_priority_deinit(priority_);
        gnutls_certificate_free_credentials(credentials_);
    }

    ServerContext(const ServerContext&) = delete;
    ServerContext& operator=(const ServerContext&) = delete;

    [[nodiscard]] std::unique_ptr<Session> accept(Session::Id id, Fd fd, Host& host,
                                                  Loop& loop) const {
        return std::make_unique<Session>(id, std::move(fd), host, loop, credentials_, priority_,
                                         ticket_key_);
    }

  private:
    gnutls_certificate_credentials_t credentials_{};
    gnutls_priority_t priority_{};
    gnutls_datum_t ticket_key_{};
};

class Responder final : public Host {
  public:
    explicit Responder(const Options& options)
        : Host{options.ttl}, options_{options}, context_{options}, listener_{listen()},
          signals_{open_signals()}, timer_{::timerfd_create(CLOCK_MONOTONIC,
                                                            TFD_NONBLOCK | TFD_CLOEXEC)} {
        watching_[0] = loop_.add(listener_.get(), EPOLLIN, on_connection_);
        watching_[1] = loop_.add(signals_.get(), EPOLLIN, on_signal_);
        watching_[2] = loop_.add(timer_.get(), EPOLLIN, on_timer_);
        if (!watching_[0] || !watching_[1] || !watching_[2]) {
            fail("setting up");
        }
    }

    void run() noexcept {
        while (!done_) {
            const TimePoint until = options_.idle_close.count() > 0 && !sessions_.empty()
                                        ? Clock::now() + idle_sweep
                                        : TimePoint::max();
            TimePoint now;
            loop_.wait_and_dispatch(until, now);
            if (until != TimePoint::max()) {
                close_idle(now - options_.idle_close);
            }
            buried_.clear();
        }
    }

    void report() const noexcept {
        std::printf("connections=%llu handshakes=%llu resumed=%llu queries=%llu requests=%llu "
                    "records=%llu padded=%llu open=%zu\n",
                    as_printed(counters.connections), as_printed(counters.handshakes),
                    as_printed(counters.resumed), as_printed(counters.queries),
                    as_printed(counters.requests), as_printed(counters.records),
                    as_printed(counters.padded), sessions_.size());
        std::fflush(stdout);
    }

    void on_query(Session& session, std::uint32_t request, dns::Octets query) noexcept override {
        if (silent_ || is_mute(query)) {
            return;
        }
        std::array<std::uint8_t, answer_size> out;
        const auto size = query.size() + answer_growth <= out.size()
                              ? write_answer(query, options_.ttl, out)
                              : std::nullopt;
        if (!size) {
            return;
        }
        const auto message = dns::Octets{out}.first(*size);
        if (options_.delay.count() == 0) {
            session.answer(request, message);
        } else if (late_.size() < late_limit) {
            put_off(session, request, {message.begin(), message.end()});
        }
    }

    void on_hello(Session& session) noexcept override {
        if (silent_) {
            return; // held until the peer gives up
        }
        if (options_.delay.count() == 0) {
            session.resume();
        } else {
            put_off(session, 0, {});
        }
    }

    void on_closed(Session& session) noexcept override {
        const auto node = sessions_.extract(session.id());
        if (!node.empty()) {
            buried_.push_back(std::move(node.mapped()));
        }
    }

  private:
    static constexpr std::size_t answer_size = 4096;
    static constexpr std::size_t late_limit = 65536;
    static constexpr Milliseconds idle_sweep{10};

    /// Something that is due later: an answer, or, empty, the next step of a handshake.
    struct Late {
        TimePoint due;
        Session::Id session;
        std::uint32_t request;
        std::vector<std::uint8_t> message;
    };

    [[nodiscard]] bool is_mute(dns::Octets query) const noexcept {
        return !options_.mute.empty() &&
               std::search(query.begin(), query.end(), options_.mute.begin(),
                           options_.mute.end()) != query.end();
    }

    static unsigned long long as_printed(std::uint64_t count) noexcept { return count; }

    [[nodiscard]] Fd listen() const {
        Fd fd{::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
        const int on = 1;
        sockaddr_in address{};
        socklen_t size = sizeof address;
        address.sin_family = AF_INET;
        address.sin_port = htons(options_.port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        auto* generic = reinterpret_cast<sockaddr*>(&address);
        if (!fd || ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
            ::bind(fd.get(), generic, size) != 0 || ::listen(fd.get(), 1024) != 0 ||
            ::getsockname(fd.get(), generic, &size) != 0) {
            fail("listening");
        }
        std::printf("port %u\n", unsigned{ntohs(address.sin_port)});
        std::fflush(stdout);
        return fd;
    }

    static Fd open_signals() {
        sigset_t set;
        ::sigemptyset(&set);
        for (const int number : {SIGUSR1, SIGUSR2, SIGHUP, SIGTERM, SIGINT}) {
            ::sigaddset(&set, number);
        }
        ::sigprocmask(SIG_BLOCK, &set, nullptr);
        Fd fd{::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)};
        if (!fd) {
            fail("signalfd");
        }
        return fd;
    }

    void accept_connections() noexcept {
        for (;;) {
            Fd fd{::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
            if (!fd) {
                return;
            }
            try {
                const Session::Id id = next_id_++;
                sessions_.emplace(id, context_.accept(id, std::move(fd), *this, loop_));
            } catch (const std::exception& error) {
                std::fprintf(stderr, "responder: %s\n", error.what());
            }
        }
    }

    void take_signals() noexcept {
        signalfd_siginfo info{};
        while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
            if (info.ssi_signo == SIGUSR1) {
                report();
            } else if (info.ssi_signo == SIGUSR2) {
                silent_ = !silent_;
            } else if (info.ssi_signo == SIGHUP) {
                close_idle(TimePoint::max());
            } else {
                done_ = true;
            }
        }
    }

    void put_off(const Session& session, std::uint32_t request,
                 std::vector<std::uint8_t> message) noexcept {
        const TimePoint due = Clock::now() + options_.delay;
        if (late_.empty()) {
            arm(due);
        }
        late_.push_back({.due = due,
                         .session = session.id(),
                         .request = request,
                         .message = std::move(message)});
    }

    void arm(TimePoint due) const noexcept {
        const auto count = std::chrono::nanoseconds{due.time_since_epoch()}.count();
        itimerspec when{};
        when.it_value.tv_sec = count / 1'000'000'000;
        when.it_value.tv_nsec = count % 1'000'000'000;
        ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
    }

    void take_due() noexcept {
        std::uint64_t expirations = 0;
        if (::read(timer_.get(), &expirations, sizeof expirations) < 0) {
            return;
        }
        const TimePoint now = Clock::now();
        while (!late_.empty() && late_.front().due <= now) {
            const Late late = std::move(late_.front());
            late_.pop_front();
            const auto found = sessions_.find(late.session);
            if (found == sessions_.end()) {
                continue;
            }
            if (late.message.empty()) {
                found->second->resume();
            } else {
                found->second->answer(late.request, late.message);
                flush_after_due_.push_back(late.session);
            }
        }
        for (const Session::Id id : flush_after_due_) {
            if (const auto found = sessions_.find(id); found != sessions_.end()) {
                found->second->flush();
            }
        }
        flush_after_due_.clear();
        if (!late_.empty()) {
            arm(late_.front().due);
        }
    }

    /// Closes those that were not active after `since`.
    void close_idle(TimePoint since) noexcept {
        std::vector<Session*> idle;
        for (const auto& [id, session] : sessions_) {
            if (session->active() <= since) {
                idle.push_back(session.get());
            }
        }
        for (Session* session : idle) {
            session->close();
        }
    }

    Options options_;
    ServerContext context_;
    Loop loop_;
    Fd listener_;
    Fd signals_;
    Fd timer_;
    Handler<Responder, &Responder::accept_connections> on_connection_{*this};
    Handler<Responder, &Responder::take_signals> on_signal_{*this};
    Handler<Responder, &Responder::take_due> on_timer_{*this};
    std::array<Watching, 3> watching_;
    std::unordered_map<Session::Id, std::unique_ptr<Session>> sessions_;
    std::vector<std::unique_ptr<Session>> buried_; // closed in this turn
    std::deque<Late> late_;                        // one delay for all: first in, first due
    std::vector<Session::Id> flush_after_due_;
    Session::Id next_id_{1};
    bool silent_{false};
    bool done_{false};
};

Options parse(int argc, char** argv) {
    const std::array<option, 8> names{{{"port", required_argument, nullptr, 'p'},
                                       {"cert", required_argument, nullptr, 'c'},
                                       {"key", required_argument, nullptr, 'k'},
                                       {"delay", required_argument, nullptr, 'd'},
                                       {"idle-close", required_argument, nullptr, 'i'},
                                       {"ttl", required_argument, nullptr, 't'},
                                       {"mute", required_argument, nullptr, 'm'},
                                       {nullptr, 0, nullptr, 0}}};
    Options options;
    for (int name = 0; (name = ::getopt_long(argc, argv, "", names.data(), nullptr)) != -1;) {
        switch (name) {
        case 'p':
            options.port = static_cast<std::uint16_t>(std::stoul(optarg));
            break;
        case 'c':
            options.certificate = optarg;
            break;
        case 'k':
            options.key = optarg;
            break;
        case 'd':
            options.delay = Milliseconds{std::stol(optarg)};
            break;
        case 'i':
            options.idle_close = Milliseconds{std::stol(optarg)};
            break;
        case 't':
            options.ttl = static_cast<std::uint32_t>(std::stoul(optarg));
            break;
        case 'm':
            options.mute = optarg;
            break;
        default:
            throw std::runtime_error{"--cert FILE --key FILE [--port N] [--delay MS] "
                                     "[--idle-close MS] [--ttl SECONDS] [--mute LABEL]"};
        }
    }
    return options;
}

} // namespace
} // namespace dotproxy::bench

int main(int argc, char** argv) {
    try {
        const auto responder =
            std::make_unique<dotproxy::bench::Responder>(dotproxy::bench::parse(argc, argv));
        responder->run();
        responder->report();
        return EXIT_SUCCESS;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "responder: %s\n", error.what());
        return EXIT_FAILURE;
    }
}
