// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "front/handover.hh"

#include "unit.hh"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <numeric>
#include <string>
#include <string_view>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <vector>

using dotproxy::Fd;
using dotproxy::hand_over;
using dotproxy::Handover;
using dotproxy::make_handover;
using dotproxy::take_over;

namespace {

/// A client's connection: the end that is handed over, and the client's.
struct Pair {
    Pair() {
        std::array<int, 2> ends{-1, -1};
        assert_int_equal(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
        near.reset(ends[0]);
        far.reset(ends[1]);
    }

    Fd near;
    Fd far;
};

std::span<const std::uint8_t> octets(std::string_view text) noexcept {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

void send_text(const Fd& socket, std::string_view text) {
    assert_int_equal(::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL), text.size());
}

std::string receive_text(const Fd& socket, int flags = MSG_DONTWAIT) {
    std::array<char, 64> text{};
    const ssize_t count = ::recv(socket.get(), text.data(), text.size(), flags);
    return {text.data(), count > 0 ? static_cast<std::size_t>(count) : 0};
}

/// What take_over() gave.
struct Taken {
    explicit Taken(const Handover& handover) : room(131072) {
        connection = take_over(handover, room, size);
    }

    [[nodiscard]] bool unread_is(std::span<const std::uint8_t> wanted) const {
        return std::ranges::equal(std::span{room}.first(size), wanted);
    }

