# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# DNS over HTTPS as the way to an upstream that does nothing wrong: what is asked and how, how much
# of it at a time, and what becomes of the answers (rules E80-E83, E87, E90, E91).

import os
import subprocess

import dns.message
import dns.rcode
import dns.tsigkeyring
import pytest

from harness import configuration, wire
from harness.client import TcpClient, ask, assert_answered, tcp
from harness.ipv6 import needs_ipv6
from harness.load import Load, flood
from harness.network import in_own_network
from harness.process import binary
from harness.upstream import CLOSE_NOTIFY, FIN, RESET
from harness.waiting import free_port, wait_for

pytest.importorskip("h2", reason="python3-h2 is not installed")

from h2.errors import ErrorCodes  # noqa: E402
from h2.settings import SettingCodes  # noqa: E402

from harness.https_server import MESSAGE, PATH, good, refuse  # noqa: E402

MOST_CONNECTIONS = 4  # of a worker to an address, where there is more to ask than one carries


@pytest.fixture
def proxy(start, https):
    """dotproxy with one worker in front of `https`."""
    return start(https, workers=1)


def entry(server, **changes):
    return configuration.describe(server) | changes


# What is asked.

def test_a_request_says_what_is_needed_and_nothing_else(proxy, https):
    """E80: a POST of RFC 8484 with no header that would tell clients or programs apart."""
    for number in range(3):
        assert_answered(proxy, f"post{number}.example", edns=0)
    assert len(https.connections) == 1 and len(https.queries) == 3
    for request in https.queries:
        assert sorted(request.fields) == [
            (":authority", f"dot.example:{https.port}"), (":method", "POST"), (":path", PATH),
            (":scheme", "https"), ("accept", MESSAGE), ("content-length", str(len(request.raw))),
            ("content-type", MESSAGE)]


QUERIES = {
    "plain": {"edns": None},
    "with EDNS": {"edns": 0, "payload": 4096},
    "with DO": {"do": True},
    "padded": {"options": [(wire.PADDING, bytes(300))]},
    "with keepalive": {"options": [(wire.KEEPALIVE, b"")]},
    "with a cookie": {"options": [(wire.COOKIE, b"12345678")]},
    "of a long name": {"edns": None, "name": ".".join(["label" * 6] * 6)},
}


@pytest.mark.parametrize("case", QUERIES)
def test_a_message_tells_nothing_by_its_id_or_its_size(proxy, https, case):
    """E80: ID 0, so that caches on the way can be of use; padded, and no option for TCP."""
    how = dict(QUERIES[case])
    name = how.pop("name", "sized") + ".example"
    with TcpClient(proxy.address) as client:
        client.send(wire.query(name, id=4711, **how))
        assert wire.parse(client.receive()).id == 4711
    request, = https.asked(name)
    assert request.id == 0 and len(request.raw) % 128 == 0
    assert {option.otype for option in request.message.options} == {wire.PADDING}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network")
def test_the_authority_has_no_port_where_it_is_the_usual_one(prepare, serve_https):
    """E80: 443, which this machine may have given to somebody."""
    def check():
        server = serve_https(port=443)
        proxy = prepare({"url": f"https://dot.example{PATH}", "addresses": ["127.0.0.1"]})
        result = subprocess.run([binary(), "-t", "--connect", "-c", proxy.config_file],
                                capture_output=True, timeout=60)
        return server, result
    server, result = in_own_network(check)
    assert result.returncode == 0, result
    assert server.queries[0].headers[":authority"] == "dot.example"
    assert server.connections[0].sni == "dot.example"


@pytest.mark.parametrize("path,asked", [
    ("/dns-query{?dns}", "/dns-query"), ("/ab12cd/home%20router", "/ab12cd/home%20router"),
    ("/", "/"), ("/a/" + "x" * 150, "/a/" + "x" * 150)],
    ids=["template", "with parts", "shortest", "long"])
def test_the_path_is_that_of_the_url(start, serve_https, path, asked):
    """E80: a URI template's end is cut off."""
    server = serve_https(path=path)
    assert_answered(start(server, workers=1), "path.example")
    assert server.queries[0].path == asked


def test_a_server_may_be_named_by_its_address(start, serve_https, authority):
    server = serve_https(authority.leaf((), ("127.0.0.1",)), name="127.0.0.1")
    assert_answered(start(server, workers=1), "address.example")
    assert server.queries[0].headers[":authority"] == f"127.0.0.1:{server.port}"
    assert server.connections[0].sni is None


