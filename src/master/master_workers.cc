// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Master, the part that looks after workers: their birth, their signs of life, and their end.

#include "base/log.hh"
#include "config/units.hh"
#include "master/confinement.hh"
#include "master/master.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <sys/socket.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

constexpr unsigned suspicious_crashes = 3;
constexpr Clock::duration suspicion_pause = 10min;

std::string reason(int error) {
    return std::generic_category().message(error);
}

} // namespace

/// Asks every worker for a sign of life, and ends those that have not given one for long.
void Master::check_life() {
    if (limits_.offenders().told()) {
        next_look_ = std::min(next_look_, now_); // whoever was to tell may have died before
    }
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
        if (Report{word} == Report::offence) {
            next_look_ = std::min(next_look_, now_);
        }
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
        log::write(log::Level::error, "worker %u: socketpair: %s", worker.index(),
                   reason(errno).c_str());
        worker.not_born(now_);
        return;
    }
    Fd ours{ends[0]};
    Fd theirs{ends[1]};
    const pid_t pid = ::fork(); // fork() and nothing else: the library's RNG depends on it (G12)
    if (pid < 0) {
        log::write(log::Level::error, "worker %u: fork: %s", worker.index(), reason(errno).c_str());
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
            any.server_tls.reset(); // whose keys are none of this worker's business
        }
    });
    flushes_.clear(); // which hold on to a cache as well
    signals_.reset();
    pid_file_.close();
    interfaces_.close();
    control_.let_go();
    background_.let_go();
    log::open(generation.config.log.target, generation.config.log.level, !background_.entered());
    // What a terminal or an administrator sends to the whole group is the master's to act on.
    for (const int signal : {SIGHUP, SIGTERM, SIGINT, SIGUSR1}) {
        ::signal(signal, SIG_IGN);
    }
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    log::set_role(("worker " + std::to_string(slot)).c_str());
    confine_worker(generation.config, generation.counters.slot(slot), ticket_key_ != nullptr);
    ::_exit(run_worker({.config = generation.config,
                        .listeners = generation.listeners,
                        .tls = generation.tls,
                        .server_tls = generation.server_tls.get(),
                        .counters = generation.counters,
                        .cache = generation.cache.get(),
                        .slot = slot,
                        .handover = handover_,
                        .on_link = on_link_,
                        .limits = limits_,
                        .cookie_secrets = generation.cookie_secrets,
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
        auto next = std::make_unique<Generation>(++generations_, current_->config, passed_,
                                                 current_->listeners);
        next->cookie_secrets = current_->cookie_secrets;
        next->server_tls = current_->server_tls;
        start(std::move(next));
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
    if (&generation == current_.get() && !stopping_) {
        counters_.master().add(restart_reason(worker, status, left.forbidden_call()));
    }
    left.forbidden_call() = 0;
    left.clear_gauges();
    worker.died(status, now_);
    if (worker.killed_by_others()) {
        const RunOut run_out = oom_watch_.killed(cgroup::oom_kills(), now_);
        if (run_out != RunOut::no) {
            give_memory_back(run_out);
        }
    }
}

/// Most of the memory is the cache's, and no death gives that back: whoever takes the place of a
/// worker that the kernel killed for it would meet the same want. So this comes before the next
/// fork.
void Master::give_memory_back(RunOut why) {
    bool done = true;
    for_each_generation([&done](Generation& generation) {
        if (generation.cache != nullptr) {
            done = generation.cache->give_back() && done;
        }
    });
    const cgroup::MemoryLimit available = available_memory();
    log::write(log::Level::error,
               "%s (%s: %s): what was cached is forgotten%s; give cache.size less, or the service "
               "more",
               why == RunOut::certain
                   ? "memory has run out, and workers are killed for it"
                   : "two workers were killed by SIGKILL, probably as memory has run out",
               available.file.c_str(), units::size_text(available.octets).c_str(),
               done ? ", its memory given back" : "");
}

} // namespace dotproxy