    std::vector<std::uint8_t> room;
    std::size_t size{0};
    Fd connection;
};

void test_take_over_when_another_process_handed_over_then_the_same_connection(void** /*state*/) {
    const Handover handover = make_handover();
    const Pair client;
    const pid_t old_worker = ::fork();
    if (old_worker == 0) {
        ::_exit(hand_over(handover, client.near.get(), octets("half a query")) ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(::waitpid(old_worker, &status, 0), old_worker);
    assert_int_equal(status, 0);
    const Taken taken{handover};
    assert_true(bool{taken.connection});
    assert_true(taken.unread_is(octets("half a query")));
    assert_int_equal(::fcntl(taken.connection.get(), F_GETFD), FD_CLOEXEC);
    send_text(taken.connection, "answer");
    assert_string_equal(receive_text(client.far).c_str(), "answer");
}

void test_hand_over_then_the_callers_copy_is_its_own(void** /*state*/) {
    const Handover handover = make_handover();
    Pair client;
    assert_true(hand_over(handover, client.near.get(), {}));
    client.near.reset(); // as a worker does; the one on its way keeps the connection open
    const Taken taken{handover};
    assert_int_equal(taken.size, 0);
    send_text(client.far, "query");
    assert_string_equal(receive_text(taken.connection).c_str(), "query");
}

// From nothing to more than a whole query that had been read of the next one.
void test_take_over_then_every_size_of_unread_octets_arrives(void** /*state*/) {
    const Handover handover = make_handover();
    const Pair client;
    std::vector<std::uint8_t> unread(16384 + 65537);
    std::iota(unread.begin(), unread.end(), std::uint8_t{0});
    for (const std::size_t size :
         {std::size_t{0}, std::size_t{1}, std::size_t{65537}, unread.size()}) {
        const auto part = std::span{unread}.first(size);
        assert_true(hand_over(handover, client.near.get(), part));
        const Taken taken{handover};
        assert_true(bool{taken.connection});
        assert_true(taken.unread_is(part));
    }
}

void test_take_over_when_nothing_is_there_then_none_and_no_wait(void** /*state*/) {
    const Handover handover = make_handover();
    const Taken taken{handover};
    assert_false(bool{taken.connection});
}

// Two workers of the next generation take turns: each connection keeps its own octets.
void test_take_over_when_several_take_then_each_connection_once(void** /*state*/) {
    const Handover handover = make_handover();
    const std::array<Pair, 3> clients;
    const std::array<std::string_view, 3> unread{"first", "", "third"};
    for (std::size_t i = 0; i < clients.size(); ++i) {
        assert_true(hand_over(handover, clients.at(i).near.get(), octets(unread.at(i))));
    }
    const pid_t other_worker = ::fork();
    if (other_worker == 0) {
        const Taken taken{handover};
        ::_exit(taken.connection && taken.unread_is(octets("first")) &&
                        ::send(taken.connection.get(), "1", 1, 0) == 1
                    ? 0
                    : 1);
    }
    int status = -1;
    assert_int_equal(::waitpid(other_worker, &status, 0), other_worker);
    assert_int_equal(status, 0);
    const Taken second{handover};
    const Taken third{handover};
    assert_true(second.unread_is({}));
    assert_true(third.unread_is(octets("third")));
    send_text(third.connection, "3"); // answered in another order than they came
    send_text(second.connection, "2");
    assert_string_equal(receive_text(clients[0].far).c_str(), "1");
    assert_string_equal(receive_text(clients[1].far).c_str(), "2");
    assert_string_equal(receive_text(clients[2].far).c_str(), "3");
    assert_false(bool{Taken{handover}.connection});
}

void test_hand_over_when_the_socket_is_full_then_later(void** /*state*/) {
    const Handover handover = make_handover();
    const Pair client;
    const std::vector<std::uint8_t> unread(16384);
    int sent = 0;
    while (hand_over(handover, client.near.get(), unread)) {
        ++sent;
        assert_in_range(sent, 1, 100000); // it does not take them without end
    }
    assert_in_range(sent, 1, 100000);
    send_text(client.far, "still mine");
    assert_string_equal(receive_text(client.near).c_str(), "still mine");
    for (int i = 0; i < sent; ++i) {
        assert_true(bool{Taken{handover}.connection});
    }
    assert_false(bool{Taken{handover}.connection});
    assert_true(hand_over(handover, client.near.get(), unread));
}

// The kernel would drop a connection that it has no number for: it stays where it is (L47, L65).
void test_take_over_when_out_of_descriptors_then_it_stays_in_the_queue(void** /*state*/) {
    const Handover handover = make_handover();
    const Pair client;
    assert_true(hand_over(handover, client.near.get(), octets("first")));
    assert_true(hand_over(handover, client.near.get(), octets("second")));
    const pid_t worker = ::fork();
    if (worker == 0) {
        rlimit limit{};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        const rlimit none{.rlim_cur = 0, .rlim_max = limit.rlim_max};
        ::setrlimit(RLIMIT_NOFILE, &none);
        const bool stayed = !Taken{handover}.connection && errno == EMFILE;
        ::setrlimit(RLIMIT_NOFILE, &limit);
        const Taken first{handover};
        const Taken second{handover};
        ::_exit(stayed && first.connection && first.unread_is(octets("first")) &&
                        second.connection && second.unread_is(octets("second"))
                    ? 0
                    : 1);
    }
    int status = -1;
    assert_int_equal(::waitpid(worker, &status, 0), worker);
    assert_int_equal(status, 0);
}

void test_take_over_when_nothing_or_no_connection_comes_then_errno_tells(void** /*state*/) {
    const Handover handover = make_handover();
    errno = 0;
    assert_false(bool{Taken{handover}.connection});
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(::send(handover.in.get(), "alone", 5, 0), 5);
    assert_false(bool{Taken{handover}.connection});
    assert_int_equal(errno, EBADMSG);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_take_over_when_another_process_handed_over_then_the_same_connection),
        cmocka_unit_test(test_hand_over_then_the_callers_copy_is_its_own),
        cmocka_unit_test(test_take_over_then_every_size_of_unread_octets_arrives),
        cmocka_unit_test(test_take_over_when_nothing_is_there_then_none_and_no_wait),
        cmocka_unit_test(test_take_over_when_several_take_then_each_connection_once),
        cmocka_unit_test(test_hand_over_when_the_socket_is_full_then_later),
        cmocka_unit_test(test_take_over_when_out_of_descriptors_then_it_stays_in_the_queue),
        cmocka_unit_test(test_take_over_when_nothing_or_no_connection_comes_then_errno_tells),
    };
    return cmocka_run_group_tests_name("front/handover", tests, nullptr, nullptr);
}
