// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Master, the part that answers dotproxyctl(8), and tells what was counted.

#include "base/log.hh"
#include "master/count_report.hh"
#include "master/master.hh"
#include "master/version.hh"
#include "shared/cache.hh"

#include <exception>
#include <unistd.h>

namespace dotproxy {

namespace {

constexpr std::string_view no_cache = "cache.size is 0: nothing is remembered";
constexpr std::string_view ending = "the service is ending";

// Octets of counters in a line of the log, which has room for some more.
constexpr std::size_t counters_in_line = 900;

const char* name_of(WorkerSlot::State state) noexcept {
    switch (state) {
    case WorkerSlot::State::starting:
        return "starting";
    case WorkerSlot::State::ready:
        return "ready";
    case WorkerSlot::State::hopeless:
        return "hopeless";
    case WorkerSlot::State::empty:
        break;
    }
    return "none";
}

/// The lines "key value" of a `status`.
class Lines {
  public:
    void add(std::string_view key, std::string_view value) {
        text_.append(key).append(" ").append(value).append("\n");
    }

    void add(std::string_view key, std::uint64_t value) { add(key, std::to_string(value)); }

    /// Whole seconds.
    void add(std::string_view key, Clock::duration value) {
        add(key, std::to_string(std::chrono::floor<std::chrono::seconds>(value).count()));
    }

    [[nodiscard]] std::string take() noexcept { return std::move(text_); }

