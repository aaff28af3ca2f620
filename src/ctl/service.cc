// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "ctl/service.hh"

#include <array>
#include <cerrno>
#include <cstdio>
#include <string_view>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <system_error>
#include <utility>

namespace dotproxy::ctl {

namespace {

using namespace std::string_view_literals;

// A reload may have to wait for another one; each of them is given up after fifteen seconds.
constexpr time_t patience = 60;

std::string remedy(int error) {
    switch (error) {
    case EACCES:
    case EPERM:
        return "; root may connect, and the group of the socket";
    case ENOENT:
    case ECONNREFUSED:
        return "; is dotproxy running, and this its control_socket?";
    default:
        return {};
    }
}

} // namespace

Service::Service(std::string path)
    : path_{std::move(path)}, socket_{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)} {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address.sun_path) {
        throw NoService{path_ + ": too long for the path of a socket"};
    }
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    const timeval limit{.tv_sec = patience, .tv_usec = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
        0) {
        const int error = errno;
        throw NoService{"cannot connect to " + path_ + ": " +
                        std::generic_category().message(error) + remedy(error)};
    }
}

std::string Service::ask(const std::string& request) {
    const std::string line = request + '\n';
    // One that turns us away does so before it has read this: what it says is to be read.
    static_cast<void>(::send(socket_.get(), line.data(), line.size(), MSG_NOSIGNAL));
    constexpr auto error = "error "sv;
    for (;;) {
        const std::string answer = read_line();
        if (answer == "ok") {
            return {};
        }
        if (answer.starts_with(error)) {
            return answer.substr(error.size());
        }
        std::puts(answer.c_str());
    }
}

std::string Service::read_line() {
    std::size_t end = 0;
    while ((end = unread_.find('\n')) == std::string::npos) {
        std::array<char, 4096> part{};
        const ssize_t count = ::recv(socket_.get(), part.data(), part.size(), 0);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0 && (errno == EAGAIN)) {
            throw NoService{path_ + ": no answer within " + std::to_string(patience) + " seconds"};
        }
        if (count <= 0) {
            throw NoService{path_ + ": the connection ended before the answer; look into the log"};
        }
        unread_.append(part.data(), static_cast<std::size_t>(count));
    }
    std::string line = unread_.substr(0, end);
    unread_.erase(0, end + 1);
    return line;
}

} // namespace dotproxy::ctl
