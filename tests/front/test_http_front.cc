// SPDX-License-Identifier: BSD-2-Clause
// Copyright the dotproxy authors
//
// Clients over HTTP: how they are answered, what one can hold, for how long it has a place, and how
// it ends.

#include "dns/edns.hh"
#include "front/http_clients.hh"
#include "front/tcp_front.hh"
#include "unit.hh"
#include "worker/rig_names.hh"

#include <string>
#include <vector>

using namespace std::chrono_literals;
using dotproxy::test::closed;
using dotproxy::test::connect_http;
using dotproxy::test::connect_https;
using dotproxy::test::exchange_http;
using dotproxy::test::Fields;
using dotproxy::test::HttpClient;
using dotproxy::test::HttpsClient;
using dotproxy::test::message_in;
using dotproxy::test::post;
using dotproxy::test::Reply;
using dotproxy::test::reply_to;
using dotproxy::test::serve;
using dotproxy::test::wait_for_queries;

namespace {

/// With an OPT that asks for the time a connection may be idle.
Message query_with_keepalive(std::uint16_t id) {
    dotproxy::dns::test::Bytes rdata;
    rdata.option(dotproxy::dns::option::keepalive);
    dotproxy::dns::test::Message made =
        dotproxy::dns::test::query("www.example").opt(rdata.octets());
    dotproxy::dns::set_id(made.mutable_octets(), id);
    return {made.octets().begin(), made.octets().end()};
}

void answer_all(Resolver& resolver) {
    while (!resolver.asked.empty()) {
        resolver.answer(resolver.take());
    }
}

std::string forwarded(const char* client) {
    return "X-Forwarded-For: " + std::string{client} + "\r\n";
}

std::string http1_post(const Message& message, const std::string& fields = {}) {
    return "POST /dns-query HTTP/1.1\r\nHost: dns.example\r\n"
           "Content-Type: application/dns-message\r\nContent-Length: " +
           std::to_string(message.size()) + "\r\n" + fields + "\r\n" +
           dotproxy::test::text_of(message);
}

void test_request_then_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect_https(rig);
    for (std::uint16_t id = 1; id < 4; ++id) {
        exchange_http(rig, *client, id);
    }
    // What an ID of 0 makes of the question (RFC 8484, section 4.1).
    const Reply& got = reply_to(
        rig, *client, client->http.get("/dns-query?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlAAABAAE"));
    assert_int_equal(got.status, 200);
    assert_int_equal(rcode(message_in(got)), 0);
    assert_int_equal(rig.count(Counter::http_queries), 4);
    assert_int_equal(rig.count(Counter::tls_queries), 4);
    assert_int_equal(rig.count(Counter::tcp_queries), 4);
    assert_int_equal(rig.count(Counter::tcp_answers), 4);
    assert_int_equal(rig.count(Counter::http_refused), 0);
}

// E59: as long as the shortest of its TTLs, and not at all for what says nothing.
void test_answer_then_it_says_how_long_it_stands(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect_https(rig);
    const Reply& good = reply_to(rig, *client, post(*client, query("www.example", 1)));
    const auto age = good.fields.at("cache-control");
    assert_true(age.starts_with("max-age=") && age != "max-age=0");
    Message update = query("www.example", 1);
    update[2] = 5 << 3;
    const Reply& bad = reply_to(rig, *client, post(*client, update));
    assert_int_equal(bad.status, 200); // NOTIMP is an answer (E58)
    assert_int_equal(rcode(message_in(bad)), 4);
    assert_string_equal(bad.fields.at("cache-control").c_str(), "max-age=0");
}

// E21, E24: what is encrypted is padded, and HTTP has its own way to say how long it lasts.
void test_answer_when_it_has_an_opt_then_padded_without_keepalive(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect_https(rig);
    const Message padded =
        message_in(reply_to(rig, *client, post(*client, query_with_keepalive(1))));
    assert_int_equal(padded.size(), 468);
    const auto found = dotproxy::dns::test::find_option(padded, dotproxy::dns::option::keepalive);
    assert_false(found.found);
}

// E58: what gets no answer over DNS gets one here, or the stream would hang.
void test_no_question_then_400(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect_https(rig);
    Message response = query("www.example", 1);
    response[2] |= 0x80;
    for (const Message& message : {response, Message{1, 2, 3}}) {
        const Reply& reply = reply_to(rig, *client, post(*client, message));
        assert_int_equal(reply.status, 400);
    }
    const Reply& lost = reply_to(rig, *client, client->http.get("/elsewhere"));
    assert_int_equal(lost.status, 404);
    assert_int_equal(rig.count(Counter::http_refused), 3);
    exchange_http(rig, *client, 2);
}

