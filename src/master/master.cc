// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/master.hh"

#include "base/log.hh"
#include "master/confinement.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

constexpr Clock::duration start_time = 15s; // for a generation to become ready
constexpr Clock::duration drain_grace = 2s; // beyond the workers' own deadline
constexpr Clock::duration longest_ping = 5s;
// A worker that hangs is killed after four pings at the latest. That is when two thirds of the time
// have passed after which a watchdog takes the whole service for hung: the rest is its successor's.
constexpr int pings_per_alive = 3;
constexpr unsigned suspicious_crashes = 3;
constexpr Clock::duration suspicion_pause = 10min;

Fd open_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGHUP, SIGTERM, SIGINT, SIGUSR1, SIGCHLD}) {
        sigaddset(&set, signal);
    }
    if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) {
        throw std::system_error{errno, std::generic_category(), "sigprocmask"};
    }
    Fd fd{::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)};
    if (!fd) {
        throw std::system_error{errno, std::generic_category(), "signalfd"};
    }
    return fd;
}

} // namespace

Master::Master(std::string config_path, Config config, Background background)
    : config_path_{std::move(config_path)},
      background_{std::move(background)}, account_{account_in_place_of_root(config)},
      signals_{open_signals()}, pid_file_{config.pid_file}, handover_{make_handover()},
      ping_interval_{
          std::min(longest_ping,
                   notify_.watchdog().value_or(longest_ping * pings_per_alive) / pings_per_alive)} {
    ::signal(SIGPIPE, SIG_IGN); // L49
    ::umask(S_IRWXG | S_IRWXO);
    auto first = make_first(std::move(config));
    if (account_) {
        make_control_directory(control_path(first->config), *account_);
    }
    drop_privileges(account_);
    if (notify_.watchdog()) {
        next_alive_ = now_;
    }
    // Given back when there are workers who use it (commit): what kills whoever takes it over does
    // so once, and not again and again.
    notify_.keep(kept_cache, {});
    start(std::move(first));
}

Master::~Master() = default;

/// What was inherited and is of no use any more is closed when this returns, before the first fork.
Master::GenerationPtr Master::make_first(Config config) {
    Inheritance inheritance = take_inheritance(passed_descriptors());
    passed_ = std::move(inheritance.bound);
    CachePtr cache = inherited_cache(std::move(inheritance.cache), config);
    return std::make_unique<Generation>(++generations_, std::move(config), passed_,
                                        inheritance.kept, std::move(cache));
}

int Master::run() {
    while (!exit_status_) {
        wait(nearest());
        on_timers();
    }
    return *exit_status_;
}

void Master::for_each_generation(const auto& visit) {
    if (current_) {
        visit(*current_);
    }
    if (next_) {
        visit(*next_);
    }
    for (const GenerationPtr& generation : retired_) {
        visit(*generation);
    }
}

void Master::wait(TimePoint until) {
    std::vector<pollfd> polled{{.fd = signals_.get(), .events = POLLIN, .revents = 0}};
    std::vector<WorkerSlot*> sources{nullptr}; // in step with what is polled
    for_each_generation([&](Generation& generation) {
        for (WorkerSlot& worker : generation.workers) {
            if (worker.alive() && worker.control() >= 0) {
                polled.push_back({.fd = worker.control(), .events = POLLIN, .revents = 0});
                sources.push_back(&worker);
            }
        }
    });
    const std::size_t workers_end = polled.size();
    control_.add_to(polled);
    const auto left = std::chrono::ceil<Milliseconds>(until - Clock::now()).count();
    const int timeout = until == TimePoint::max()
                            ? -1
                            : static_cast<int>(std::clamp<decltype(left)>(left, 0, 3'600'000));
    const int count = ::poll(polled.data(), polled.size(), timeout);
    now_ = Clock::now();
    for (std::size_t i = 1; count > 0 && i < workers_end; ++i) {
        if (polled[i].revents != 0) {
            listen_to(*sources[i]);
        }
    }
    // Last: what signals bring about changes the generations.
    if (count > 0 && polled[0].revents != 0) {
        on_signals();
    }
    if (next_ && next_->all_ready()) {
        commit();
    }
    if (count > 0) {
        control_.on_ready(std::span{polled}.subspan(workers_end), now_);
    }
    serve_control();
    flush_some();
}

