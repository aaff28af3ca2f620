// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors

#include "master/listeners.hh"

#include "base/sockets.hh"
#include "unit.hh"

#include <cstring>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

using namespace std::chrono_literals;
using dotproxy::Address;
using dotproxy::close_and_wait;
using dotproxy::contains;
using dotproxy::Fd;
using dotproxy::ListenConfig;
using dotproxy::Listener;
using dotproxy::Listeners;
using dotproxy::open_listener;
using dotproxy::open_listeners;
using dotproxy::Protocol;
using dotproxy::take_unwanted;

namespace {

Address everywhere(const Address& address) {
    return parse(address.is_v6() ? "::" : "0.0.0.0", address.port());
}

std::string refusal(const std::vector<ListenConfig>& wanted, const Listeners& passed,
                    const Listeners& existing) {
    try {
        (void)open_listeners(wanted, passed, existing);
    } catch (const std::runtime_error& problem) {
        return problem.what();
    }
    return "";
}

std::shared_ptr<const Listener> shared(Protocol protocol, const Address& address) {
    return std::make_shared<const Listener>(open_listener(protocol, address));
}

// Until the caller says so, those who have the port go on.
void test_open_when_existing_overlap_then_beside_them(void** /*state*/) {
    for (const bool wide_first : {false, true}) {
        const Address narrow = free_address("127.0.0.1");
        const Address old_address = wide_first ? everywhere(narrow) : narrow;
        const Address new_address = wide_first ? narrow : everywhere(narrow);
        const Listeners old = open_listeners({{.address = old_address}}, {}, {});
        const Listeners fresh = open_listeners({{.address = new_address}}, {}, old);
        assert_int_equal(fresh.size(), 2);
        assert_false(contains(old, fresh[0]) || contains(old, fresh[1]));
        const Fd client = knock(Protocol::udp, narrow);
        assert_true(was_knocked_at(wide_first ? *fresh[0] : *old[0]));
        old[0]->suspend();
        const Fd later = knock(Protocol::udp, narrow);
        assert_true(was_knocked_at(*fresh[0]));
    }
}

// A generation that drains holds them: they are bound, and nobody else can have them.
void test_open_when_existing_are_suspended_then_they_serve_again(void** /*state*/) {
    const Address address = free_address("127.0.0.1");
    const Listeners old = open_listeners({{.address = address}}, {}, {});
    const Listeners wide = open_listeners({{.address = everywhere(address)}}, {}, old);
    for (const auto& one : old) {
        one->suspend();
    }
    Listeners existing = wide;
    existing.insert(existing.end(), old.begin(), old.end());
    const Listeners again = open_listeners({{.address = address}}, {}, existing);
    assert_int_equal(again.size(), 2);
    // A UDP socket cannot be had back, and another one is bound to the address beside it.
    assert_false(contains(existing, again[0]));
    assert_ptr_equal(again[1].get(), old[1].get());
    for (const auto& one : again) {
        assert_false(one->is_suspended());
        const Fd client = knock(one->protocol, address);
        assert_true(was_knocked_at(*one));
    }
}

void test_open_when_a_passed_one_covers_then_served_by_that(void** /*state*/) {
    const Address address = free_address("127.0.0.1");
    const Listeners passed{shared(Protocol::udp, everywhere(address))};
    const Listeners all = open_listeners({{.address = address}}, passed, {});
    assert_int_equal(all.size(), 2);
    assert_ptr_equal(all[0].get(), passed[0].get());
    assert_true(all[1]->protocol == Protocol::tcp);
    assert_true(all[1]->address == address);
}

void test_open_when_a_passed_one_is_a_part_then_refused_by_its_name(void** /*state*/) {
    const Address address = free_address("127.0.0.1");
    const Listeners passed{shared(Protocol::tcp, address)};
    const std::string why = refusal({{.address = everywhere(address)}}, passed, {});
    assert_int_equal(why.find("tcp " + everywhere(address).text()), 0);
    assert_non_null(std::strstr(why.c_str(), ("passes tcp " + address.text()).c_str()));
}

void test_take_unwanted_then_by_address_and_protocol(void** /*state*/) {
    const Address stays = free_address("127.0.0.1");
    const Address goes = free_address("127.0.0.1");
    Listeners kept = open_listeners({{.address = stays}, {.address = goes}}, {}, {});
    const Listeners before = kept;
    const Listeners unwanted =
        take_unwanted(kept, {{.address = everywhere(goes)}, {.address = stays, .tcp = false}});
    assert_int_equal(kept.size(), 1);
    assert_ptr_equal(kept[0].get(), before[0].get());
    assert_int_equal(unwanted.size(), 3);
    assert_false(contains(unwanted, before[0]));
}

// A service manager closes what it has in its own time.
void test_close_when_another_process_has_it_too_then_waits_for_that(void** /*state*/) {
    const Address address = free_address("127.0.0.1");
    Listeners listeners = open_listeners({{.address = address}}, {}, {});
    int ends[2];
    assert_int_equal(::pipe(ends), 0);
    const pid_t other = ::fork();
    if (other == 0) {
        // Ends, and closes with it, when the parent is about to wait.
        char octet = 0;
        ::close(ends[1]);
        static_cast<void>(::read(ends[0], &octet, 1) < 0);
        ::_exit(0);
    }
    ::close(ends[0]);
    ::close(ends[1]);
    close_and_wait(std::move(listeners), 60s);
    (void)open_listener(Protocol::udp, address);
    (void)open_listener(Protocol::tcp, address);
    int status = -1;
    assert_int_equal(::waitpid(other, &status, 0), other);
}

void test_close_when_another_process_keeps_it_then_given_up(void** /*state*/) {
    const Address address = free_address("127.0.0.1");
    const auto other = shared(Protocol::udp, address);
    close_and_wait({other}, 20ms);
    assert_int_equal(other.use_count(), 1);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_open_when_existing_overlap_then_beside_them),
        cmocka_unit_test(test_open_when_existing_are_suspended_then_they_serve_again),
        cmocka_unit_test(test_open_when_a_passed_one_covers_then_served_by_that),
        cmocka_unit_test(test_open_when_a_passed_one_is_a_part_then_refused_by_its_name),
        cmocka_unit_test(test_take_unwanted_then_by_address_and_protocol),
        cmocka_unit_test(test_close_when_another_process_has_it_too_then_waits_for_that),
        cmocka_unit_test(test_close_when_another_process_keeps_it_then_given_up),
    };
    return cmocka_run_group_tests_name("master/listeners", tests, nullptr, nullptr);
}