// E52: the frames of one turn share a record.
void test_requests_of_a_turn_then_their_answers_in_one_record(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect_https(rig);
    exchange_http(rig, *client, 1);
    std::vector<std::int32_t> streams;
    for (std::uint16_t id = 10; id < 30; ++id) {
        streams.push_back(post(*client, query("localhost", id)));
    }
    const std::size_t before = client->over.records;
    for (const std::int32_t stream : streams) {
        assert_int_equal(reply_to(rig, *client, stream).status, 200);
    }
    assert_int_equal(client->over.records - before, 1);
}

// E64: the same question on two streams is answered on both, whichever is given up.
void test_same_question_twice_then_each_stream_for_itself(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    resolver.answers = false;
    const auto client = connect_https(rig);
    const std::int32_t given_up = post(*client, query("www.example", 7));
    const std::int32_t kept = post(*client, query("www.example", 7));
    assert_true(rig.until([&] {
        client->step();
        return rig.count(Counter::http_queries) == 2;
    }));
    wait_for_queries(rig, resolver, 1); // joined
    nghttp2_submit_rst_stream(client->http.session(), 0, given_up, NGHTTP2_CANCEL);
    client->step();
    rig.step(); // it has heard of it
    answer_all(resolver);
    const Reply& reply = reply_to(rig, *client, kept);
    assert_int_equal(reply.status, 200);
    assert_int_equal(rig.count(Counter::clients_gone), 1);
}

// E46: who gives up what it has asked has not less under way for that.
void test_streams_given_up_then_they_count_until_they_are_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    rig.config.limits.queries_per_client = 128;
    Resolver& resolver = serve(rig);
    resolver.answers = false;
    const auto client = connect_https(rig);
    assert_true(rig.until([&] {
        client->step();
        return client->over.tls.shaken;
    }));
    constexpr std::uint16_t many = 150;
    for (std::uint16_t id = 0; id < many; ++id) {
        const std::int32_t stream = post(*client, query(dotproxy::test::name_of(id), id));
        client->step();
        rig.step(); // else it would be given up before it is asked
        nghttp2_submit_rst_stream(client->http.session(), 0, stream, NGHTTP2_CANCEL);
        client->step();
        rig.step();
    }
    wait_for_queries(rig, resolver, 100);
    assert_int_equal(rig.count(Counter::http_queries), 100);
    resolver.answers = true;
    answer_all(resolver);
    exchange_http(rig, *client, 7); // and then there is room again
}

/// A client with an answer that it does not permit.
std::unique_ptr<HttpsClient> connect_stingy(Rig& rig) {
    auto client = connect_https(rig);
    exchange_http(rig, *client, 1);
    const std::array window{nghttp2_settings_entry{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0}};
    nghttp2_submit_settings(client->http.session(), 0, window.data(), window.size());
    const std::uint64_t before = rig.count(Counter::tcp_answers);
    post(*client, query("www.example", 2));
    assert_true(rig.until([&] {
        client->step();
        return rig.count(Counter::tcp_answers) > before;
    }));
    return client;
}

// E47: who permits nothing is held to read nothing.
void test_answers_not_permitted_then_cut_after_the_write_time(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto other = connect_https(rig);
    exchange_http(rig, *other, 1);
    const auto stingy = connect_stingy(rig);
    for (int i = 0; i < 9; ++i) {
        rig.pass(1s);
        stingy->step();
        exchange_http(rig, *other, 3);
    }
    assert_false(stingy->over.socket.is_closed());
    rig.pass(1s);
    assert_true(closed(rig, stingy->over.socket));
    assert_int_equal(rig.count(Counter::tcp_timed_out), 1);
    exchange_http(rig, *other, 4);
}

// E47: nor does it help that it reads something else.
void test_answers_not_permitted_when_it_pings_then_cut_all_the_same(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto stingy = connect_stingy(rig);
    for (int i = 0; i < 10; ++i) {
        assert_false(stingy->over.socket.is_closed());
        for (int pings = 0; pings < 10; ++pings) {
            nghttp2_submit_ping(stingy->http.session(), 0, nullptr);
        }
        stingy->step();
        rig.pass(1s);
    }
    assert_true(closed(rig, stingy->over.socket));
    assert_int_equal(rig.count(Counter::tcp_timed_out), 1);
}