@needs_ipv6
@pytest.mark.parametrize("name", ["dot.example", "::1"])
def test_a_server_over_ipv6(start, serve_https, authority, name):
    leaf = authority.leaf(("dot.example",), ("::1",))
    server = serve_https(leaf, address="::1", name=name)
    assert_answered(start(server, workers=1), "six.example")
    host = "[::1]" if name == "::1" else name
    assert server.queries[0].headers[":authority"] == f"{host}:{server.port}"


def test_the_preface_permits_no_push_and_makes_room(proxy, https):
    """E81: no stream of the server's own; 1 MiB for all answers together."""
    assert_answered(proxy, "preface.example")
    connection = https.connections[0]
    assert connection.settings[SettingCodes.ENABLE_PUSH] == 0
    assert connection.settings[SettingCodes.MAX_CONCURRENT_STREAMS] == 0
    assert connection.window >= 1 << 20


def test_a_signed_query_passes_as_it_is(proxy, https):
    """C25, E80: all of it but the ID, which a signature does not cover."""
    key = dns.tsigkeyring.from_text({"key.example.": "c2VjcmV0IHNlY3JldCBzZWNyZXQ="})
    https.on_query = lambda request: wire.header(0, 0x8180, 1) + wire.question("Signed.example")
    message = dns.message.make_query("Signed.example", "A")
    message.use_tsig(key)
    raw = message.to_wire()
    answer = tcp(proxy.address, raw)
    assert answer[3] & 15 == dns.rcode.NOERROR and answer[:2] == raw[:2]
    request, = https.queries
    assert request.id == 0 and request.raw[2:] == raw[2:]
    assert dns.message.from_wire(request.raw, key).had_tsig


# How much at a time.

def test_what_comes_together_goes_together(proxy, https):
    """E82: one connection, as many streams as there are questions, few records."""
    assert_answered(proxy, "warm.example")
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query(f"together{n}.example", id=n) for n in range(80)))
        answers = client.receive_all(80)
    assert len(answers) == 80 and len(https.connections) == 1
    assert len(https.connections[0].queries_per_record) < 40


@pytest.mark.parametrize("limit", [100, 10, 1])
def test_no_more_is_asked_at_a_time_than_the_server_permits(start, serve_https, limit):
    """E82: by four connections at most; all others wait here, and each is answered. Before it has
    heard what a server permits, a client may take it to be 100."""
    count, held = 600, []

    def hold(request):
        if len(request.connection.streams) > limit:
            refuse(request)
        else:
            held.append(request)
    server = serve_https(settings={SettingCodes.MAX_CONCURRENT_STREAMS: limit}, on_query=hold)
    proxy = start(server, workers=1, timeouts={"query": "60s"},
                  limits={"queries_per_client": 1000})
    with TcpClient(proxy.address, timeout=60) as client:
        client.send(*(wire.query(f"limit{n}.example", id=n) for n in range(count)))
        wait_for(lambda: len(held) == MOST_CONNECTIONS * limit)
        server.on_query = lambda request: request.answer() if len(
            request.connection.streams) <= limit else refuse(request)
        for request in held:
            request.answer()
        answers = client.receive_all(count)
    for number in range(count):
        assert wire.address_in(answers[number.to_bytes(2, "big")]) == \
            wire.address_of(f"limit{number}.example")
    assert server.most_connections <= MOST_CONNECTIONS
    assert len(server.connections) <= MOST_CONNECTIONS


def test_one_connection_is_enough_while_it_is_not_full(start, https):
    """C9, E82: what is beyond waits for no connection."""
    proxy = start(https, workers=1, timeouts={"query": "60s"})
    held = []
    https.on_query = held.append
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query(f"full{n}.example", id=n) for n in range(90)))
        wait_for(lambda: len(held) == 90)
        for request in reversed(held):
            request.answer()
        assert len(client.receive_all(90)) == 90
    assert len(https.connections) == 1


def test_a_server_that_permits_much_is_asked_much(start, serve_https):
    """E82: more than 100 at a time, over one connection, once that is known."""
    held = []
    server = serve_https(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 1000})
    proxy = start(server, workers=1, timeouts={"query": "60s"},
                  limits={"queries_per_client": 1000})
    assert_answered(proxy, "warm.example")
    server.on_query = held.append
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query(f"much{n}.example", id=n) for n in range(900)))
        wait_for(lambda: len(held) == 900)
        for request in held:
            request.answer()
        assert len(client.receive_all(900)) == 900
    assert len(server.connections) == 1


