// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// bench/flood: asks a DNS server on 127.0.0.1 over UDP so many questions a second, whatever is
// answered, from as many addresses as it is told to, until it is ended. Questions of one address
// leave together, in one pass through the kernel (UDP_SEGMENT): so one core sends more than a
// server on another one can read, and has time for others.
//
// Standard output: at the start, on SIGUSR1 and at the end, what it has sent and what has come.

#include "base/clock.hh"
#include "base/fd.hh"
#include "bench/names.hh"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <getopt.h>
#include <memory>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdexcept>
#include <string>
#include <sys/socket.h>
#include <system_error>
#include <vector>

namespace dotproxy::bench {
namespace {

struct Options {
    std::uint16_t port{5300};
    std::uint64_t rate{0};          // questions a second
    std::uint32_t from{0x0a090001}; // the first address, 10.9.0.1
    std::uint32_t sources{1};       // how many there are, from that one on
    std::uint32_t burst{32};        // how many questions of one address leave together
    std::uint32_t names{0};         // as of Names
    std::string tag{"flood"};
};

[[noreturn]] void fail(const char* what) {
    throw std::system_error{errno, std::generic_category(), what};
}

class Flood final {
  public:
    explicit Flood(const Options& options)
        : options_{options}, names_{options.tag, options.names}, size_{names_.next(0).size()},
          fd_{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)} {
        // Answers to all addresses come in here.
        sockaddr_in own{};
        own.sin_family = AF_INET;
        if (!fd_ || ::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) {
            fail("bind");
        }
        const int size = static_cast<int>(size_);
        if (::setsockopt(fd_.get(), SOL_UDP, UDP_SEGMENT, &size, sizeof size) != 0) {
            fail("UDP_SEGMENT");
        }
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
        server_.sin_family = AF_INET;
        server_.sin_port = htons(options.port);
        server_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        for (std::size_t i = 0; i < batch; ++i) {
            prepare(messages_[i], questions_[i]);
        }
        ::sigemptyset(&signals_);
        for (const int number : {SIGUSR1, SIGTERM, SIGINT, SIGHUP}) {
            ::sigaddset(&signals_, number);
        }
        ::sigprocmask(SIG_BLOCK, &signals_, nullptr);
    }

