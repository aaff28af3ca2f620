// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Upstreams that send much and say nothing (L51): TLS lets them, the worker does not for long.

#include "unit.hh"
#include "upstream/connection.hh"
#include "worker/rig.hh"
#include "worker/rig_names.hh"

#include <array>
#include <functional>
#include <gnutls/gnutls.h>
#include <string>

using namespace std::chrono_literals;
using dotproxy::dns::test::Bytes;

namespace {

constexpr unsigned noerror = 0;
constexpr std::size_t most_octets = 262144;

using Flood = std::function<void(gnutls_session_t)>;

void send_key_update(gnutls_session_t session) {
    assert_int_equal(gnutls_session_key_update(session, 0), 0);
}

void send_empty_record(gnutls_session_t session) {
    assert_int_equal(gnutls_record_send2(session, "", 0, 100, 0), 0); // nothing, and padding
}

void send_ticket(gnutls_session_t session) {
    assert_int_equal(gnutls_session_ticket_send(session, 1, 0), 0);
}

/// A session that has answered, and one question that it has not answered.
Resolver& ask(Rig& rig, const UdpClient& client) {
    Resolver& resolver = *rig.resolvers[0];
    assert_int_equal(rcode(rig.resolve("warm.example")), noerror);
    resolver.answers = false;
    client.send(query("asked.example", 1));
    assert_true(rig.until([&] { return resolver.asked.size() == 1; }));
    return resolver;
}

/// How much of a flood the worker takes before it closes; everything at once, and no time passes.
void expect_closed_and_asked_again(Rig& rig, const Flood& flood) {
    rig.add_upstream();
    rig.open();
    const UdpClient client{rig.udp_address()};
    Resolver& resolver = ask(rig, client);
    std::size_t sent = 0;
    while (resolver.is_open(0) && sent < 8 * most_octets) {
        for (int i = 0; i < 20; ++i) {
            flood(resolver.tls(0).session());
        }
        sent += resolver.tls(0).output.size();
        for (int i = 0; i < 4; ++i) {
            rig.step();
        }
    }
    assert_false(resolver.is_open(0));
    assert_true(sent < 2 * most_octets);
    // The question is asked once more, elsewhere, and the worker is at rest.
    assert_true(rig.until([&] { return resolver.asked.size() == 2; }));
    assert_int_equal(resolver.asked[1].session, 1);
    resolver.answer(resolver.asked[1]);
    assert_int_equal(rcode(answer_to(rig, client)), noerror);
    rig.step();
    assert_true(rig.nearest() > rig.now());
}

void test_key_updates_when_without_end_then_closed(void** state) {
    expect_closed_and_asked_again(*static_cast<Rig*>(*state), send_key_update);
}

void test_empty_records_when_without_end_then_closed(void** state) {
    expect_closed_and_asked_again(*static_cast<Rig*>(*state), send_empty_record);
}

void test_tickets_when_without_end_then_closed(void** state) {
    expect_closed_and_asked_again(*static_cast<Rig*>(*state), send_ticket);
}

// As a server may do them: some of each with every answer, as long as there are answers.
void test_records_without_data_when_between_answers_then_served_on(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = rig.add_upstream();
    rig.open();
    for (int i = 0; i < 200; ++i) {
        assert_int_equal(rcode(rig.resolve("n" + std::to_string(i) + ".example")), noerror);
        const gnutls_session_t session = resolver.tls(0).session();
        for (int j = 0; j < 20; ++j) {
            send_empty_record(session);
        }
        send_ticket(session);
        rig.step();
    }
    assert_int_equal(rig.count(UpstreamCounter::connects), 1);
}

// The largest answer comes in many small pieces: those are of use.
void test_answer_when_large_and_padded_then_whole(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.add_upstream();
    rig.open();
    const UdpClient client{rig.udp_address()};
    Resolver& resolver = ask(rig, client);
    auto message = right_answer(resolver.take());
    while (message.size() < 64000) {
        message.pointer(dotproxy::dns::header_size);
        message.u16(dotproxy::dns::type::a).u16(1).u32(300).u16(4).u32(0x0a000001);
        message.count(dotproxy::dns::test::Section::answer);
    }
    Bytes frame;
    frame.u16(static_cast<unsigned>(message.size())).raw(message.octets());
    for (std::size_t at = 0; at < frame.size(); at += 40) {
        resolver.send_raw(0,
                          frame.octets().subspan(at, std::min<std::size_t>(40, frame.size() - at)));
        if (at % 4000 == 0) {
            rig.step();
        }
    }
    assert_int_equal(rcode(answer_to(rig, client)), noerror);
    assert_int_equal(rig.count(UpstreamCounter::connects), 1);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_key_updates_when_without_end_then_closed, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_empty_records_when_without_end_then_closed, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_tickets_when_without_end_then_closed, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(
            test_records_without_data_when_between_answers_then_served_on, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_answer_when_large_and_padded_then_whole, make_rig,
                                        free_rig),
    };
    return cmocka_run_group_tests_name("upstream/floods", tests, make_world, free_world);
}