def test_a_server_that_permits_more_later_is_asked_more(start, serve_https):
    """E82: its SETTINGS count when they come; with 1 at first."""
    held = []
    server = serve_https(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 1})
    proxy = start(server, workers=1, timeouts={"query": "60s"})
    assert_answered(proxy, "warm.example")
    server.wait(lambda it: it.connections[0].acknowledged == 1)
    server.on_query = held.append
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query(f"more{n}.example", id=n) for n in range(50)))
        wait_for(lambda: held)
        server.connections[0].announce({SettingCodes.MAX_CONCURRENT_STREAMS: 100})
        wait_for(lambda: len(held) == 50)
        for request in held:
            request.answer()
        assert len(client.receive_all(50)) == 50


def test_twenty_thousand_answers_reach_their_questions(start, https):
    """E83: by their streams, since all have one ID. None is crossed or lost."""
    proxy = start(https, workers=1)
    asked = flood(proxy.address, (f"many{n}.example" for n in range(20000)), window=80)
    assert len(asked) == 20000 and all(one.good for one in asked)
    assert len(https.connections) == 1


def test_answers_in_another_order_reach_their_questions(start, https):
    """E83"""
    proxy = start(https, workers=1)
    names = [f"order{n}.example." for n in range(90)]
    for name in names:
        https.hold(name)
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query(name, id=n) for n, name in enumerate(names)))
        https.wait(lambda it: len(it.queries) == len(names))
        for name in reversed(names):
            https.release(name)
        answers = client.receive_all(len(names))
    for number, name in enumerate(names):
        assert wire.address_in(answers[bytes([0, number])]) == wire.address_of(name)


def test_huge_answers_pass(proxy, https):
    """C24, E83: 65,535 octets and no more, ten at a time."""
    https.on_query = lambda request: wire.sized_answer(request.raw, 65535)
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query(f"huge{n}.example", "TYPE4000", id=n) for n in range(10)))
        assert [len(one) for one in client.receive_all(10).values()] == [65535] * 10
    assert not https.resets


# What of it may be remembered.

@pytest.mark.parametrize("age,ttl", [("0", 60), ("20", 40), ("59", 1)])
def test_the_age_of_an_answer_is_taken_off_its_ttl(start, https, age, ttl):
    """E87: of the record as well as of what the cache makes of it."""
    https.on_query = lambda request: _aged(request, age)
    proxy = start(https, workers=1, cache={"size": "4M"})
    first = ask(proxy.address, "aged.example")
    assert first.answer[0].ttl == ttl
    if ttl > 30:  # time enough to find it again
        assert ttl - 30 < ask(proxy.address, "aged.example").answer[0].ttl <= ttl
        assert len(https.queries) == 1


def _aged(request, age):
    reply = good(request)
    reply.headers = (("cache-control", "max-age=60"), ("age", age))
    return reply


@pytest.mark.parametrize("age", ["60", "61", "86400", "99999999999999999999"])
def test_an_answer_that_is_too_old_is_passed_on_and_not_kept(start, https, age):
    """E87: with a TTL of 0, so that nobody else keeps it either."""
    https.on_query = lambda request: _aged(request, age)
    proxy = start(https, workers=1, cache={"size": "4M"})
    for count in (1, 2):
        answer = ask(proxy.address, "old.example")
        assert str(answer.answer[0][0]) == wire.address_of("old.example")
        assert answer.answer[0].ttl == 0
        assert len(https.asked("old.example")) == count


@pytest.mark.parametrize("age", ["", "-5", "soon", "12, 13", "1.5"])
def test_an_age_that_is_none_is_none(proxy, https, age):
    """E87: the answer is good."""
    https.on_query = lambda request: _aged(request, age)
    assert_answered(proxy, "ageless.example")


def test_what_another_path_said_is_not_remembered(start, serve_https):
    """E90: some servers filter by the path; the same one's answers outlive a reload."""
    server = serve_https(path="/plain")
    proxy = start(server, workers=1, cache={"size": "4M"})
    assert_answered(proxy, "filtered.example")
    proxy.reload()
    assert_answered(proxy, "filtered.example")
    assert [request.path for request in server.queries] == ["/plain"]
    server.path = "/family"
    proxy.write_configuration(upstreams=[entry(server)])
    proxy.reload()
    assert_answered(proxy, "filtered.example")
    assert [request.path for request in server.queries] == ["/plain", "/family"]