// Who has ended its side cannot permit anything any more, and nothing waits for that.
void test_answers_not_permitted_when_it_ends_its_side_then_left(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto stingy = connect_stingy(rig);
    stingy->over.socket.end_writing();
    assert_true(closed(rig, stingy->over.socket));
    assert_int_equal(rig.count(Counter::tcp_timed_out), 0);
    assert_int_equal(rig.count(Counter::tls_clients), 0);
}

// E61: a ping is no question.
void test_idle_client_then_left_whatever_it_pings(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect_https(rig);
    exchange_http(rig, *client, 1);
    for (int i = 0; i < 29; ++i) {
        rig.pass(1s);
        nghttp2_submit_ping(client->http.session(), 0, nullptr);
        client->step();
        rig.step();
    }
    assert_false(client->over.socket.is_closed());
    rig.pass(1s);
    assert_true(rig.until([&] {
        client->step();
        return client->over.tls.closed && client->over.socket.is_closed();
    }));
    assert_int_equal(rig.count(Counter::tcp_idle_closed), 1);
    assert_int_equal(client->http.last_ids.size(), 1);
    assert_int_equal(client->http.goodbye, 0);
}

// E62: it is told; what it asks before it has heard of it is answered; then it is left.
void test_drain_then_told_answered_and_left(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    const auto client = connect_https(rig);
    exchange_http(rig, *client, 1);
    rig.in_turn([&] { rig.tcp().drain(true); });
    exchange_http(rig, *client, 2); // it is served as before
    assert_int_equal(client->http.last_ids.size(), 0);
    rig.pass(5s); // half of the time to drain
    resolver.answers = false;
    const std::int32_t late = post(*client, query("late.example", 3)); // it has not heard of it yet
    client->say(client->http.sent());
    client->over.step();
    assert_true(rig.until([&] {
        client->step();
        return client->http.last_ids.size() == 2; // the notice, and the last one
    }));
    assert_int_equal(client->http.last_ids.back(), late);
    wait_for_queries(rig, resolver, 1);
    answer_all(resolver);
    assert_int_equal(reply_to(rig, *client, late).status, 200);
    assert_true(rig.until([&] {
        client->step();
        return client->over.tls.closed && client->over.socket.is_closed();
    }));
    assert_int_equal(client->http.goodbye, 0);
    assert_true(rig.tcp().idle());
}

// E62: who does not confirm has a second.
void test_drain_when_not_confirmed_then_left_after_a_second(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect_https(rig);
    exchange_http(rig, *client, 1);
    rig.in_turn([&] { rig.tcp().drain(true); });
    rig.pass(5s);
    rig.pass(999ms);
    assert_false(client->over.socket.is_closed());
    rig.pass(1ms);
    assert_true(closed(rig, client->over.socket));
}

void test_stop_then_told_and_left(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect_https(rig);
    exchange_http(rig, *client, 1);
    rig.in_turn([&] { rig.tcp().drain(false); });
    assert_true(rig.until([&] {
        client->step();
        return client->over.tls.closed && client->over.socket.is_closed();
    }));
    assert_int_equal(client->http.last_ids.size(), 1);
    assert_int_equal(client->http.goodbye, 0);
}

// E23: who says nothing speaks DNS in frames; who says so, HTTP/1.1 (E60).
void test_application_then_what_was_said_is_spoken(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto unsaid = dotproxy::test::connect_tls(rig);
    dotproxy::test::exchange(rig, *unsaid, 1);
    HttpsClient older{rig.tls_address(), "http/1.1"};
    older.over.send_when_shaken({});
    assert_true(rig.until([&] {
        older.over.step();
        return older.over.tls.shaken;
    }));
    older.say(http1_post(query("www.example", 5)));
    assert_true(rig.until([&] {
        older.over.step();
        return older.over.tls.received.find("\r\n\r\n") != std::string::npos;
    }));
    assert_true(older.over.tls.received.starts_with("HTTP/1.1 200 OK\r\n"));
}

// What breaks the rules of HTTP/2 is told so, and left.
void test_nonsense_then_told_and_left(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto client = connect_https(rig);
    exchange_http(rig, *client, 1);
    client->say(std::string("\0\0\4\x8\0\0\0\0\0\0\0\0\0", 13)); // WINDOW_UPDATE by nothing
    assert_true(rig.until([&] {
        client->step();
        return client->over.tls.closed && client->over.socket.is_closed();
    }));
    assert_int_equal(client->http.goodbye, NGHTTP2_PROTOCOL_ERROR);
    assert_int_equal(rig.count(Counter::http_broken), 1);
    assert_int_equal(rig.count(Counter::tls_clients), 0);
}

