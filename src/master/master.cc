// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/master.hh"

#include "base/log.hh"
#include "master/confinement.hh"
#include "master/preflight.hh"
#include "shared/cache.hh"

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
constexpr Milliseconds manager_patience = 2s; // with a service manager that is to close something

std::vector<int> descriptors_of(const Listeners& listeners) {
    std::vector<int> descriptors;
    for (const auto& listener : listeners) {
        descriptors.push_back(listener->socket.get());
    }
    return descriptors;
}

void settle_dispositions() noexcept {
    // Where a parent ignored it, so would we, and never be told of a worker's end.
    ::signal(SIGCHLD, SIG_DFL);
    // Neither a peer that has gone (L49) nor a limit to the size of files is more than an error.
    ::signal(SIGPIPE, SIG_IGN);
    ::signal(SIGXFSZ, SIG_IGN);
}

Fd open_signals() {
    settle_dispositions();
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

Master::Master(std::string config_path, Config config, Background background,
               std::vector<PassedDescriptor> passed)
    : config_path_{std::move(config_path)},
      background_{std::move(background)}, account_{account_in_place_of_root(config)},
      signals_{open_signals()}, pid_file_{config.pid_file, config.places.pid_file},
      counters_{config.workers}, handover_{make_handover()},
      ping_interval_{
          std::min(longest_ping,
                   notify_.watchdog().value_or(longest_ping * pings_per_alive) / pings_per_alive)} {
    ::umask(S_IRWXG | S_IRWXO);
    publish_on_link();
    auto first = make_first(std::move(config), std::move(passed));
    if (account_) {
        give_to(*account_, first->listeners);
        make_control_directory(control_path(first->config), *account_);
    }
    drop_privileges(account_);
    // As a reload will: what root alone can read would end there.
    first->cookie_secrets = load_cookie_secrets(first->config).value_or(drawn_secrets_);
    first->server_tls = load_server_tls(first->config);
    if (notify_.watchdog()) {
        next_alive_ = now_;
    }
    // Given back when there are workers who use it (commit): what kills whoever takes it over does
    // so once, and not again and again.
    notify_.keep(kept_cache, {});
    start(std::move(first));
}

Master::~Master() = default;

/// Tells the workers which networks this machine is in (limits 41).
void Master::publish_on_link() noexcept {
    try {
        std::vector<Prefix> prefixes = interface_addresses().on_link;
        // First those that matter: the others may ask wherever "local" ones may.
        std::stable_partition(prefixes.begin(), prefixes.end(),
                              [](const Prefix& prefix) { return !is_always_local(prefix.bits()); });
        if (prefixes != on_link_known_) { // the kernel tells much that changes nothing
            on_link_known_ = std::move(prefixes);
            on_link_.write(on_link_known_);
        }
    } catch (const std::exception& problem) {
        log::write(log::Level::warning,
                   "the networks of this machine are not known: %s; but for "
                   "private addresses, \"local\" has none",
                   problem.what());
    }
}

/// What was inherited and is of no use any more is closed when this returns, before the first fork.
Master::GenerationPtr Master::make_first(Config config, std::vector<PassedDescriptor> passed) {
    Inheritance inheritance = take_inheritance(std::move(passed));
    passed_ = std::move(inheritance.bound);
    config = within_memory(std::move(config), available_memory());
    return_unwanted(inheritance, config);
    CachePtr cache = inherited_cache(std::move(inheritance.cache), config);
    return std::make_unique<Generation>(++generations_, std::move(config), passed_,
                                        inheritance.kept, std::move(cache));
}

/// Closes what a master before us gave to keep and `config` does not name, here and in the service
/// manager's store: it may have the port of what is to be bound next, and would have it at every
/// restart to come.
void Master::return_unwanted(Inheritance& inheritance, const Config& config) const {
    Listeners unwanted = take_unwanted(inheritance.kept, config.listen);
    if (unwanted.empty() && !inheritance.kept_useless) {
        return;
    }
    notify_.keep(kept_listeners, descriptors_of(inheritance.kept));
    notify_.settle(manager_patience);
    close_and_wait(std::move(unwanted), manager_patience); // which may close in its own time
}

int Master::run() {
    while (!exit_status_) {
        wait(nearest());
        on_timers();
    }
    filter_packets({}); // in case it was not told to end
    return *exit_status_;
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
    polled.push_back({.fd = interfaces_.fd(), .events = POLLIN, .revents = 0});
    const std::size_t control_begin = polled.size();
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
    if (count > 0 && polled[workers_end].revents != 0 && interfaces_.changed()) {
        publish_on_link();
        reconsider_blocks(); // an address may be our own now
    }
    // Last: what signals bring about changes the generations.
    if (count > 0 && polled[0].revents != 0) {
        on_signals();
    }
    if (next_ && next_->all_ready()) {
        commit();
    }
    if (count > 0) {
        control_.on_ready(std::span{polled}.subspan(control_begin), now_);
    }
    serve_control();
    flush_some();
}

TimePoint Master::nearest() const noexcept {
    TimePoint earliest = std::min({next_ping_, next_alive_, next_look_, next_certificate_look_,
                                   penalties_.nearest(), control_.nearest()});
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
    tend_penalties();
    look_at_certificates();
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

void Master::reload() {
    if (stopping_) {
        return;
    }
    if (next_) {
        reload_again_ = true; // the file may have changed since that one was read
        return;
    }
    reloading_ = true;
    notify_.reloading();
    publish_on_link(); // should the kernel have lost an event
    try {
        Config config = within_memory(load_config(config_path_), available_memory());
        check_doors(config);
        if (account_) {
            // Nothing changes who this process is, but the next start would fail.
            static_cast<void>(find_account(config));
        }
        const auto secrets = load_cookie_secrets(config);
        ServerTls server_tls = load_server_tls(config);
        // Apart from start(), which forks: no worker shall hold what open_sockets() returns.
        auto next = std::make_unique<Generation>(++generations_, std::move(config), passed_,
                                                 open_sockets(), current_->cache);
        next->cookie_secrets = secrets.value_or(drawn_secrets_);
        next->server_tls = std::move(server_tls);
        start(std::move(next));
    } catch (const std::exception& problem) {
        for (const GenerationPtr& generation : retired_) {
            silence(generation->listeners); // some may have been about to serve again
        }
        tell_of_failed_reload(problem.what());
        end_reload(problem.what());
    }
}

void Master::tell_of_failed_reload(const char* why) {
    counters_.master().add(ReloadResult::failed);
    log::write(log::Level::error, "reload failed, the old configuration goes on: %s", why);
    notify_.ready("reload failed, the old configuration goes on");
}

/// Forks the workers of a generation; commit() follows when all of them are ready.
void Master::start(GenerationPtr next) {
    next->counters = counters_.lease(next->config.workers, next->config.upstream_texts());
    next_ = std::move(next);
    now_ = Clock::now(); // to make it may have taken a while
    next_->deadline = now_ + start_time;
    count_receive_drops(); // from here on
    apply_blocks();        // at sockets that are new as well
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
    log::open(current_->config.log.target, current_->config.log.level, !background_.entered());
    std::string status = "serving with " + std::to_string(current_->workers.size()) + " workers on";
    for (const auto& listener : current_->listeners) {
        status += " " + listener->text();
    }
    if (current_->cache != nullptr) { // what failed may work with this configuration
        Cache{*current_->cache, 0}.end_failures(Cache::uptime());
    }
    give_to_keep();
    reconsider_blocks();
    next_certificate_look_ = now_;
    if (reloading_) {
        counters_.master().add(ReloadResult::ok);
    }
    log::write(log::Level::notice, "%s%s",
               reloading_ ? "reloaded: "
               : old      ? "began anew: "
                          : "",
               status.c_str());
    if (reloading_ || !old) { // else the configuration is that of before
        for (const std::string& line : open_doors(current_->config)) {
            log::write(log::Level::warning, "%s", line.c_str());
        }
        current_->workers.front().tell(Order::check);
    }
    if (old) {
        silence(old->listeners); // before its workers leave them: what is in the queues is read
        retire(std::move(old), Order::hand_over);
    }
    open_control();
    background_.ready(); // dotproxyctl works from here on
    notify_.ready(status);
    end_reload({});
}

/// What the process after this one shall find, should the service be started anew. Sockets come
/// last: of many, some find no room in the store and are bound anew, while there is but one cache.
void Master::give_to_keep() const {
    std::vector<int> memory;
    if (current_->cache != nullptr) {
        memory.push_back(current_->cache->fd());
    }
    notify_.keep(kept_cache, memory);
    Listeners bound_here = current_->listeners;
    std::erase_if(bound_here, [this](const auto& one) { return contains(passed_, one); });
    notify_.keep(kept_listeners, descriptors_of(bound_here));
}

/// Those that serve, and those that generations have which drain: until the last of their workers
/// has gone, a port cannot be had otherwise.
Listeners Master::open_sockets() const {
    Listeners sockets = current_->listeners;
    for (const GenerationPtr& generation : retired_) {
        std::copy_if(generation->listeners.begin(), generation->listeners.end(),
                     std::back_inserter(sockets),
                     [&sockets](const auto& one) { return !contains(sockets, one); });
    }
    return sockets;
}

/// Ends the taking of questions on those of `listeners` that the serving generation does not have,
/// whoever holds them. Connections that wait there go to its workers.
void Master::silence(const Listeners& listeners) const noexcept {
    for (const auto& listener : listeners) {
        if (contains(current_->listeners, listener) || listener->is_suspended()) {
            continue;
        }
        bool more = listener->protocol == Protocol::tcp;
        while (more) {
            const Fd connection{
                ::accept4(listener->socket.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)};
            more = connection &&
                   hand_over(handover_, connection.get(), {}, {.kind = Handed::Kind::newcomer});
        }
        listener->suspend();
    }
}

void Master::abandon_next(const char* why) {
    next_->kill_all(SIGKILL);
    if (!current_) {
        log::write(log::Level::error, "cannot start: %s", why);
        exit_status_ = EXIT_FAILURE;
        return;
    }
    silence(next_->listeners);
    if (reloading_) {
        tell_of_failed_reload(why);
    } else {
        log::write(log::Level::error, "the old workers go on: %s", why);
    }
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
    count_receive_drops();
    std::erase_if(retired_,
                  [](const GenerationPtr& generation) { return !generation->any_alive(); });
    if (stopping_ && retired_.empty()) {
        exit_status_ = EXIT_SUCCESS;
    }
}

void Master::stop() {
    if (stopping_) {
        log::write(log::Level::notice, "asked again: ending at once");
        for_each_generation([](Generation& generation) { generation.kill_all(SIGKILL); });
        return;
    }
    stopping_ = true;
    log::write(log::Level::notice, "ending");
    const Generation& longest = current_ ? *current_ : *next_;
    notify_.stopping(longest.config.timeouts.drain + drain_grace);
    refuse_reloads();
    filter_packets({}); // whoever has the sockets next knows nothing of it
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

} // namespace dotproxy
