// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// bench/load: the load generator of the benchmark. It asks a DNS server on 127.0.0.1 over UDP, TCP
// or TLS, either as fast as answers come (a fixed number of queries under way) or at a fixed rate,
// and says exactly what became of each query. dnsperf knows neither percentiles of latency, nor
// losses by the time of sending, nor a new connection for each query; and since it costs about as
// much CPU time per query as dotproxy does, it cannot saturate it from a core that it shares with
// the upstream.
//
// Standard output: "begin" and "end" around the measured window, then what Statistics prints.

#include "base/clock.hh"
#include "base/fd.hh"
#include "base/loop.hh"
#include "bench/client.hh"
#include "bench/handler.hh"
#include "bench/statistics.hh"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <getopt.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <sys/timerfd.h>
#include <system_error>
#include <vector>

namespace dotproxy::bench {
namespace {

struct Options {
    Transport transport{Transport::udp};
    std::uint16_t port{5300};
    std::size_t clients{16};
    std::size_t outstanding{100}; // in all, when there is no rate
    std::uint32_t rate{0};        // queries a second; 0: as fast as answers come
    bool reconnect{false};        // a new connection for each query; needs TCP and a rate
    Milliseconds warm_up{300};
    Milliseconds window{2000};
    std::uint64_t count{0}; // ends after so many queries; 0: by time only
    Milliseconds timeout{2000};
    Milliseconds bin{0};
    std::uint32_t names{0};
    std::string tag{"load"};
    std::string ca{};      // over TLS: file of the authority; empty: not over TLS
    std::string name{};    // and of the server
    bool resume{false};    // and whether connections continue sessions
    std::uint32_t from{0}; // the first client's address, the next one's is one more; 0: whichever
};

class Load final : public Owner {
  public:
    explicit Load(const Options& options)
        : options_{options}, trust_{trust_for(options)}, names_{options.tag, options.names},
          statistics_{options.bin}, timer_{::timerfd_create(CLOCK_MONOTONIC,
                                                            TFD_NONBLOCK | TFD_CLOEXEC)} {
        timer_watching_ = loop_.add(timer_.get(), EPOLLIN, on_timer_);
        if (!timer_watching_) {
            throw std::system_error{errno, std::generic_category(), "timerfd"};
        }
        clients_.reserve(options.clients);
        for (std::size_t i = 0; i < options.clients; ++i) {
            const std::uint32_t from =
                options.from == 0 ? 0 : options.from + static_cast<std::uint32_t>(i);
            clients_.push_back(std::make_unique<Client>(shared_, from));
        }
    }

    void run() {
        start_ = Clock::now();
        if (options_.rate > 0) {
            arm(start_);
        }
        run_until(start_ + options_.warm_up);
        say("begin");
        const std::size_t per_second = options_.rate > 0 ? options_.rate : 200'000;
        const TimePoint begin = Clock::now();
        statistics_.open(begin,
                         per_second * static_cast<std::size_t>(options_.window.count()) / 1000);
        run_until(begin + options_.window);
        asking_ = false;
        statistics_.close(Clock::now());
        say("end");
        run_until(Clock::now() + options_.timeout);
        for (const auto& client : clients_) {
            client->close();
        }
        statistics_.print();
    }

    void on_room(Client& client, TimePoint now) noexcept override {
        if (options_.reconnect) {
            if (client.waiting() == 0) {
                client.close();
            }
        } else if (options_.rate == 0) {
            refill(client, now);
        }
    }

  private:
    static constexpr Milliseconds sweep{10};

    static std::unique_ptr<Trust> trust_for(const Options& options) {
        if (options.ca.empty()) {
            return nullptr;
        }
        return std::make_unique<Trust>(
            Trust{.context = tls::ClientContext{options.ca},
                  .server = tls::Identity::make(options.name, {}).value(),
                  .resumes = options.resume});
    }

