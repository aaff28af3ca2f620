// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Master, the part that has addresses blocked (limits 19 to 26): by the kernel, which drops what
// comes from them before anybody reads it, and by workers, who see what reaches them all the same.

#include "base/log.hh"
#include "master/master.hh"
#include "master/receive_errors.hh"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <system_error>

namespace dotproxy {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_offenders_listed = 20;
constexpr std::chrono::seconds usual_block = 60s; // where nobody is blocked by itself

Prefix prefix_of(const AddressBits& bits) noexcept {
    return Prefix{bits, Prefix::host_length};
}

std::string seconds(Clock::duration duration) {
    return std::to_string(std::chrono::ceil<std::chrono::seconds>(duration).count());
}

std::string rate_text(double rate, double limit) {
    return " rate=" + number_text(rate) + " limit=" + number_text(limit);
}

std::string line_of(const Block& block, bool counts_only, TimePoint now) {
    std::string line = (counts_only ? "would-block " : "block ") + block.prefix.text() +
                       " left=" + seconds(block.until - now) +
                       " what=" + (block.entire ? "all" : "udp") +
                       " by=" + (block.offence ? name_of(*block.offence) : "dotproxyctl");
    return line + (block.offence ? rate_text(block.rate, block.limit) : "") + '\n';
}

/// Has the kernel take a program for as many rules, from the first on, as it has room for: older
/// ones take some hundreds of instructions (net.core.optmem_max). false: for none.
bool filter_at(int socket, std::span<const FilterRule> rules) {
    while (!rules.empty()) {
        if (attach_packet_filter(socket, make_packet_filter(rules))) {
            return true;
        }
        rules = errno == ENOMEM ? rules.first(rules.size() / 2) : rules.first(0);
    }
    return false;
}

/// How blocks are decided by a configuration; for as long as `never` is there.
Penalties::Terms terms_of(const LimitsConfig& limits, const Untouchables& never) noexcept {
    const bool off = limits.mode == LimitsConfig::Mode::off;
    return {.block_time = off ? 0s : limits.block_time,
            .counts_only = limits.mode == LimitsConfig::Mode::count,
            .untouchables = never};
}

} // namespace

Untouchables Master::untouchables() const {
    Untouchables found;
    std::ranges::transform(own_addresses(), std::back_inserter(found.own), prefix_of);
    const auto add = [&found](const Config& config) {
        for (const UpstreamConfig& upstream : config.upstreams) {
            for (const Address& address : upstream.addresses) {
                found.upstreams.push_back(prefix_of(AddressBits::of(address)));
            }
        }
        for (const ListenConfig& listen : config.listen) {
            found.proxies.insert(found.proxies.end(), listen.trusted.begin(), listen.trusted.end());
        }
    };
    if (current_) {
        add(current_->config);
        found.networks = current_->config.limits.networks;
    }
    if (next_) {
        add(next_->config);
    }
    return found;
}

Penalties::Moment Master::count_moment() {
    count_receive_drops();
    return {.now = now_,
            .dropped = counters_.sum(Counter::blocked_dropped),
            .read = counters_.sum(Counter::udp_queries),
            .lost = counters_.sum(Counter::udp_receive_drops)};
}

/// Does what is due: looks at offenders, ends blocks, has the changes carried out, and tells.
void Master::tend_penalties() {
    if (now_ >= next_look_) {
        look_at_offenders();
    }
    if (now_ >= penalties_.nearest()) {
        penalties_.expire(count_moment());
    }
    if (applied_ != penalties_.version()) {
        apply_blocks();
    }
    for (const std::string& line : penalties_.take_lines(now_)) {
        log::write(log::Level::notice, "%s", line.c_str());
    }
}

/// Once a second, as long as there is somebody to look at.
void Master::look_at_offenders() {
    next_look_ = now_ + Penalties::between_looks;
    if (!current_) {
        return;
    }
    const Untouchables never = untouchables();
    const bool more = penalties_.look(limits_.offenders().all(), count_moment(),
                                      terms_of(current_->config.limits, never));
    counters_.master().set(Counter::offenders, penalties_.suspect_count());
    counters_.master().set(Counter::blocks, penalties_.begun());
    if (!more) {
        next_look_ = TimePoint::max();
        limits_.offenders().be_told();
    }
}

/// Who is not to be blocked, and what is done at all, may be otherwise now.
void Master::reconsider_blocks() {
    if (!current_ || penalties_.blocks().empty()) {
        return;
    }
    const Untouchables never = untouchables();
    penalties_.spare(count_moment(), terms_of(current_->config.limits, never));
    apply_blocks();
}