TimePoint Master::nearest() const noexcept {
    TimePoint earliest = std::min({next_ping_, next_alive_, control_.nearest()});
    if (!flushes_.empty()) {
        return now_;
    }
    if (current_ && !stopping_) {
        for (const WorkerSlot& worker : current_->workers) {
            if (worker.state() == WorkerSlot::State::empty) {
                earliest = std::min(earliest, worker.respawn_at());
            }
        }
    }
    if (next_) {
        earliest = std::min(earliest, next_->deadline);
    }
    for (const GenerationPtr& generation : retired_) {
        earliest = std::min(earliest, generation->deadline);
    }
    return earliest;
}

void Master::on_signals() {
    signalfd_siginfo info{};
    while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
        switch (static_cast<int>(info.ssi_signo)) {
        case SIGHUP:
            reload();
            break;
        case SIGUSR1:
            report_counters();
            break;
        case SIGCHLD:
            reap();
            break;
        default:
            stop();
            break;
        }
    }
}

void Master::on_timers() {
    if (now_ >= next_alive_) {
        // A service whose workers are all dead or hang, and cannot be replaced, is not alive.
        const bool lives = stopping_ || !current_ || current_->responds();
        next_alive_ = now_ + (lives ? *notify_.watchdog() : ping_interval_);
        if (lives) {
            notify_.alive();
        }
    }
    if (now_ >= next_ping_) {
        next_ping_ = now_ + ping_interval_;
        check_life();
    }
    control_.expire(now_);
    if (next_ && now_ >= next_->deadline) {
        abandon_next("its workers were not ready in time");
    }
    for (const GenerationPtr& generation : retired_) {
        if (now_ >= generation->deadline) {
            generation->deadline = TimePoint::max();
            generation->kill_all(SIGKILL);
        }
    }
    if (current_ && !stopping_) {
        spawn_due(*current_);
    }
}

/// Asks every worker for a sign of life, and ends those that have not given one for long.
void Master::check_life() {
    for_each_generation([this](Generation& generation) {
        for (WorkerSlot& worker : generation.workers) {
            if (!worker.alive()) {
                continue;
            }
            if (worker.hangs()) {
                log::write(log::Level::error, "worker %u (pid %d) does not respond, is killed",
                           worker.index(), worker.pid());
                worker.kill(SIGKILL);
            } else {
                worker.ping();
            }
        }
    });
}

void Master::listen_to(WorkerSlot& worker) {
    std::uint8_t word = 0;
    const ssize_t count = ::recv(worker.control(), &word, 1, MSG_DONTWAIT);
    if (count == 1) {
        worker.heard(Report{word});
    } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
        worker.close(); // it is ending; SIGCHLD tells how
    }
}

void Master::spawn_due(Generation& generation) {
    for (WorkerSlot& worker : generation.workers) {
        if (worker.state() == WorkerSlot::State::empty && worker.respawn_at() <= now_) {
            spawn(generation, worker);
        }
    }
}

void Master::spawn(Generation& generation, WorkerSlot& worker) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
        log::write(log::Level::error, "worker %u: socketpair: errno %d", worker.index(), errno);
        worker.not_born(now_);
        return;
    }
    Fd ours{ends[0]};
    Fd theirs{ends[1]};
    const pid_t pid = ::fork(); // fork() and nothing else: the library's RNG depends on it (G12)
    if (pid < 0) {
        log::write(log::Level::error, "worker %u: fork: errno %d", worker.index(), errno);
        worker.not_born(now_);
        return;
    }
    if (pid == 0) {
        ours.reset();
        be_worker(generation, worker.index(), std::move(theirs));
    }
    worker.born(pid, std::move(ours), now_);
}

