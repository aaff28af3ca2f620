# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Servers of DNS over HTTPS that are slow or silent, end connections, or never begin (rules E88,
# E91).

import ssl
import time

import dns.rcode
import pytest

from harness import wire
from harness.client import TcpClient, ask, assert_answered
from harness.load import Load
from harness.upstream import CLOSE_NOTIFY, FIN, RESET
from harness.waiting import awake, wait_for

pytest.importorskip("h2", reason="python3-h2 is not installed")

from h2.errors import ErrorCodes  # noqa: E402
from hyperframe.frame import WindowUpdateFrame  # noqa: E402

from harness.https_server import DEFAULT_SETTINGS, Reply  # noqa: E402

MOST_SENDS = 3
AT_ONCE = 2.0  # seconds; the deadline of a question is 15


@pytest.fixture
def proxy(start, https):
    """dotproxy with one worker in front of `https`."""
    return start(https, workers=1)


def assert_fails(proxy, name, within=AT_ONCE):
    """SERVFAIL that says why, and in time."""
    began = awake()
    answer = ask(proxy.address, name, edns=0)
    assert answer.rcode() == dns.rcode.SERVFAIL and set(wire.errors_of(answer)) & {22, 23}, answer
    assert awake() - began < within, "SERVFAIL came late"


# Servers that are silent (E88).

def test_a_server_that_is_slow_and_there_is_kept(start, https):
    """E88: it says so when it is asked; that is held against the name alone."""
    proxy = start(https, workers=1, timeouts={"query": "4s"})
    https.hold("slow.example.")
    assert_fails(proxy, "slow.example", within=10)
    connection = https.connections[0]
    assert 1 <= connection.pings <= 8
    https.wait(lambda it: ErrorCodes.CANCEL in it.resets)
    https.release("slow.example.")  # which is for nobody any more
    assert_answered(proxy, "after.example")
    assert https.asked("after.example")[0].connection is connection
    assert len(https.connections) == 1


def test_the_answer_of_a_slow_server_counts(proxy, https):
    """E88"""
    https.hold("slow.example.")
    with TcpClient(proxy.address) as client:
        client.send(wire.query("slow.example", id=1))
        https.wait(lambda it: it.connections and it.connections[0].pings)
        https.release("slow.example.")
        assert wire.address_in(client.receive()) == wire.address_of("slow.example")
    assert len(https.connections) == 1


def test_a_server_that_acknowledges_no_ping_is_dead(proxy, https):
    """E88: what was asked there is asked again, and answered long before its deadline."""
    https.answers_pings = False
    https.on_query = lambda request: \
        None if request.connection.number == 0 else wire.answer(request.raw)
    began = awake()
    assert_answered(proxy, "dead.example")
    assert awake() - began < 10
    dead = https.connections[0]
    assert dead.pings == 1 and len(https.asked("dead.example")) == 2
    assert_answered(proxy, "next.example")
    assert https.asked("next.example")[0].connection is not dead


def test_who_is_answered_sends_no_ping(start, https):
    """E88: it is no keep-alive."""
    proxy = start(https, workers=1, timeouts={"upstream_idle": "2s"})
    assert_answered(proxy, "answered.example")
    https.wait(lambda it: it.connections[0].ended)
    assert https.connections[0].pings == 0


# Servers that never begin (E91).

@pytest.mark.parametrize("alpn", [(), ("http/1.1",), ("dot",)])
def test_who_does_not_speak_http2_is_told_nothing(start, serve_https, alpn):
    """E91: it is out, and the log says why."""
    server = serve_https(alpn=alpn)
    proxy = start(server, workers=1)
    assert_fails(proxy, "silent.example")
    assert not server.unread and not server.cleartext
    wait_for(lambda: "does not speak HTTP/2" in proxy.log)


def test_another_one_is_asked_who_does(start, serve_https, https):
    """E91"""
    proxy = start(serve_https(alpn=()), https, workers=1)
    assert_answered(proxy, "another.example")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions_of_tls_will_do(start, serve_https, version):
    def limit(context):
        context.minimum_version = context.maximum_version = version
    server = serve_https(prepare=limit)
    assert_answered(start(server, workers=1), "version.example")


