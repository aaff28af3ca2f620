// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/notify.hh"

#include "base/number.hh"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <poll.h>
#include <stdexcept>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

namespace dotproxy {

namespace {

// A day; more is as good as none, and would not fit the clock.
constexpr std::uint64_t longest_watchdog = 86'400'000'000;

// For a service manager that is busy: one that was never told that the service is ready takes it
// down. But the workers need a master as well.
constexpr timeval patience{.tv_sec = 1, .tv_usec = 0};

std::string environment(const char* name) {
    const char* value = std::getenv(name); // NOLINT(concurrency-mt-unsafe): one thread
    return value != nullptr ? value : "";
}

bool meant_for_us(const char* pid_variable) {
    const auto pid = parse_number<std::uint64_t>(environment(pid_variable));
    return pid && *pid == static_cast<std::uint64_t>(::getpid());
}

} // namespace

Notify::Notify() : path_{environment("NOTIFY_SOCKET")} {
    const auto microseconds = parse_number<std::uint64_t>(environment("WATCHDOG_USEC"));
    if (microseconds && *microseconds > 0 && *microseconds <= longest_watchdog &&
        (environment("WATCHDOG_PID").empty() || meant_for_us("WATCHDOG_PID"))) {
        watchdog_ = std::chrono::microseconds{*microseconds / 2};
    }
}

void Notify::ready(std::string_view status) const noexcept {
    send("READY=1\nSTATUS=" + std::string{status});
}

void Notify::reloading() const noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const auto microseconds = now.tv_sec * 1'000'000 + now.tv_nsec / 1000;
    send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(microseconds));
}

void Notify::stopping(Clock::duration most) const noexcept {
    // Longer than usual is fine, where the administrator has said so.
    const auto microseconds = std::chrono::ceil<std::chrono::microseconds>(most).count();
    send("STOPPING=1\nEXTEND_TIMEOUT_USEC=" + std::to_string(microseconds));
}

void Notify::alive() const noexcept {
    send("WATCHDOG=1");
}

void Notify::keep(std::string_view name, std::span<const int> descriptors) const noexcept {
    const std::string front = "FDNAME=" + std::string{name} + '\n';
    send(front + "FDSTOREREMOVE=1");
    while (!descriptors.empty()) {
        const std::size_t count = std::min(descriptors.size(), max_sent);
        // Not polled: an error that waits on a UDP socket is no reason to let go of it.
        send(front + "FDSTORE=1\nFDPOLL=0", descriptors.first(count));
        descriptors = descriptors.subspan(count);
    }
}

void Notify::settle(Milliseconds patience) const noexcept {
    std::array<int, 2> ends{};
    if (path_.empty() || ::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return;
    }
    pollfd heard{.fd = ends[0], .events = 0, .revents = 0};
    const Fd reading{ends[0]};
    Fd writing{ends[1]};
    send("BARRIER=1", std::span{&ends[1], 1});
    writing.reset();
    // The manager's copy is closed when it comes to this message: then there is nobody to write.
    static_cast<void>(::poll(&heard, 1, static_cast<int>(patience.count())));
}

void Notify::send(const std::string& state, std::span<const int> descriptors) const noexcept {
    sockaddr_un address{};
    if (path_.empty() || path_.size() >= sizeof address.sun_path) {
        return;
    }
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    if (path_.front() == '@') {
        address.sun_path[0] = '\0'; // the abstract namespace
    }
    const Fd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    std::string text = state; // sendmsg() takes it without const
    iovec octets{.iov_base = text.data(), .iov_len = text.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(max_sent * sizeof(int))> room{};
    msghdr message{};
    message.msg_name = &address;
    message.msg_namelen = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path_.size());
    message.msg_iov = &octets;
    message.msg_iovlen = 1;
    if (!descriptors.empty()) {
        message.msg_control = room.data();
        message.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    }
    if (cmsghdr* const rights = CMSG_FIRSTHDR(&message); rights != nullptr) {
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
    }
    static_cast<void>(::sendmsg(socket.get(), &message, MSG_NOSIGNAL));
}

std::vector<PassedDescriptor> passed_descriptors() {
    constexpr int first = 3; // SD_LISTEN_FDS_START
    std::vector<PassedDescriptor> passed;
    const auto count = parse_number<std::uint64_t>(environment("LISTEN_FDS"));
    if (count && meant_for_us("LISTEN_PID")) {
        const std::string names = environment("LISTEN_FDNAMES");
        std::size_t at = 0;
        while (passed.size() < *count) {
            const int fd = first + static_cast<int>(passed.size());
            if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
                throw std::runtime_error{"LISTEN_FDS says that " + std::to_string(*count) +
                                         " descriptors are passed, from " + std::to_string(first) +
                                         " on, but " + std::to_string(fd) +
                                         " is not open; whoever starts dotproxy must pass as many "
                                         "as it says, or unset LISTEN_FDS"};
            }
            const std::size_t end = std::min(names.find(':', at), names.size());
            passed.push_back({.name = names.substr(at, end - at), .fd = Fd{fd}});
            at = std::min(end + 1, names.size());
        }
    }
    // NOLINTBEGIN(concurrency-mt-unsafe): one thread
    ::unsetenv("LISTEN_FDS");
    ::unsetenv("LISTEN_PID");
    ::unsetenv("LISTEN_FDNAMES");
    // NOLINTEND(concurrency-mt-unsafe)
    return passed;
}

} // namespace dotproxy
