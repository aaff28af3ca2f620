// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/inheritance.hh"

#include "unit.hh"

#include <array>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <utility>

using dotproxy::Address;
using dotproxy::Fd;
using dotproxy::Inheritance;
using dotproxy::open_listener;
using dotproxy::PassedDescriptor;
using dotproxy::Protocol;
using dotproxy::take_inheritance;

namespace {

Fd listener(Protocol protocol) {
    return std::move(open_listener(protocol, *Address::parse("127.0.0.1", 0)).socket);
}

template <class... Passed>
Inheritance take(Passed... passed) {
    std::vector<PassedDescriptor> all;
    (all.push_back(std::move(passed)), ...);
    return take_inheritance(std::move(all));
}

void test_take_when_sockets_then_by_who_has_bound_them(void** /*state*/) {
    Fd udp = listener(Protocol::udp);
    Fd tcp = listener(Protocol::tcp);
    Fd kept = listener(Protocol::udp);
    const int numbers[] = {udp.get(), tcp.get(), kept.get()};
    const Inheritance inheritance =
        take(PassedDescriptor{"dotproxy.socket", std::move(udp)},
             PassedDescriptor{"listen", std::move(kept)}, PassedDescriptor{"", std::move(tcp)});
    assert_int_equal(inheritance.bound.size(), 2);
    assert_int_equal(inheritance.bound[0]->socket.get(), numbers[0]);
    assert_true(inheritance.bound[0]->protocol == Protocol::udp);
    assert_int_equal(inheritance.bound[1]->socket.get(), numbers[1]);
    assert_true(inheritance.bound[1]->protocol == Protocol::tcp);
    assert_int_equal(inheritance.kept.size(), 1);
    assert_int_equal(inheritance.kept[0]->socket.get(), numbers[2]);
    assert_false(static_cast<bool>(inheritance.cache));
}

void test_take_when_memory_then_set_apart(void** /*state*/) {
    Fd memory{::memfd_create("test", MFD_CLOEXEC)};
    const int number = memory.get();
    const Inheritance inheritance = take(PassedDescriptor{"cache", std::move(memory)});
    assert_int_equal(inheritance.cache.get(), number);
    assert_int_equal(inheritance.bound.size() + inheritance.kept.size(), 0);
}

// Closed, or they would be kept open and passed on for ever.
void test_take_when_of_no_use_then_closed(void** /*state*/) {
    std::array<int, 2> pipe{};
    assert_int_equal(::pipe2(pipe.data(), O_CLOEXEC), 0);
    Fd memory{::memfd_create("test", MFD_CLOEXEC)};
    Fd unix_socket{::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const int numbers[] = {memory.get(), unix_socket.get(), pipe[0], pipe[1]};
    const Inheritance inheritance =
        take(PassedDescriptor{"memory", std::move(memory)}, PassedDescriptor{"listen", Fd{pipe[0]}},
             PassedDescriptor{"cache", Fd{pipe[1]}}, PassedDescriptor{"x", std::move(unix_socket)},
             PassedDescriptor{"gone", Fd{}});
    assert_int_equal(inheritance.bound.size() + inheritance.kept.size(), 0);
    assert_false(static_cast<bool>(inheritance.cache));
    for (const int number : numbers) {
        assert_int_equal(::fcntl(number, F_GETFD), -1);
    }
}

// Memory comes as one; whatever else there is by its name must not be kept open.
void test_take_when_the_name_is_there_twice_then_one_and_the_other_closed(void** /*state*/) {
    Fd first{::memfd_create("test", MFD_CLOEXEC)};
    Fd second{::memfd_create("test", MFD_CLOEXEC)};
    const int numbers[] = {first.get(), second.get()};
    const Inheritance inheritance = take(PassedDescriptor{"cache", std::move(first)},
                                         PassedDescriptor{"cache", std::move(second)});
    assert_int_equal(inheritance.cache.get(), numbers[1]);
    assert_int_equal(::fcntl(numbers[0], F_GETFD), -1);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_take_when_sockets_then_by_who_has_bound_them),
        cmocka_unit_test(test_take_when_memory_then_set_apart),
        cmocka_unit_test(test_take_when_of_no_use_then_closed),
        cmocka_unit_test(test_take_when_the_name_is_there_twice_then_one_and_the_other_closed),
    };
    return cmocka_run_group_tests_name("master/inheritance", tests, nullptr, nullptr);
}