def in_the_middle(how):
    """A script: the client's hello comes, and then the end."""
    def do(connection):
        connection.socket.recv(16)
        connection.close(how)
        return False
    return do


@pytest.mark.parametrize("how", [FIN, RESET])
def test_a_handshake_that_breaks_off_is_not_the_end(start, serve_https, https, how):
    """C60, C75: another one is asked, and the same one later."""
    server = serve_https(on_accept=in_the_middle(how))
    proxy = start(server, https, workers=1)
    https.refuse()
    assert_fails(start(server, workers=1, timeouts={"query": "2s"}), "broken-off.example", within=8)
    server.on_accept = None
    wait_for(lambda: ask(proxy.address, f"again{len(server.connections)}.example").answer)
    assert server.queries


def test_a_server_that_says_nothing_after_the_handshake_is_left(start, serve_https):
    """E88: no SETTINGS, no answer, no PING; another connection is tried, which is better."""
    def begin(connection):
        if connection.number > 0:
            connection.announce(DEFAULT_SETTINGS)
    server = serve_https(settings=None, on_ready=begin)
    proxy = start(server, workers=1)
    server.answers_pings = False
    server.on_query = lambda request: \
        None if request.connection.number == 0 else wire.answer(request.raw)
    assert_answered(proxy, "mute.example")


@pytest.mark.parametrize("how", [FIN, RESET, CLOSE_NOTIFY])
def test_an_end_instead_of_an_answer_counts(proxy, https, how):
    """L81: three times asked, and then the client hears why."""
    https.on_query = lambda request: request.connection.close(how)
    assert_fails(proxy, "never.example")
    assert 1 <= len(https.asked("never.example")) <= MOST_SENDS
    https.on_query = None
    assert_answered(proxy, "after.example")


@pytest.mark.parametrize("how", [FIN, RESET, CLOSE_NOTIFY])
def test_ends_after_some_answers_lose_nothing(proxy, https, how):
    """C13, L34: what is under way at the end of a connection is asked again on another one."""
    def close_after_five(request):
        if request.connection.queries.index(request) < 5:
            return wire.answer(request.raw)
        return request.connection.close(how)
    https.on_query = close_after_five
    with TcpClient(proxy.address) as client:
        for turn in range(10):
            client.send(*(wire.query(f"some{turn}-{n}.example", id=n) for n in range(8)))
            answers = client.receive_all(8)
            for number in range(8):
                assert wire.address_in(answers[bytes([0, number])]) == \
                    wire.address_of(f"some{turn}-{number}.example")


# What is no answer and comes all the same with each request.
SIGNS = {
    "windows": lambda request: request.connection.send_frames(
        WindowUpdateFrame(0, window_increment=100)),
    "heads": lambda request: request.connection.send_headers(
        request.stream, [(":status", "200"), ("content-type", "application/dns-message")]),
}


@pytest.mark.parametrize("sign", SIGNS)
def test_a_resolver_that_hangs_behind_a_server_that_lives_is_left(start, https, sign):
    """L31, L32: octets that come with every request are no sign of answers."""
    proxy = start(https, workers=1)
    assert_answered(proxy, "warm.example")
    https.on_query = lambda request: \
        SIGNS[sign](request) if request.connection.number == 0 else wire.answer(request.raw)
    with Load(proxy.address, rate=20) as load:
        https.wait(lambda it: len(it.connections) > 1)
        moment = time.monotonic()
        wait_for(lambda: load.good_since(moment))
    load.assert_flawless()


def test_a_server_that_fails_our_own_query_is_of_use(proxy, https):
    """L80: two names that fail have it asked for the root's name servers, which some never answer."""
    def script(request):
        if request.is_probe or request.name.startswith("bad"):
            return Reply(status=500, kind=None)
        return wire.answer(request.raw)
    https.on_query = script
    assert_answered(proxy, "good.example")
    for name in ("bad1.example", "bad2.example"):
        assert ask(proxy.address, name).rcode() == dns.rcode.SERVFAIL
    wait_for(lambda: ask(proxy.address, f"good{len(https.queries)}.example").answer)
    for number in range(10):
        assert ask(proxy.address, f"bad{number + 3}.example").rcode() == dns.rcode.SERVFAIL
        assert_answered(proxy, f"better{number}.example")
