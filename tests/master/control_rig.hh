// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// A control socket in a directory of its own, with the master's end of it and real clients. The
// clock is the test's own.

#pragma once

#include "master/child.hh" // before cmocka
#include "master/control.hh"
#include "unit.hh"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

namespace dotproxy::test {

/// When a test begins.
constexpr TimePoint start{std::chrono::hours{24}};

/// A client; none where nobody listens.
inline Fd connect_to(const std::string& path) {
    Fd socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        socket.reset();
    }
    return socket;
}

/// Sends at once all of `text`.
inline void write(const Fd& client, const std::string& text) {
    assert_int_equal(::send(client.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT),
                     text.size());
}

/// What has come; "end" where the connection has ended.
inline std::string read(const Fd& client) {
    std::array<char, 65536> text{};
    const ssize_t count = ::recv(client.get(), text.data(), text.size(), MSG_DONTWAIT);
    if (count > 0) {
        return {text.data(), static_cast<std::size_t>(count)};
    }
    return count == 0 || errno != EAGAIN ? "end" : "";
}

/// A directory, and a master's end of the socket in it.
struct World {
    std::string directory;
    std::string path;
    Control control;

    /// One turn of the master's loop; nothing is waited for.
    void turn(TimePoint now = start) {
        std::vector<pollfd> polled;
        control.add_to(polled);
        if (::poll(polled.data(), polled.size(), 0) > 0) {
            control.on_ready(polled, now);
        }
    }

    [[nodiscard]] std::size_t watched() const {
        std::vector<pollfd> polled;
        control.add_to(polled);
        return polled.size();
    }
};

/// Makes the World of a test.
inline int set_up(void** state) {
    auto world = std::make_unique<World>();
    std::array<char, 32> name{"/tmp/dotproxy-control-XXXXXX"};
    if (::mkdtemp(name.data()) == nullptr) {
        return -1;
    }
    world->directory = name.data();
    world->path = world->directory + "/control";
    world->control.listen(ControlSocket{world->path});
    *state = world.release();
    return 0;
}

/// Fails when anything but the socket is left in its directory.
inline int tear_down(void** state) {
    std::unique_ptr<World> world{static_cast<World*>(*state)};
    const std::string directory = world->directory;
    const std::string path = world->path;
    world.reset();
    ::unlink(path.c_str());
    return ::rmdir(directory.c_str());
}

/// What set_up made.
inline World& world_of(void** state) {
    return *static_cast<World*>(*state);
}

} // namespace dotproxy::test