    /// Has room for a good deal more than one client asks in the time after which it gives up.
    static std::uint32_t ring(const Options& options) noexcept {
        constexpr std::uint64_t most = 16384;
        const auto patience = static_cast<std::uint64_t>(options.timeout.count());
        const std::uint64_t waiting = options.rate * patience / 1000 / options.clients;
        return options.rate == 0 ? most
                                 : static_cast<std::uint32_t>(std::bit_ceil(
                                       std::clamp<std::uint64_t>(4 * waiting, 64, most)));
    }

    static void say(const char* what) noexcept {
        std::puts(what);
        std::fflush(stdout);
    }

    /// Runs until then, or until there is nothing left to do.
    void run_until(TimePoint until) noexcept {
        TimePoint now = Clock::now();
        while (now < until && (may_ask() || waiting() > 0)) {
            if (now >= swept_ + sweep) {
                look_after_clients(now);
                swept_ = now;
            }
            loop_.wait_and_dispatch(std::min(until, now + sweep), now);
        }
    }

    [[nodiscard]] bool may_ask() const noexcept {
        return asking_ && (options_.count == 0 || asked_ < options_.count);
    }

    [[nodiscard]] std::size_t waiting() const noexcept {
        std::size_t sum = 0;
        for (const auto& client : clients_) {
            sum += client->waiting();
        }
        return sum;
    }

    void look_after_clients(TimePoint now) noexcept {
        for (const auto& client : clients_) {
            client->expire(now);
            if (options_.reconnect) {
                if (client->is_open() && client->waiting() == 0) {
                    client->close();
                }
            } else if (may_ask() && (client->is_open() || client->open()) && options_.rate == 0) {
                refill(*client, now);
            }
        }
    }

    void refill(Client& client, TimePoint now) noexcept {
        const std::size_t share = std::max<std::size_t>(options_.outstanding / clients_.size(), 1);
        if (client.waiting() < share && may_ask()) {
            ask(client, share - client.waiting(), now);
        }
    }

    void ask(Client& client, std::size_t count, TimePoint now) noexcept {
        if (options_.count > 0) {
            count = std::min<std::size_t>(count, options_.count - asked_);
        }
        client.ask(count, now);
        asked_ += count;
    }

    /// The next client in turn that can ask, or none.
    [[nodiscard]] Client* next_client() noexcept {
        for (std::size_t tried = 0; tried < clients_.size(); ++tried) {
            Client& client = *clients_[turn_++ % clients_.size()];
            if (options_.reconnect ? !client.is_open() && client.open() : client.is_open()) {
                return &client;
            }
        }
        return nullptr;
    }

    void ask_what_is_due() noexcept {
        std::uint64_t expirations = 0;
        if (::read(timer_.get(), &expirations, sizeof expirations) < 0) {
            return;
        }
        const TimePoint now = Clock::now();
        std::size_t late = 0;
        for (; may_ask() && due(paced_) <= now; ++paced_) {
            ++late;
        }
        // A flood goes out in batches: each client its share.
        const std::size_t share = std::max<std::size_t>(late / clients_.size(), 1);
        for (; late > 0; late -= std::min(share, late)) {
            if (Client* client = next_client()) {
                ask(*client, std::min(share, late), now);
            }
        }
        if (may_ask()) {
            arm(due(paced_));
        }
    }

    [[nodiscard]] TimePoint due(std::uint64_t number) const noexcept {
        return start_ + std::chrono::nanoseconds{number * 1'000'000'000U / options_.rate};
    }

    void arm(TimePoint when) const noexcept {
        const auto count = std::chrono::nanoseconds{when.time_since_epoch()}.count();
        itimerspec spec{};
        spec.it_value.tv_sec = count / 1'000'000'000;
        spec.it_value.tv_nsec = count % 1'000'000'000;
        ::timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr);
    }

