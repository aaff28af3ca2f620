// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Landlock by itself, without the filter on top: it says no, and nobody dies of that.

#include "sandbox/landlock.hh"

#include "master/child.hh"
#include "unit.hh"

#include <arpa/inet.h>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

using dotproxy::Fd;
using dotproxy::sandbox::enter_landlock;
using dotproxy::sandbox::landlock_version;
using dotproxy::test::first_failure;
using dotproxy::test::in_child;

namespace {

constexpr int net_since = 4;
constexpr int scopes_since = 6;

void enter(const std::vector<std::uint16_t>& ports = {}) {
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    enter_landlock(landlock_version(), {.ports = ports});
}

sockaddr_in loopback(std::uint16_t port) {
    return {.sin_family = AF_INET,
            .sin_port = htons(port),
            .sin_addr = {htonl(INADDR_LOOPBACK)},
            .sin_zero = {}};
}

/// A socket that listens, and where.
struct Server {
    Server() {
        sockaddr_in address = loopback(0);
        socklen_t size = sizeof address;
        auto* name = reinterpret_cast<sockaddr*>(&address);
        if (::bind(socket.get(), name, size) == 0 && ::listen(socket.get(), 8) == 0 &&
            ::getsockname(socket.get(), name, &size) == 0) {
            port = ntohs(address.sin_port);
        }
    }

    Fd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    std::uint16_t port{0};
};

/// errno of a connect(); 0: there is a connection.
int connect_to(std::uint16_t port) {
    const Fd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const sockaddr_in address = loopback(port);
    return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0
               ? 0
               : errno;
}

bool opens(const char* path, int flags) {
    return static_cast<bool>(Fd{::open(path, flags | O_CLOEXEC, 0600)});
}

void test_files_when_entered_then_none_by_name(void** /*state*/) {
    assert_int_equal(in_child([] {
                         const bool before = opens("/etc/passwd", O_RDONLY);
                         enter();
                         const bool refused = !opens("/etc/passwd", O_RDONLY) && errno == EACCES;
                         return first_failure({before, refused, !opens("/", O_RDONLY),
                                               !opens("/tmp", O_TMPFILE | O_RDWR),
                                               ::mkdir("/tmp/dotproxy-landlock", 0700) != 0});
                     }),
                     0);
}

void test_files_when_open_already_then_they_stay_so(void** /*state*/) {
    assert_int_equal(in_child([] {
                         const Fd file{::open("/etc/passwd", O_RDONLY | O_CLOEXEC)};
                         enter();
                         char octet = 0;
                         return first_failure({::read(file.get(), &octet, 1) == 1});
                     }),
                     0);
}

void test_connect_when_to_a_port_of_the_list_then_made(void** /*state*/) {
    const Server server;
    assert_int_not_equal(server.port, 0);
    assert_int_equal(in_child([&server] {
                         enter({1, server.port, 65535});
                         return connect_to(server.port);
                     }),
                     0);
}

void test_connect_when_to_another_port_then_refused(void** /*state*/) {
    if (landlock_version() < net_since) {
        return; // no such right: nothing to see
    }
    const Server server;
    const Server other;
    assert_int_equal(in_child([&] {
                         enter({server.port});
                         return connect_to(other.port);
                     }),
                     EACCES);
    assert_int_equal(in_child([&] {
                         enter();
                         return connect_to(server.port);
                     }),
                     EACCES);
}

void test_bind_when_entered_then_refused(void** /*state*/) {
    if (landlock_version() < net_since) {
        return; // no such right: nothing to see
    }
    assert_int_equal(in_child([] {
                         enter({853});
                         return static_cast<int>(Server{}.port);
                     }),
                     0);
}

void test_bind_when_a_source_is_chosen_then_with_no_port_but_the_kernels(void** /*state*/) {
    if (landlock_version() < net_since) {
        return; // no such right: nothing to see
    }
    const std::uint16_t port = Server{}.port; // which is free again
    assert_int_equal(in_child([port] {
                         ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                         enter_landlock(landlock_version(), {.ports = {}, .source = true});
                         const Fd socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
                         const sockaddr_in address = loopback(port);
                         const bool refused =
                             ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address),
                                    sizeof address) != 0 &&
                             errno == EACCES;
                         return first_failure({refused, Server{}.port != 0});
                     }),
                     0);
}

void test_signal_when_to_a_parent_then_refused(void** /*state*/) {
    if (landlock_version() < scopes_since) {
        return; // no such right: nothing to see
    }
    const pid_t parent = ::getpid();
    assert_int_equal(in_child([parent] {
                         const bool before = ::kill(parent, 0) == 0;
                         enter();
                         return first_failure({before, ::kill(parent, 0) != 0 && errno == EPERM,
                                               ::kill(::getpid(), 0) == 0});
                     }),
                     0);
}

void test_abstract_socket_when_of_another_then_refused(void** /*state*/) {
    if (landlock_version() < scopes_since) {
        return; // no such right: nothing to see
    }
    sockaddr_un name{.sun_family = AF_UNIX, .sun_path = {}};
    const int length = std::snprintf(&name.sun_path[1], sizeof name.sun_path - 1,
                                     "dotproxy-landlock-%d", ::getpid());
    const auto size =
        static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + static_cast<unsigned>(length));
    const Fd server{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    const auto* address = reinterpret_cast<const sockaddr*>(&name);
    assert_int_equal(::bind(server.get(), address, size), 0);
    const auto reach = [&] {
        const Fd client{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
        return ::connect(client.get(), address, size) == 0;
    };
    assert_true(reach());
    assert_int_equal(in_child([&reach] {
                         enter();
                         return first_failure({!reach(), errno == EPERM});
                     }),
                     0);
}

// What an older kernel knows is a part of what this one does.
void test_enter_when_the_version_is_older_then_entered(void** /*state*/) {
    for (int version = 1; version <= landlock_version(); ++version) {
        assert_int_equal(in_child([version] {
                             ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                             enter_landlock(version, {.ports = {853}});
                             return first_failure({!opens("/etc/passwd", O_RDONLY)});
                         }),
                         0);
    }
}

} // namespace

int main() {
    if (landlock_version() == 0) {
        // cmocka writes a skipped test as one that failed; TAP can skip a whole program.
        std::puts("1..0 # SKIP this kernel has no Landlock");
        return 0;
    }
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_files_when_entered_then_none_by_name),
        cmocka_unit_test(test_files_when_open_already_then_they_stay_so),
        cmocka_unit_test(test_connect_when_to_a_port_of_the_list_then_made),
        cmocka_unit_test(test_connect_when_to_another_port_then_refused),
        cmocka_unit_test(test_bind_when_entered_then_refused),
        cmocka_unit_test(test_bind_when_a_source_is_chosen_then_with_no_port_but_the_kernels),
        cmocka_unit_test(test_signal_when_to_a_parent_then_refused),
        cmocka_unit_test(test_abstract_socket_when_of_another_then_refused),
        cmocka_unit_test(test_enter_when_the_version_is_older_then_entered),
    };
    return cmocka_run_group_tests_name("sandbox/landlock", tests, nullptr, nullptr);
}
