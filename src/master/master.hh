// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Master: the control plane. It supervises workers and carries out reload and shutdown; it never
// sees an octet from the network. Signals are blocked and read from a descriptor, so none is lost
// and nothing runs in a handler. It has no epoll set, which a child would share.
//
// Reload: the next generation is made whole and its workers forked; when all of them are ready the
// running one is told to hand over, and drains. Until then, and whenever that fails, nothing has
// changed for the clients.

#pragma once

#include "master/control.hh"
#include "master/daemon.hh"
#include "master/generation.hh"
#include "master/inheritance.hh"
#include "master/interfaces.hh"
#include "master/memory.hh"
#include "master/notify.hh"
#include "master/packet_filter.hh"
#include "master/penalties.hh"
#include "master/privileges.hh"
#include "master/receive_drops.hh"
#include "master/request.hh"
#include "shared/counter_region.hh"
#include "shared/limits_memory.hh"
#include "shared/on_link.hh"
#include "worker/worker.hh"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dotproxy {

class Master {
  public:
    /// Opens the sockets of `config` beside those that were passed, and then gives up root. Throws
    /// std::exception with a text for the administrator.
    Master(std::string config_path, Config config, Background background,
           std::vector<PassedDescriptor> passed);
    Master(const Master&) = delete;
    Master& operator=(const Master&) = delete;
    ~Master();

    /// Runs until it is told to end, or cannot go on. Returns the exit status.
    [[nodiscard]] int run();

  private:
    using GenerationPtr = std::unique_ptr<Generation>;

    /// A flush under way. A large cache takes its time, so it goes shard by shard.
    struct Flush {
        Control::Client client;
        Request request;
        CachePtr cache;
        std::uint32_t next_shard{0};
        std::size_t flushed{0};
    };

    [[nodiscard]] GenerationPtr make_first(Config config, std::vector<PassedDescriptor> passed);
    void return_unwanted(Inheritance& inheritance, const Config& config) const;
    void wait(TimePoint until);
    [[nodiscard]] TimePoint nearest() const noexcept;
    void on_signals();
    void on_timers();
    void listen_to(WorkerSlot& worker);
    void publish_on_link() noexcept;

    void spawn(Generation& generation, WorkerSlot& worker);
    [[noreturn]] void be_worker(Generation& generation, unsigned slot, Fd control);
    void spawn_due(Generation& generation);
    void reap();
    void on_end(Generation& generation, WorkerSlot& worker, int status);
    void suspect_cache();
    void give_memory_back(RunOut why);

    void reload();
    void tell_of_failed_reload(const char* why);
    void end_reload(std::string_view problem);
    void start(GenerationPtr next);
    void commit();
    void abandon_next(const char* why);
    [[nodiscard]] Listeners open_sockets() const;
    void silence(const Listeners& listeners) const noexcept;
    void retire(GenerationPtr generation, Order order);
    void bury_drained();
    void stop();
    void check_life();
    void report_counters();
    void count_receive_drops();

    [[nodiscard]] ServerTls load_server_tls(const Config& config);
    void look_at_certificates();
    void count_certificates();

    [[nodiscard]] Untouchables untouchables() const;
    [[nodiscard]] Penalties::Moment count_moment();
    void tend_penalties();
    void look_at_offenders();
    void reconsider_blocks();
    void apply_blocks();
    void filter_packets(std::span<const FilterRule> rules);
    void tell_of_failed_filter(const Listener& listener) const;
    [[nodiscard]] std::string block(const Request& request);
    [[nodiscard]] std::string unblock(const Request& request);
    [[nodiscard]] std::string limits_text() const;

    void refuse_reloads();
    void give_to_keep() const;
    void open_control();
    void serve_control();
    void answer(Control::Client client, const Request& request);
    void flush_some();
    [[nodiscard]] std::string status_text();
    [[nodiscard]] std::string cache_text() const;

    void for_each_generation(const auto& visit) {
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

    std::string config_path_;
    Notify notify_;
    Background background_;
    std::optional<Account> account_; // there is one where root was given up
    Fd signals_;                     // first: whoever reads the pid file may send one
    PidFile pid_file_;
    CounterRegion counters_; // for the master's life; generations have a lease
    ReceiveDrops receive_drops_;
    std::uint64_t receive_errors_{0}; // as far as they are counted
    Listeners passed_;
    Handover handover_;
    OnLink on_link_;
    std::vector<Prefix> on_link_known_;                  // as written there
    LimitsMemory limits_;                                // for the master's life, as the counters
    CookieSecrets drawn_secrets_{CookieSecrets::draw()}; // the same; where no file is configured
    InterfaceWatch interfaces_;
    Penalties penalties_;
    std::uint64_t applied_{0};              // which version of its blocks is carried out
    TimePoint next_look_{TimePoint::max()}; // at the offenders; there are none
    bool filters_{false};                   // there are programs at the sockets
    bool filter_failed_{false};             // which has been told
    Control control_;
    std::vector<Control::Client> reload_waiters_;       // for the reload under way
    std::vector<Control::Client> reload_again_waiters_; // for the one after it
    std::vector<Flush> flushes_;                        // the first is under way
    TimePoint began_{Clock::now()};
    TimePoint now_{Clock::now()};
    TimePoint next_ping_{};
    Clock::duration ping_interval_;
    TimePoint next_alive_{TimePoint::max()};
    OomWatch oom_watch_{cgroup::oom_kills()};
    TimePoint next_suspicion_{TimePoint::min()};       // of the cache: not before
    std::shared_ptr<const tls::TicketKey> ticket_key_; // none before it is needed
    TimePoint next_ticket_key_{};                      // a reload from then on draws another
    TimePoint next_certificate_look_{TimePoint::max()};
    GenerationPtr current_;              // serves
    GenerationPtr next_;                 // is being started
    std::vector<GenerationPtr> retired_; // drain
    unsigned generations_{0};
    std::optional<int> exit_status_;
    bool reloading_{false}; // somebody asked for the generation that is being made
    bool reload_again_{false};
    bool stopping_{false};
    bool confined_{false};
};

} // namespace dotproxy