    Options options_;
    std::unique_ptr<Trust> trust_;
    Loop loop_;
    Names names_;
    Statistics statistics_;
    Client::Shared shared_{.loop = loop_,
                           .names = names_,
                           .statistics = statistics_,
                           .owner = *this,
                           .transport = options_.transport,
                           .trust = trust_.get(),
                           .port = options_.port,
                           .timeout = options_.timeout,
                           .ring = ring(options_)};
    std::vector<std::unique_ptr<Client>> clients_;
    Fd timer_;
    Handler<Load, &Load::ask_what_is_due> on_timer_{*this};
    Watching timer_watching_;
    TimePoint start_;
    TimePoint swept_;
    std::uint64_t asked_{0};
    std::uint64_t paced_{0};
    std::size_t turn_{0};
    bool asking_{true};
};

Milliseconds seconds(const char* text) {
    return Milliseconds{static_cast<Milliseconds::rep>(std::stod(text) * 1000)};
}

std::uint32_t address(const char* text) {
    in_addr found{};
    if (::inet_pton(AF_INET, text, &found) != 1) {
        throw std::runtime_error{"--from is no IPv4 address"};
    }
    return ntohl(found.s_addr);
}

/// Takes one option, by its short name. Throws std::runtime_error when there is none with this
/// name.
void set(Options& options, int name, const char* value) {
    switch (name) {
    case 't':
        options.transport = Transport::tcp;
        break;
    case 'p':
        options.port = static_cast<std::uint16_t>(std::stoul(value));
        break;
    case 'c':
        options.clients = std::stoul(value);
        break;
    case 'o':
        options.outstanding = std::stoul(value);
        break;
    case 'r':
        options.rate = static_cast<std::uint32_t>(std::stoul(value));
        break;
    case 'R':
        options.reconnect = true;
        break;
    case 'w':
        options.warm_up = seconds(value);
        break;
    case 's':
        options.window = seconds(value);
        break;
    case 'n':
        options.count = std::stoull(value);
        break;
    case 'T':
        options.timeout = seconds(value);
        break;
    case 'b':
        options.bin = seconds(value);
        break;
    case 'N':
        options.names = static_cast<std::uint32_t>(std::stoul(value));
        break;
    case 'g':
        options.tag = value;
        break;
    case 'a':
        options.transport = Transport::tcp;
        options.ca = value;
        break;
    case 'S':
        options.name = value;
        break;
    case 'e':
        options.resume = true;
        break;
    case 'f':
        options.from = address(value);
        break;
    default:
        throw std::runtime_error{"see tests/bench/README.md for the options"};
    }
}

Options parse(int argc, char** argv) {
    const std::array<option, 18> names{{{"tcp", no_argument, nullptr, 't'},
                                        {"port", required_argument, nullptr, 'p'},
                                        {"clients", required_argument, nullptr, 'c'},
                                        {"outstanding", required_argument, nullptr, 'o'},
                                        {"rate", required_argument, nullptr, 'r'},
                                        {"reconnect", no_argument, nullptr, 'R'},
                                        {"warm-up", required_argument, nullptr, 'w'},
                                        {"seconds", required_argument, nullptr, 's'},
                                        {"count", required_argument, nullptr, 'n'},
                                        {"timeout", required_argument, nullptr, 'T'},
                                        {"bin", required_argument, nullptr, 'b'},
                                        {"names", required_argument, nullptr, 'N'},
                                        {"tag", required_argument, nullptr, 'g'},
                                        {"tls", required_argument, nullptr, 'a'},
                                        {"server", required_argument, nullptr, 'S'},
                                        {"resume", no_argument, nullptr, 'e'},
                                        {"from", required_argument, nullptr, 'f'},
                                        {nullptr, 0, nullptr, 0}}};
    Options options;
    for (int name = 0; (name = ::getopt_long(argc, argv, "", names.data(), nullptr)) != -1;) {
        set(options, name, optarg);
    }
    if (options.clients == 0 || options.tag.empty() || options.tag.size() > 63 ||
        (options.reconnect && (options.transport != Transport::tcp || options.rate == 0))) {
        throw std::runtime_error{"--reconnect needs --tcp and --rate; a tag has 1 to 63 octets"};
    }
    return options;
}

} // namespace
} // namespace dotproxy::bench

int main(int argc, char** argv) {
    try {
        const auto load =
            std::make_unique<dotproxy::bench::Load>(dotproxy::bench::parse(argc, argv));
        load->run();
        return EXIT_SUCCESS;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "load: %s\n", error.what());
        return EXIT_FAILURE;
    }
}