    void run() {
        report();
        TimePoint begin = Clock::now();
        for (std::uint64_t offered = 0;;) {
            const std::chrono::nanoseconds elapsed = Clock::now() - begin;
            std::uint64_t due =
                options_.rate * static_cast<std::uint64_t>(elapsed.count()) / 1'000'000'000U;
            // What could not be sent in time is not sent at all.
            if (const std::uint64_t most = options_.rate / 50; due - offered > most) {
                due = most;
                offered = 0;
                begin = Clock::now() - std::chrono::milliseconds{20};
            }
            send(due - offered);
            offered = due;
            take_answers();
            constexpr timespec pause{.tv_sec = 0, .tv_nsec = 250'000};
            const int number = ::sigtimedwait(&signals_, nullptr, &pause);
            if (number > 0) {
                report();
            }
            if (number > 0 && number != SIGUSR1) {
                return;
            }
        }
    }

  private:
    static constexpr std::size_t batch = 32;
    static constexpr int buffer = 4 << 20;
    // Has no divisor that a number of sources is likely to have: their order says nothing.
    static constexpr std::uint64_t stride = 611'953;

    /// The questions of one message, and what the kernel is to know about them.
    struct Questions {
        std::vector<std::uint8_t> octets;
        iovec piece{};
        alignas(cmsghdr) std::array<std::uint8_t, CMSG_SPACE(sizeof(in_pktinfo))> control{};
        in_pktinfo* source{nullptr};
    };

    void prepare(mmsghdr& message, Questions& questions) {
        questions.octets.resize(options_.burst * size_);
        questions.piece.iov_base = questions.octets.data();
        auto* const control = reinterpret_cast<cmsghdr*>(questions.control.data());
        control->cmsg_level = IPPROTO_IP;
        control->cmsg_type = IP_PKTINFO;
        control->cmsg_len = CMSG_LEN(sizeof(in_pktinfo));
        questions.source = reinterpret_cast<in_pktinfo*>(CMSG_DATA(control));
        message.msg_hdr = {.msg_name = &server_,
                           .msg_namelen = sizeof server_,
                           .msg_iov = &questions.piece,
                           .msg_iovlen = 1,
                           .msg_control = questions.control.data(),
                           .msg_controllen = questions.control.size(),
                           .msg_flags = 0};
    }

    void fill(Questions& questions, std::size_t count) noexcept {
        questions.piece.iov_len = count * size_;
        const std::uint64_t source = turn_++ * stride % options_.sources;
        questions.source->ipi_spec_dst.s_addr =
            htonl(options_.from + static_cast<std::uint32_t>(source));
        for (std::size_t i = 0; i < count; ++i) {
            const dns::Octets question = names_.next(id_++);
            std::copy(question.begin(), question.end(),
                      questions.octets.begin() + static_cast<std::ptrdiff_t>(i * size_));
        }
    }

    void send(std::uint64_t count) {
        while (count > 0) {
            unsigned filled = 0;
            std::uint64_t asked = 0;
            for (; filled < batch && asked < count; ++filled) {
                const std::uint64_t together =
                    std::min<std::uint64_t>(options_.burst, count - asked);
                fill(questions_[filled], together);
                asked += together;
            }
            const int sent = ::sendmmsg(fd_.get(), messages_.data(), filled, 0);
            if (sent < 0 && errno != ENOBUFS) {
                fail("sendmmsg");
            }
            for (int i = 0; i < sent; ++i) {
                sent_ += questions_[static_cast<std::size_t>(i)].piece.iov_len / size_;
            }
            count -= asked;
        }
    }

    void take_answers() noexcept {
        std::array<std::array<std::uint8_t, dns::header_size>, batch> headers;
        std::array<iovec, batch> pieces;
        std::array<mmsghdr, batch> messages{};
        for (std::size_t i = 0; i < batch; ++i) {
            pieces[i] = {.iov_base = headers[i].data(), .iov_len = headers[i].size()};
            messages[i].msg_hdr.msg_iov = &pieces[i];
            messages[i].msg_hdr.msg_iovlen = 1;
        }
        for (int count = batch; count == batch;) {
            count = ::recvmmsg(fd_.get(), messages.data(), batch, MSG_DONTWAIT, nullptr);
            for (int i = 0; i < count; ++i) {
                const auto at = static_cast<std::size_t>(i);
                take(dns::Octets{headers[at]}.first(messages[at].msg_len));
            }
        }
    }

    void take(dns::Octets header) noexcept {
        if (header.size() < dns::header_size) {
            return;
        }
        if ((dns::flags(header) & dns::flag::truncated) != 0) {
            ++truncated_;
        } else if ((dns::flags(header) & dns::flag::rcode_mask) == 0 && dns::ancount(header) == 1) {
            ++received_;
        } else {
            ++failed_;
        }
    }

    void report() const noexcept {
        std::printf("sent=%llu received=%llu truncated=%llu failed=%llu\n", sent_, received_,
                    truncated_, failed_);
        std::fflush(stdout);
    }

    Options options_;
    Names names_;
    std::size_t size_; // of a question
    Fd fd_;
    sockaddr_in server_{};
    sigset_t signals_{};
    std::array<Questions, batch> questions_;
    std::array<mmsghdr, batch> messages_{};
    std::uint64_t turn_{0};
    std::uint16_t id_{0};
    unsigned long long sent_{0};
    unsigned long long received_{0}; // answers that say what was asked for
    unsigned long long truncated_{0};
    unsigned long long failed_{0};
};

std::uint32_t number(const char* text) {
    return static_cast<std::uint32_t>(std::stoul(text));
}

Options parse(int argc, char** argv) {
    const std::array<option, 8> names{{{"port", required_argument, nullptr, 'p'},
                                       {"rate", required_argument, nullptr, 'r'},
                                       {"from", required_argument, nullptr, 'f'},
                                       {"sources", required_argument, nullptr, 's'},
                                       {"burst", required_argument, nullptr, 'b'},
                                       {"names", required_argument, nullptr, 'N'},
                                       {"tag", required_argument, nullptr, 'g'},
                                       {nullptr, 0, nullptr, 0}}};
    Options options;
    in_addr from{};
    for (int name = 0; (name = ::getopt_long(argc, argv, "", names.data(), nullptr)) != -1;) {
        switch (name) {
        case 'p':
            options.port = static_cast<std::uint16_t>(number(optarg));
            break;
        case 'r':
            options.rate = number(optarg);
            break;
        case 'f':
            if (::inet_pton(AF_INET, optarg, &from) != 1) {
                throw std::runtime_error{"--from is no IPv4 address"};
            }
            options.from = ntohl(from.s_addr);
            break;
        case 's':
            options.sources = number(optarg);
            break;
        case 'b':
            options.burst = number(optarg);
            break;
        case 'N':
            options.names = number(optarg);
            break;
        case 'g':
            options.tag = optarg;
            break;
        default:
            throw std::runtime_error{"see tests/bench/README.md for the options"};
        }
    }
    if (options.sources == 0 || options.burst == 0 || options.burst > 64 || options.tag.empty() ||
        options.tag.size() > 63) {
        throw std::runtime_error{"--sources and --burst are 1 at least, and 64 leave together at "
                                 "most; a tag has 1 to 63 octets"};
    }
    return options;
}

} // namespace
} // namespace dotproxy::bench

int main(int argc, char** argv) {
    try {
        const auto flood =
            std::make_unique<dotproxy::bench::Flood>(dotproxy::bench::parse(argc, argv));
        flood->run();
        return EXIT_SUCCESS;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "flood: %s\n", error.what());
        return EXIT_FAILURE;
    }
}