void Master::be_worker(Generation& generation, unsigned slot, Fd control) {
    // A sibling's channel that stayed open here would keep its end of file from that sibling when
    // the master dies, and another generation's socket would go on taking questions.
    for_each_generation([&generation](Generation& any) {
        for (WorkerSlot& worker : any.workers) {
            worker.close();
        }
        if (&any != &generation) {
            any.listeners.clear();
            any.cache.reset();
        }
    });
    signals_.reset();
    pid_file_.close();
    control_.let_go();
    background_.let_go();
    log::open(generation.config.log.target, generation.config.log.level, !background_.entered());
    // What a terminal or an administrator sends to the whole group is the master's to act on.
    for (const int signal : {SIGHUP, SIGTERM, SIGINT, SIGUSR1}) {
        ::signal(signal, SIG_IGN);
    }
    ::signal(SIGCHLD, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    log::set_role(("worker " + std::to_string(slot)).c_str());
    if (generation.config.sandbox) {
        confine_worker(generation.config, generation.counters.slot(slot));
    }
    ::_exit(run_worker({.config = generation.config,
                        .listeners = generation.listeners,
                        .tls = generation.tls,
                        .counters = generation.counters,
                        .cache = generation.cache.get(),
                        .slot = slot,
                        .handover = handover_,
                        .control = std::move(control)}));
}

void Master::reap() {
    int status = 0;
    for (;;) {
        const pid_t pid =
            ::waitpid(-1, &status, WNOHANG); // signals merge: until none is left (L61)
        if (pid <= 0) {
            break;
        }
        for_each_generation([&](Generation& generation) {
            if (WorkerSlot* worker = generation.find(pid)) {
                on_end(generation, *worker, status);
            }
        });
    }
    bury_drained();
    if (next_ && std::any_of(next_->workers.begin(), next_->workers.end(),
                             [](const WorkerSlot& worker) { return !worker.alive(); })) {
        abandon_next("a worker ended before it was ready");
    }
    if (current_ && !stopping_ && current_->all_hopeless()) {
        log::write(log::Level::error, "no worker can work with this configuration");
        exit_status_ = EXIT_FAILURE;
    }
    suspect_cache();
}

/// Whoever crashes again and again may do so because of what is in the cache, which outlives
/// workers, reloads, and with a service manager masters as well. A generation that is the same, but
/// for a cache that is new, takes the place of such a one. Should it crash too, that was not why.
void Master::suspect_cache() {
    if (!current_ || next_ || stopping_ || current_->cache == nullptr || now_ < next_suspicion_ ||
        std::none_of(current_->workers.begin(), current_->workers.end(),
                     [](const WorkerSlot& one) { return one.crashes() >= suspicious_crashes; })) {
        return;
    }
    next_suspicion_ = now_ + suspicion_pause;
    log::write(log::Level::error, "workers die again and again: what was cached is forgotten, as "
                                  "it may be why");
    try {
        start(std::make_unique<Generation>(++generations_, current_->config, passed_,
                                           current_->listeners));
    } catch (const std::exception& problem) {
        log::write(log::Level::error, "the old workers go on: %s", problem.what());
    }
}

void Master::on_end(Generation& generation, WorkerSlot& worker, int status) {
    Counters& left = generation.counters.slot(worker.index());
    const bool as_told = (stopping_ || &generation != current_.get()) && WIFEXITED(status) &&
                         WEXITSTATUS(status) == exit_finished;
    log::write(as_told ? log::Level::debug : log::Level::error, "worker %u (pid %d) %s",
               worker.index(), worker.pid(), describe_end(status, left.forbidden_call()).c_str());
    left.forbidden_call() = 0;
    left.clear_gauges();
    worker.died(status, now_);
}

void Master::reload() {
    if (stopping_) {
        return;
    }
    if (next_) {
        reload_again_ = true; // the file may have changed since that one was read
        return;
    }
    notify_.reloading();
    try {
        Config config = load_config(config_path_);
        if (account_) {
            // Nothing changes who this process is, but the next start would fail.
            static_cast<void>(find_account(config));
        }
        start(std::make_unique<Generation>(++generations_, std::move(config), passed_,
                                           current_->listeners, current_->cache));
    } catch (const std::exception& problem) {
        log::write(log::Level::error, "reload failed, the old configuration goes on: %s",
                   problem.what());
        notify_.ready("reload failed, the old configuration goes on");
        end_reload(problem.what());
    }
}

/// Forks the workers of a generation; commit() follows when all of them are ready.
void Master::start(GenerationPtr next) {
    next_ = std::move(next);
    next_->deadline = now_ + start_time;
    if (next_->config.sandbox && !std::exchange(confined_, true)) {
        confine_master();
    }
    for (WorkerSlot& worker : next_->workers) {
        spawn(*next_, worker);
    }
    const auto alive = [](const WorkerSlot& worker) { return worker.alive(); };
    if (!std::all_of(next_->workers.begin(), next_->workers.end(), alive)) {
        abandon_next("a worker could not be started");
    }
}

void Master::commit() {
    GenerationPtr old = std::exchange(current_, std::move(next_));
    current_->deadline = TimePoint::max();
    current_->serves_since = now_;
    background_.ready();
    log::open(current_->config.log.target, current_->config.log.level, !background_.entered());
    std::string status = "serving with " + std::to_string(current_->workers.size()) + " workers on";
    for (const auto& listener : current_->listeners) {
        status += " " + listener->text();
    }
    if (old) {
        log::write(log::Level::notice, "reloaded: %s", status.c_str());
        retire(std::move(old), Order::hand_over);
    } else {
        log::write(log::Level::notice, "%s", status.c_str());
    }
    open_control();
    give_to_keep();
    notify_.ready(status);
    end_reload({});
}

/// What the process after this one shall find, should the service be started anew.
void Master::give_to_keep() const {
    std::vector<int> sockets;
    for (const auto& listener : current_->listeners) {
        if (std::find(passed_.begin(), passed_.end(), listener) == passed_.end()) {
            sockets.push_back(listener->socket.get());
        }
    }
    notify_.keep(kept_listeners, sockets);
    std::vector<int> memory;
    if (current_->cache != nullptr) {
        memory.push_back(current_->cache->fd());
    }
    notify_.keep(kept_cache, memory);
}

void Master::abandon_next(const char* why) {
    next_->kill_all(SIGKILL);
    if (!current_) {
        log::write(log::Level::error, "cannot start: %s", why);
        exit_status_ = EXIT_FAILURE;
        return;
    }
    log::write(log::Level::error, "reload failed, the old configuration goes on: %s", why);
    notify_.ready("reload failed, the old configuration goes on");
    retired_.push_back(std::move(next_));
    bury_drained();
    end_reload(why);
}

void Master::retire(GenerationPtr generation, Order order) {
    generation->tell_all(order);
    generation->deadline = now_ + generation->config.timeouts.drain + drain_grace;
    retired_.push_back(std::move(generation));
}

void Master::bury_drained() {
    std::erase_if(retired_,
                  [](const GenerationPtr& generation) { return !generation->any_alive(); });
    if (stopping_ && retired_.empty()) {
        exit_status_ = EXIT_SUCCESS;
    }
}

void Master::stop() {
    if (stopping_) {
        log::write(log::Level::notice, "asked again: ending at once");
        for_each_generation([](const Generation& generation) { generation.kill_all(SIGKILL); });
        return;
    }
    stopping_ = true;
    log::write(log::Level::notice, "ending");
    const Generation& longest = current_ ? *current_ : *next_;
    notify_.stopping(longest.config.timeouts.drain + drain_grace);
    refuse_reloads();
    for (const GenerationPtr& generation : retired_) {
        generation->tell_all(Order::finish); // nobody is left to hand over to
    }
    for (GenerationPtr* generation : {&current_, &next_}) {
        if (*generation) {
            retire(std::move(*generation), Order::finish);
        }
    }
    bury_drained();
}

void Master::report_counters() const {
    if (!current_) {
        return;
    }
    for (const WorkerSlot& worker : current_->workers) {
        log::write(log::Level::notice, "worker %u: %s", worker.index(),
                   current_->counters.slot(worker.index()).text().c_str());
    }
}

} // namespace dotproxy