# Connections.

def test_sessions_are_resumed(proxy, https):
    """C71: always after a reconnect, and after the check at the start."""
    for number in range(8):
        assert_answered(proxy, f"resume{number}.example")
        https.connections[-1].close(CLOSE_NOTIFY)
    assert [one.resumed for one in [*https.checks, *https.handshakes]] == [False] + [True] * 8


def _leave(connection):
    connection.leave()
    connection.close(CLOSE_NOTIFY)


@pytest.mark.parametrize("end", [lambda one: one.close(FIN), lambda one: one.close(RESET),
                                 lambda one: one.close(CLOSE_NOTIFY), _leave],
                         ids=[FIN, RESET, CLOSE_NOTIFY, "goaway"])
def test_the_end_of_an_idle_connection_is_not_noticed(proxy, https, end):
    """C70, L34, E91: servers leave after some seconds; the next question gets its answer."""
    for number in range(20):
        assert_answered(proxy, f"idle{number}.example")
        end(https.connections[-1])
    assert len(https.handshakes) == 20


def test_an_idle_connection_is_closed_in_order(start, https):
    """C73, E91: after the configured time."""
    proxy = start(https, workers=1, timeouts={"upstream_idle": "300ms"})
    assert_answered(proxy, "idle.example")
    https.wait(lambda it: it.connections[0].ended)
    assert https.connections[0].ended == CLOSE_NOTIFY
    assert all(code == ErrorCodes.NO_ERROR for _, code in https.connections[0].goodbyes)


def test_reloads_under_load_lose_nothing(start, https):
    proxy = start(https)
    with Load(proxy.address, rate=300) as load:
        for _ in range(3):
            before = len(load.asked)
            wait_for(lambda: len(load.asked) > before + 50)
            proxy.reload()
    load.assert_flawless()


def test_both_ways_to_ask_stand_beside_each_other(start, https, upstream):
    """One group: the first one is asked, the other one when that is gone."""
    proxy = start(https, upstream, workers=1)
    assert_answered(proxy, "first.example")
    https.kill()
    assert_answered(proxy, "second.example")
    assert https.asked("first.example") and upstream.asked("second.example")
    assert not upstream.asked("first.example")


def test_a_group_may_be_asked_this_way(start, https, upstream):
    proxy = start(upstream, entry(https, group="safe"), workers=1,
                  routes=[{"domains": ["safe.example"], "group": "safe"}])
    assert_answered(proxy, "www.safe.example")
    assert_answered(proxy, "www.example")
    assert [request.name for request in https.queries] == ["www.safe.example."]
    assert [query.name for query in upstream.queries] == ["www.example."]


# Servers that others wrote.

RECORDS = [
    "www.example. 300 IN A 192.0.2.80",
    *(f"huge.example. 300 IN TXT \"{n:04} {'x' * 240}\"" for n in range(250)),
    *(f"name{n}.example. 300 IN A {wire.address_of(f'name{n}.example')}" for n in range(500)),
]


def test_unbound_answers(start, unbound):
    resolver = unbound(RECORDS, https=True)
    proxy = start(resolver, workers=1)
    assert str(ask(proxy.address, "www.example").answer[0][0]) == "192.0.2.80"
    assert ask(proxy.address, "nothing.example").rcode() == dns.rcode.NXDOMAIN
    assert len(tcp(proxy.address, wire.query("huge.example", "TXT"))) > 60000
    asked = flood(proxy.address, (f"name{n % 500}.example" for n in range(5000)), window=80)
    assert len(asked) == 5000 and all(one.good for one in asked)


def test_another_dotproxy_answers_while_it_reloads(start, prepare, upstream, leaf):
    """E62, E85: it says GOAWAY first, and answers what it has been asked."""
    port = free_port()
    server = start(upstream, listen=[("127.0.0.1", free_port()), ("127.0.0.1", port, ["doh"])],
                   tls={"certificates": [leaf.for_server()]})
    proxy = start({"url": f"https://dot.example:{port}{PATH}", "addresses": ["127.0.0.1"]})
    with Load(proxy.address, rate=200) as load:
        for _ in range(3):
            before = len(load.asked)
            wait_for(lambda: len(load.asked) > before + 50)
            server.reload()
    load.assert_flawless()
