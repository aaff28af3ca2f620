// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// The control socket's conversations, with real clients.

#include "master/control.hh"

#include "master/control_rig.hh"
#include "unit.hh"

using namespace std::chrono_literals;
using dotproxy::Control;
using dotproxy::ControlSocket;
using dotproxy::Fd;
using dotproxy::TimePoint;
using dotproxy::test::connect_to;
using dotproxy::test::first_failure;
using dotproxy::test::in_child;
using dotproxy::test::read;
using dotproxy::test::set_up;
using dotproxy::test::start;
using dotproxy::test::tear_down;
using dotproxy::test::World;
using dotproxy::test::world_of;
using dotproxy::test::write;

namespace {

void test_next_when_a_line_is_whole_then_it_and_its_answer(void** state) {
    World& world = world_of(state);
    const Fd client = connect_to(world.path);
    world.turn();
    assert_false(world.control.next().has_value());
    write(client, "sta");
    world.turn();
    assert_false(world.control.next().has_value());
    write(client, "tus\nca");
    world.turn();
    const auto line = world.control.next();
    assert_true(line && line->text == "status");
    assert_false(world.control.next().has_value());
    world.control.answer(line->client, "key value\nok\n", start);
    assert_string_equal(read(client).c_str(), "key value\nok\n");
    write(client, "che\n");
    world.turn();
    assert_true(world.control.next()->text == "cache");
}

// One at a time, in order, however they come.
void test_next_when_lines_are_pipelined_then_each_after_the_answer_to_the_last(void** state) {
    World& world = world_of(state);
    const Fd client = connect_to(world.path);
    write(client, "a\n\nb\nc");
    world.turn();
    world.turn();
    for (const char* const expected : {"a", "", "b"}) {
        const auto line = world.control.next();
        assert_true(line && line->text == expected);
        assert_false(world.control.next().has_value());
        world.control.answer(line->client, "ok\n", start);
    }
    assert_false(world.control.next().has_value());
    assert_string_equal(read(client).c_str(), "ok\nok\nok\n");
}

void test_next_when_the_line_is_the_longest_then_taken_and_a_longer_one_refused(void** state) {
    World& world = world_of(state);
    const Fd client = connect_to(world.path);
    write(client, std::string(Control::max_line - 1, 'x') + '\n');
    world.turn();
    world.turn();
    const auto line = world.control.next();
    assert_true(line && line->text.size() == Control::max_line - 1);
    world.control.answer(line->client, "ok\n", start);
    write(client, std::string(Control::max_line, 'x').append("\nstatus\n"));
    world.turn();
    assert_false(world.control.next().has_value());
    assert_string_equal(read(client).c_str(), "ok\nerror a request is at most 1 KiB long\n");
    assert_string_equal(read(client).c_str(), "end");
    world.turn();
    assert_int_equal(world.watched(), 1);
}

void test_answer_when_the_client_sends_no_more_then_it_still_comes(void** state) {
    World& world = world_of(state);
    const Fd client = connect_to(world.path);
    write(client, "status\nhalf");
    ::shutdown(client.get(), SHUT_WR);
    world.turn();
    world.turn();
    const auto line = world.control.next();
    assert_true(line.has_value());
    world.turn();
    world.turn(); // its end of file must not keep us busy, nor take the answer from it
    world.control.answer(line->client, "ok\n", start);
    assert_string_equal(read(client).c_str(), "ok\n");
    world.turn();
    world.turn();
    assert_string_equal(read(client).c_str(), "end");
    assert_int_equal(world.watched(), 1);
}

void test_answer_when_the_client_has_gone_then_dropped(void** state) {
    World& world = world_of(state);
    Fd client = connect_to(world.path);
    write(client, "reload\n");
    world.turn();
    world.turn();
    const auto line = world.control.next();
    assert_true(line.has_value());
    client.reset();
    world.turn();
    assert_int_equal(world.watched(), 1);
    const Fd other = connect_to(world.path);
    world.turn();
    world.control.answer(line->client, "ok\n", start);
    assert_string_equal(read(other).c_str(), "");
}

// Else a client that asks and leaves, again and again, would have us work for ever more of them.
void test_accept_when_those_who_left_have_work_under_way_then_they_count(void** state) {
    World& world = world_of(state);
    std::vector<Control::Client> left;
    for (std::size_t i = 0; i < Control::max_clients; ++i) {
        Fd client = connect_to(world.path);
        write(client, "flush\nflush\n");
        world.turn();
        world.turn();
        left.push_back(world.control.next()->client);
        client.reset();
        world.turn();
    }
    const Fd refused = connect_to(world.path);
    world.turn();
    assert_string_equal(read(refused).c_str(), "error too many are connected already; try again\n");
    for (const Control::Client client : left) {
        world.control.answer(client, "ok\n", start);
        assert_false(world.control.next().has_value()); // nobody would have that answer, too
    }
    world.control.expire(start);
    assert_true(world.control.nearest() == TimePoint::max());
    const Fd client = connect_to(world.path);
    write(client, "status\n");
    world.turn();
    world.turn();
    assert_true(world.control.next().has_value());
}

// Nothing would wake the master for it.
void test_nearest_when_a_line_waited_for_an_answer_then_at_once(void** state) {
    World& world = world_of(state);
    const Fd client = connect_to(world.path);
    write(client, "flush\nstatus\n");
    world.turn();
    world.turn();
    const auto line = world.control.next();
    assert_true(world.control.nearest() == TimePoint::max());
    world.control.answer(line->client, "ok\n", start);
    assert_true(world.control.nearest() == TimePoint{});
    assert_true(world.control.next()->text == "status");
    assert_true(world.control.nearest() == TimePoint::max());
}

// The answer is larger than the socket holds, and the client slow or asleep.
void test_answer_when_the_client_does_not_read_then_kept_until_its_time_is_up(void** state) {
    World& world = world_of(state);
    const std::string answer(4 << 20, 'x');
    const Fd client = connect_to(world.path);
    write(client, "status\nstatus\n");
    world.turn();
    world.turn();
    world.control.answer(world.control.next()->client, answer, start);
    assert_false(world.control.next().has_value()); // not before the first answer has left
    std::size_t size = 0;
    for (std::string part = read(client); part != "end" && size < answer.size();
         part = read(client)) {
        size += part.size();
        world.turn();
    }
    assert_int_equal(size, answer.size());
    const auto second = world.control.next();
    assert_true(second.has_value());
    world.control.answer(second->client, answer, start + 5s);
    world.control.expire(start + 5s + Control::patience - 1ms);
    assert_int_equal(world.watched(), 2);
    assert_true(world.control.nearest() == start + 5s + Control::patience);
    world.control.expire(start + 5s + Control::patience);
    assert_int_equal(world.watched(), 1);
}

void test_expire_when_nothing_whole_comes_then_closed(void** state) {
    World& world = world_of(state);
    const Fd silent = connect_to(world.path);
    const Fd slow = connect_to(world.path);
    world.turn();
    write(slow, "sta");
    world.turn(start + 9s);
    assert_true(world.control.nearest() == start + Control::patience);
    world.control.expire(start + Control::patience);
    assert_string_equal(read(silent).c_str(), "end");
    assert_string_equal(read(slow).c_str(), "end");
    assert_true(world.control.nearest() == TimePoint::max());
}

// A reload takes as long as it takes.
void test_expire_when_it_waits_for_us_then_not_closed(void** state) {
    World& world = world_of(state);
    const Fd client = connect_to(world.path);
    write(client, "reload\n");
    world.turn();
    world.turn();
    const auto line = world.control.next();
    assert_true(world.control.nearest() == TimePoint::max());
    world.control.expire(start + 1h);
    world.control.answer(line->client, "ok\n", start + 1h);
    assert_string_equal(read(client).c_str(), "ok\n");
}

void test_accept_when_there_are_too_many_then_told_and_the_others_served(void** state) {
    World& world = world_of(state);
    std::vector<Fd> clients;
    for (std::size_t i = 0; i <= Control::max_clients; ++i) {
        clients.push_back(connect_to(world.path));
        assert_true(static_cast<bool>(clients.back()));
    }
    world.turn();
    assert_int_equal(world.watched(), 1 + Control::max_clients);
    assert_string_equal(read(clients.back()).c_str(),
                        "error too many are connected already; try again\n");
    assert_string_equal(read(clients.back()).c_str(), "end");
    write(clients.front(), "status\n");
    world.turn();
    world.control.answer(world.control.next()->client, "ok\n", start);
    assert_string_equal(read(clients.front()).c_str(), "ok\n");
    clients.clear();
    const Fd next = connect_to(world.path); // in the turn that sees them leave
    write(next, "status\n");
    world.turn();
    world.turn();
    assert_true(world.control.next().has_value());
}

void test_next_when_octets_make_no_sense_then_only_the_sender_is_concerned(void** state) {
    World& world = world_of(state);
    const Fd mad = connect_to(world.path);
    const Fd good = connect_to(world.path);
    std::string noise;
    for (int i = 0; i < 512; ++i) {
        noise += static_cast<char>(i * 7 % 251);
    }
    write(mad, noise);
    write(good, "status\n");
    world.turn();
    world.turn();
    bool answered = false;
    while (const auto line = world.control.next()) {
        answered = answered || line->text == "status";
        world.control.answer(line->client, "error\n", start);
    }
    assert_true(answered);
    assert_string_equal(read(good).c_str(), "error\n");
}

void test_listen_when_elsewhere_then_the_old_file_goes_and_clients_stay(void** state) {
    World& world = world_of(state);
    const Fd client = connect_to(world.path);
    write(client, "reload\n");
    world.turn();
    world.turn();
    const auto line = world.control.next();
    const std::string elsewhere = world.path + ".2";
    world.control.listen(ControlSocket{elsewhere});
    assert_int_equal(::access(world.path.c_str(), F_OK), -1);
    assert_true(static_cast<bool>(connect_to(elsewhere)));
    world.control.answer(line->client, "ok\n", start);
    assert_string_equal(read(client).c_str(), "ok\n");
}

void test_let_go_then_nothing_is_open_and_the_file_stays(void** state) {
    World& world = world_of(state);
    const Fd client = connect_to(world.path);
    world.turn();
    const int failed = in_child([&world] {
        std::vector<pollfd> polled;
        world.control.add_to(polled);
        world.control.let_go();
        const bool closed = ::fcntl(polled[0].fd, F_GETFD) == -1;
        const bool left = ::fcntl(polled[1].fd, F_GETFD) == -1;
        return first_failure({polled.size() == 2, closed, left, world.watched() == 0,
                              ::access(world.path.c_str(), F_OK) == 0});
    });
    assert_int_equal(failed, 0);
    assert_string_equal(read(client).c_str(), "");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_next_when_a_line_is_whole_then_it_and_its_answer,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_next_when_lines_are_pipelined_then_each_after_the_answer_to_the_last, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(
            test_next_when_the_line_is_the_longest_then_taken_and_a_longer_one_refused, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(
            test_answer_when_the_client_sends_no_more_then_it_still_comes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_answer_when_the_client_has_gone_then_dropped, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_accept_when_those_who_left_have_work_under_way_then_they_count, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nearest_when_a_line_waited_for_an_answer_then_at_once,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_answer_when_the_client_does_not_read_then_kept_until_its_time_is_up, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(test_expire_when_nothing_whole_comes_then_closed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_expire_when_it_waits_for_us_then_not_closed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_accept_when_there_are_too_many_then_told_and_the_others_served, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_next_when_octets_make_no_sense_then_only_the_sender_is_concerned, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(
            test_listen_when_elsewhere_then_the_old_file_goes_and_clients_stay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_let_go_then_nothing_is_open_and_the_file_stays, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("master/control", tests, nullptr, nullptr);
}