/// Has the kernel and the workers do what is decided, at whatever socket there is.
void Master::apply_blocks() {
    applied_ = penalties_.version();
    const Generation* const serves = current_ ? current_.get() : next_.get();
    const bool does = serves != nullptr && serves->config.limits.mode != LimitsConfig::Mode::count;
    std::vector<FilterRule> rules;
    std::vector<Prefix> entire;
    std::vector<Prefix> unverified;
    for (const Block& block : penalties_.blocks()) {
        if (does) {
            rules.push_back(
                {.prefix = block.prefix, .fate = block.entire ? Fate::drop : Fate::drop_most});
            (block.entire ? entire : unverified).push_back(block.prefix);
        }
    }
    counters_.master().set(Counter::blocked, penalties_.blocks().size());
    if (rules.empty() && !filters_) {
        return;
    }
    limits_.blocked().write(entire);
    limits_.blocked_unverified().write(unverified);
    filter_packets(rules);
    // Whoever sleeps is to see it as well.
    for_each_generation([](const Generation& generation) { generation.tell_all(Order::ping); });
}

/// Before they are told, and before a socket is closed. At a socket the kernel makes no difference
/// between who is blocked, what has a wrong checksum, and for whom there is no room; but it counts
/// the latter for all sockets.
void Master::count_receive_drops() {
    std::uint64_t dropped = 0;
    for_each_generation([&](const Generation& generation) {
        dropped += receive_drops_.since_last(generation.listeners);
    });
    const std::uint64_t errors = receive_buffer_errors();
    const std::uint64_t lost = std::min(dropped, errors - receive_errors_);
    receive_errors_ = errors;
    counters_.master().add(Counter::udp_receive_drops, lost);
    counters_.master().add(Counter::blocked_dropped, filters_ ? dropped - lost : 0);
    counters_.master().set(Counter::udp_queue, receive_drops_.waiting());
}

/// Sockets that several generations have are given the same more than once.
void Master::filter_packets(std::span<const FilterRule> rules) {
    if (rules.empty() && !filters_) {
        return;
    }
    count_receive_drops(); // what was dropped so far was dropped for what there was before
    std::vector<FilterRule> of_all;
    std::ranges::copy_if(rules, std::back_inserter(of_all),
                         [](const FilterRule& rule) { return rule.fate == Fate::drop; });
    bool good = true;
    for_each_generation([&](const Generation& generation) {
        for (const auto& listener : generation.listeners) {
            // A connection shows whose address it is: who may be a victim goes on over TCP.
            const auto here =
                listener->protocol == Protocol::udp ? rules : std::span<const FilterRule>{of_all};
            if (here.empty()) {
                detach_packet_filter(listener->socket.get());
            } else if (!filter_at(listener->socket.get(), here)) {
                good = false;
                tell_of_failed_filter(*listener);
            }
        }
    });
    filter_failed_ = !good;
    filters_ = !rules.empty();
}

/// Some kernels take no program at TCP sockets from who has not CAP_NET_ADMIN. Once, until it
/// works.
void Master::tell_of_failed_filter(const Listener& listener) const {
    if (!filter_failed_) {
        log::write(
            log::Level::notice,
            "%s: the kernel does not drop what comes from blocked addresses (%s): workers do",
            listener.text().c_str(), std::generic_category().message(errno).c_str());
    }
}

std::string Master::block(const Request& request) {
    if (!current_) {
        return error_line("the service is ending");
    }
    const LimitsConfig& limits = current_->config.limits;
    const std::chrono::seconds usual = limits.block_time > 0s ? limits.block_time : usual_block;
    const Untouchables never = untouchables();
    const char* const problem =
        penalties_.block(request.prefix, request.time > 0s ? request.time : usual, count_moment(),
                         terms_of(limits, never));
    if (problem != nullptr) {
        return error_line(problem);
    }
    apply_blocks(); // before it is said to be done
    return std::string{ok_line};
}

std::string Master::unblock(const Request& request) {
    if (!penalties_.unblock(request.prefix, count_moment())) {
        return error_line("it is not blocked; dotproxyctl limits lists what is");
    }
    apply_blocks();
    return std::string{ok_line};
}

std::string Master::limits_text() const {
    const bool counts_only = current_ && current_->config.limits.mode == LimitsConfig::Mode::count;
    std::string text;
    for (const Block& block : penalties_.blocks()) {
        text += line_of(block, counts_only, now_);
    }
    std::vector<Suspect> suspects = penalties_.suspects();
    suspects.resize(std::min(suspects.size(), most_offenders_listed));
    for (const Suspect& suspect : suspects) {
        text += "offender " + suspect.culprit.prefix.text() +
                " by=" + name_of(suspect.culprit.offence) +
                rate_text(suspect.rate, suspect.culprit.limit) +
                " seconds=" + std::to_string(suspect.seconds) + '\n';
    }
    return text;
}

} // namespace dotproxy