  private:
    std::string text_;
};

void add_worker(Lines& lines, const WorkerSlot& worker, TimePoint now) {
    const std::string front = "worker." + std::to_string(worker.index()) + '.';
    lines.add(front + "state", name_of(worker.state()));
    lines.add(front + "restarts", worker.restarts());
    if (worker.alive()) {
        lines.add(front + "pid", static_cast<std::uint64_t>(worker.pid()));
        lines.add(front + "uptime", now - worker.born_at());
    }
}

} // namespace

/// Serves the control socket that the current configuration names. One that cannot be had is no
/// reason not to answer questions.
void Master::open_control() {
    const std::string path = control_path(current_->config);
    const bool there = path.empty() || control_.socket().in_place();
    if (path == control_.socket().path() && there) {
        return;
    }
    try {
        control_.listen(path.empty() ? ControlSocket{} : ControlSocket{path});
    } catch (const std::exception& problem) {
        const std::string& still = control_.socket().path();
        log::write(log::Level::warning,
                   "control_socket: %s; give another path, or \"\" for none%s%s%s", problem.what(),
                   still.empty() ? "" : " (dotproxyctl still reaches ", still.c_str(),
                   still.empty() ? "" : ")");
    }
}

void Master::serve_control() {
    while (const auto line = control_.next()) {
        const char* problem = "";
        if (const auto request = parse_request(line->text, problem)) {
            answer(line->client, *request);
        } else {
            control_.answer(line->client, error_line(problem), now_);
        }
    }
}

void Master::answer(Control::Client client, const Request& request) {
    const bool caches = current_ && current_->cache != nullptr;
    switch (request.verb) {
    case Request::Verb::status:
        control_.answer(client, status_text().append(ok_line), now_);
        break;
    case Request::Verb::reload:
        if (stopping_) {
            control_.answer(client, error_line(ending), now_);
            break;
        }
        (next_ ? reload_again_waiters_ : reload_waiters_).push_back(client);
        reload();
        break;
    case Request::Verb::cache:
        control_.answer(client, caches ? cache_text().append(ok_line) : error_line(no_cache), now_);
        break;
    case Request::Verb::flush:
    case Request::Verb::flush_below:
        if (!caches) {
            control_.answer(client, error_line(no_cache), now_);
            break;
        }
        flushes_.push_back({.client = client, .request = request, .cache = current_->cache});
        break;
    case Request::Verb::limits:
        control_.answer(client, limits_text().append(ok_line), now_);
        break;
    case Request::Verb::block:
        control_.answer(client, block(request), now_);
        break;
    case Request::Verb::unblock:
        control_.answer(client, unblock(request), now_);
        break;
    }
}

/// A reload has come to its end; an empty `problem` says that it took.
void Master::end_reload(std::string_view problem) {
    const std::string text = problem.empty() ? std::string{ok_line} : error_line(problem);
    reloading_ = false;
    for (const Control::Client client : std::exchange(reload_waiters_, {})) {
        control_.answer(client, text, now_);
    }
    if (std::exchange(reload_again_, false)) {
        reload_waiters_ = std::exchange(reload_again_waiters_, {});
        reload();
    }
}

/// Answers everybody who waits for a reload: none follows.
void Master::refuse_reloads() {
    reload_again_ = false;
    for (auto* waiters : {&reload_waiters_, &reload_again_waiters_}) {
        for (const Control::Client client : std::exchange(*waiters, {})) {
            control_.answer(client, error_line(ending), now_);
        }
    }
}

/// One shard of one flush.
void Master::flush_some() {
    if (flushes_.empty()) {
        return;
    }
    Flush& flush = flushes_.front();
    const auto buffer = std::make_unique_for_overwrite<EntryBuffer>();
    Shard shard = flush.cache->shard(flush.next_shard++, *buffer);
    flush.flushed +=
        shard.remove_if([&flush](const Entry& entry) { return takes(flush.request, entry.key); });
    if (takes_all(flush.request)) {
        shard.give_back(); // where the system keeps the pages, they are used again
    }
    if (flush.next_shard == flush.cache->shards()) {
        Lines lines;
        lines.add("flushed", flush.flushed);
        control_.answer(flush.client, lines.take().append(ok_line), now_);
        flushes_.erase(flushes_.begin());
    }
}

std::string Master::cache_text() const {
    const CacheStats stats = Cache{*current_->cache, 0}.stats();
    Lines lines;
    lines.add("cache_size", stats.size);
    lines.add("cache_capacity", stats.capacity);
    lines.add("cache_octets", stats.octets);
    lines.add("cache_entries", stats.entries);
    lines.add("cache_insertions", stats.insertions);
    lines.add("cache_evictions", stats.evictions);
    for (const Counter counter :
         {Counter::cache_hits, Counter::cache_misses, Counter::cache_stale, Counter::cache_failures,
          Counter::cache_refreshes, Counter::cache_not_stored}) {
        lines.add(name_of(counter), counters_.sum(counter));
    }
    lines.add("cache_shards", stats.shards);
    lines.add("cache_shard_entries_min", stats.fewest);
    lines.add("cache_shard_entries_mean", stats.entries / stats.shards);
    lines.add("cache_shard_entries_max", stats.most);
    return lines.take();
}

std::string Master::status_text() {
    count_receive_drops();
    count_certificates();
    Lines lines;
    lines.add("version", version_number());
    lines.add("pid", static_cast<std::uint64_t>(::getpid()));
    lines.add("uptime", now_ - began_);
    lines.add("state", stopping_ ? "ending" : next_ ? "reloading" : "serving");
    if (current_) {
        lines.add("generation", current_->number);
        lines.add("generation_uptime", now_ - current_->serves_since);
        lines.add("generations_draining", retired_.size());
        lines.add("workers", current_->workers.size());
        for (const WorkerSlot& worker : current_->workers) {
            add_worker(lines, worker, now_);
        }
    }
    const auto add = [&lines](const std::string& key, std::uint64_t value) {
        lines.add(key, value);
    };
    report_counts(counters_, add);
    if (current_) {
        const Config& config = current_->config;
        std::size_t number = 0;
        for (const UpstreamConfig& upstream : config.upstreams) {
            for (const Address& address : upstream.addresses) {
                const std::string front = "upstream." + std::to_string(number++) + '.';
                const std::string text = upstream.text(address);
                lines.add(front + "address", text);
                if (upstream.group != 0) {
                    lines.add(front + "group", config.groups[upstream.group]);
                }
                report_upstream(counters_, current_->counters.row_of(text), front, add);
            }
        }
        for (unsigned group = 1; group < config.groups.size(); ++group) {
            lines.add("group." + config.groups[group], config.routes.domains_of(group));
        }
    }
    return lines.take();
}

/// Logs what is not zero, in as many lines as it takes.
void Master::report_counters() {
    count_receive_drops();
    count_certificates();
    std::vector<std::string> lines(1);
    report_counts(counters_, [&](const std::string& key, std::uint64_t value) {
        if (value == 0) {
            return;
        }
        const std::string text = " " + key + "=" + std::to_string(value);
        if (lines.back().size() + text.size() > counters_in_line) {
            lines.emplace_back();
        }
        lines.back() += text;
    });
    for (std::size_t i = 0; i < lines.size(); ++i) {
        log::write(log::Level::notice, "counters %zu/%zu:%s", i + 1, lines.size(),
                   lines[i].empty() ? " nothing yet" : lines[i].c_str());
    }
}

} // namespace dotproxy