// E70, E71, E73: a proxy speaks either version, and says whose each request is.
void test_proxy_then_each_request_is_its_clients(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    const auto proxy = connect_http<HttpClient>(rig, rig.http_address());
    exchange_http(rig, *proxy, 1, {{"x-forwarded-for", "192.168.1.7"}});
    const Reply& stranger = reply_to(
        rig, *proxy, post(*proxy, query("www.example", 2), {{"x-forwarded-for", "203.0.113.9"}}));
    assert_int_equal(stranger.status, 403);
    assert_int_equal(rig.count(Counter::access_refused), 1);
    const Reply& nobody = reply_to(rig, *proxy, post(*proxy, query("www.example", 3)));
    assert_int_equal(nobody.status, 400);
    assert_int_equal(rig.count(Counter::http_queries), 1);
    assert_int_equal(rig.count(Counter::tls_queries), 0);
    exchange_http(rig, *proxy, 4, {{"x-forwarded-for", "203.0.113.9, 192.168.1.7, 127.0.0.1"}});
}

// E72: one request at a time, on a connection that stays.
void test_proxy_with_http1_then_answered(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    serve(rig);
    dotproxy::test::TcpClient proxy{rig.http_address()};
    for (std::uint16_t id = 1; id < 3; ++id) {
        const std::string request = http1_post(query("www.example", id), forwarded("192.168.1.7"));
        for (const char octet : request) { // in whatever pieces
            proxy.send_raw(dotproxy::http::test::octets_of({&octet, 1}));
            rig.step();
        }
        std::string reply;
        assert_true(rig.until([&] {
            reply += dotproxy::test::text_of(proxy.take_raw());
            return reply.find("\r\n\r\n") != std::string::npos;
        }));
        assert_true(reply.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    rig.pass(149s); // longer than proxies keep what they do not use
    assert_false(proxy.is_closed());
    rig.pass(1s);
    assert_true(closed(rig, proxy));
}

// L43, L48: nothing is left of a client, at whatever point it goes.
void test_client_that_goes_then_nothing_is_left(void** state) {
    Rig& rig = *static_cast<Rig*>(*state);
    Resolver& resolver = serve(rig);
    resolver.answers = false;
    for (const int point : {0, 1, 2, 3}) {
        const auto client = connect_https(rig);
        const std::string half = dotproxy::test::text_of(query("www.example", 1));
        if (point >= 1) {
            assert_true(rig.until([&] {
                client->step();
                return client->over.tls.shaken;
            }));
        }
        if (point >= 2) {
            client->http.post(half.substr(0, 10), point == 3);
        }
        for (int i = 0; i < 5; ++i) {
            client->step();
            rig.step();
        }
        client->over.socket.reset();
        assert_true(rig.until([&] { return rig.count(Counter::tls_clients) == 0; }));
    }
    assert_true(rig.tcp().idle());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_request_then_answered, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_answer_then_it_says_how_long_it_stands, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(
            test_answer_when_it_has_an_opt_then_padded_without_keepalive, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_no_question_then_400, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_requests_of_a_turn_then_their_answers_in_one_record,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_same_question_twice_then_each_stream_for_itself,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_streams_given_up_then_they_count_until_they_are_answered, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_answers_not_permitted_then_cut_after_the_write_time,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(
            test_answers_not_permitted_when_it_pings_then_cut_all_the_same, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_answers_not_permitted_when_it_ends_its_side_then_left,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_idle_client_then_left_whatever_it_pings, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_drain_then_told_answered_and_left, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_drain_when_not_confirmed_then_left_after_a_second,
                                        make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_stop_then_told_and_left, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_application_then_what_was_said_is_spoken, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_nonsense_then_told_and_left, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_proxy_then_each_request_is_its_clients, make_rig,
                                        free_rig),
        cmocka_unit_test_setup_teardown(test_proxy_with_http1_then_answered, make_rig, free_rig),
        cmocka_unit_test_setup_teardown(test_client_that_goes_then_nothing_is_left, make_rig,
                                        free_rig),
    };
    return cmocka_run_group_tests_name("front/http_front", tests, make_world, free_world);
}
