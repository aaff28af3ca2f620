# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Upstreams that fall silent, are not there, or come back: nobody waits in vain, nothing is lost
# where another can answer (rules C61, C75, L30-L36; the last table of the targets).

import contextlib
import time

import dns.rcode
import pytest

from harness import wire
from harness.blackhole import Blackhole
from harness.client import TcpClient, ask, udp
from harness.ipv6 import needs_ipv6
from harness.load import Load, flood
from harness.upstream import CLOSE_NOTIFY, FIN, RESET
from harness.waiting import awake, free_port, in_time, wait_for


def silent(_):
    """A script: reads queries and answers none."""
    return None


def fall_silent(server):
    """From now on the server takes what comes, and says nothing."""
    server.on_query = silent


def stall(connection):
    """A script: the connection is accepted and there is no handshake."""
    return False


@pytest.fixture
def blackhole():
    with contextlib.closing(Blackhole()) as hole:
        yield hole


def nobody():
    """A server that is not there: connections are refused."""
    return {"name": "dot.example", "addresses": ["127.0.0.1"], "port": free_port()}


# One upstream: SERVFAIL in time.

@pytest.fixture
def hurried(start):
    return lambda *upstreams, **how: start(
        *upstreams, workers=1, timeouts={"query": "1s", "connect": "400ms"}, **how)


def assert_fails_in_time(proxy, within):
    """Asks, and returns the number of questions."""
    asked = 0

    def fail(transport):
        nonlocal asked
        asked += 1
        answer = ask(proxy.address, "fails.example", edns=0, transport=transport)
        assert answer.rcode() == dns.rcode.SERVFAIL and set(wire.errors_of(answer)) & {22, 23}
    for transport in ("udp", "tcp"):
        in_time(within, lambda: fail(transport))
    return asked


def test_a_refused_connection_is_servfail(hurried):
    """L46, C61: with an Extended DNS Error."""
    assert_fails_in_time(hurried(nobody()), 2)


def test_silence_is_servfail(hurried, upstream):
    """L31, L81: in time, and no more than three queries for a question."""
    fall_silent(upstream)
    asked = assert_fails_in_time(hurried(upstream), 2)
    assert len(upstream.asked("fails.example")) <= 3 * asked


def test_silence_in_the_handshake_is_servfail(hurried, serve):
    """L33"""
    server = serve(on_accept=stall)
    assert_fails_in_time(hurried(server), 2)
    assert not server.cleartext


def test_silence_in_the_connection_is_servfail(hurried, blackhole):
    """L33"""
    assert_fails_in_time(hurried(blackhole), 2)


def test_an_upstream_that_never_reads_costs_bounded_memory(start, serve):
    """L30: SERVFAIL in time for each of many questions, and then there is nothing left of them."""
    server = serve()
    server.on_ready = lambda _: server.stopped.wait()
    proxy = start(server, workers=1, timeouts={"query": "1s"},
                  limits={"queries": 20000, "queries_per_client": 5000})
    before = proxy.memory_kib()
    for turn in range(3):
        with TcpClient(proxy.address) as client:
            client.send(*(wire.query(f"{'x' * 60}.{turn}.{n}.example", id=n) for n in range(5000)))
            failed = client.receive_all(5000)
        assert {message[3] & 15 for message in failed.values()} == {dns.rcode.SERVFAIL}
    proxy.assert_memory_grew_less(before, 32 * 1024)


# One upstream: back to work.

def test_an_upstream_that_restarts_is_used_at_once(start, upstream):
    """C75, L36, targets: killed under load; answers come again within a moment of its return."""
    proxy = start(upstream, workers=1, timeouts={"query": "1s"})
    with Load(proxy.address, rate=100) as load:
        wait_for(lambda: load.good_since(load.asked[0].sent) if load.asked else False)
        upstream.kill()
        failing = time.monotonic()
        wait_for(lambda: any(one.answered and one.sent > failing for one in load.asked))
        # Long enough for every back-off to have begun.
        wait_for(lambda: time.monotonic() - failing > 2)
        upstream.start()
        back = time.monotonic()
        wait_for(lambda: load.good_since(back))
        recovered = min(one.answered for one in load.asked if one.good and one.answered > back)
        settled = time.monotonic()
        wait_for(lambda: sum(one.sent > settled and one.good for one in load.asked) > 50)
    assert recovered - back < 1
    assert not load.lost and not load.crossed
    assert not [one for one in load.failed if one.sent > settled]


def test_an_upstream_that_speaks_again_is_used_at_once(start, upstream):
    """L31, L32: silent under load, all connections open; no restart needed."""
    proxy = start(upstream, workers=1, timeouts={"query": "1s"})
    with Load(proxy.address, rate=100) as load:
        wait_for(lambda: load.asked and load.good_since(load.asked[0].sent))
        fall_silent(upstream)
        quiet = time.monotonic()
        wait_for(lambda: any(one.answered and one.sent > quiet for one in load.asked))
        wait_for(lambda: time.monotonic() - quiet > 2)
        upstream.on_query = None
        back = time.monotonic()
        wait_for(lambda: load.good_since(back))
        recovered = min(one.answered for one in load.asked if one.good and one.answered > back)
        settled = time.monotonic()
        wait_for(lambda: sum(one.sent > settled and one.good for one in load.asked) > 50)
    assert recovered - back < 1
    assert not load.lost and not load.crossed
    assert not [one for one in load.failed if one.sent > settled]


def test_one_silent_connection_is_replaced_under_load(start, upstream):
    """L31, L32: new questions do not renew the deadline of the oldest; the server is well."""
    proxy = start(upstream, workers=1, timeouts={"query": "2s"})

    def first_falls_silent(query):
        deaf = query.connection.number == 0 and len(query.connection.queries) > 20
        return None if deaf else wire.answer(query.raw)
    upstream.on_query = first_falls_silent
    with Load(proxy.address, rate=100) as load:
        wait_for(lambda: len(load.asked) > 300)
    load.assert_flawless()


def test_reconnects_are_bounded(start, upstream):
    """L35: a server that accepts and closes at once, under load."""
    upstream.on_accept = lambda connection: connection.close(RESET)
    proxy = start(upstream, workers=1, timeouts={"query": "1s"})
    with Load(proxy.address, rate=300) as load:
        wait_for(lambda: len(load.asked) > 600)
    assert not load.lost and len(load.failed) == len(load.asked)
    assert len(upstream.connections) < 100


def test_reconnects_after_the_handshake_are_bounded(start, upstream):
    """L35: the same, when it has shaken hands."""
    upstream.on_ready = lambda connection: connection.close(FIN)
    proxy = start(upstream, workers=1, timeouts={"query": "1s"})
    with Load(proxy.address, rate=300) as load:
        wait_for(lambda: len(load.asked) > 600)
    assert not load.lost and len(load.failed) == len(load.asked)
    assert len(upstream.connections) < 100


def test_reconnects_to_one_that_closes_after_each_answer_are_bounded(start, upstream):
    """L35: some dozens at once, then 25 a second, a third more for the answers; what it does not
    answer is SERVFAIL, never silence."""
    def answer_and_close(query):
        query.answer()
        query.connection.close(CLOSE_NOTIFY)
    upstream.on_query = answer_and_close
    proxy = start(upstream, workers=1, timeouts={"query": "4s"})
    with Load(proxy.address, rate=300) as load:
        wait_for(lambda: len(load.asked) > 1200)
        elapsed = time.monotonic() - load.asked[0].sent
        connects = len(upstream.connections)
    assert connects < (50 + 25 * elapsed) * 4 / 3 + 10
    assert connects > 20 * elapsed, "and it is still used as far as it can be"
    assert not load.lost and not load.crossed


def test_an_upstream_that_closes_after_each_answer_serves_a_person(start, upstream):
    """L34, L35: 20 questions a second for a while, with a page of 40 at once: nothing is lost."""
    def answer_and_close(query):
        query.answer()
        query.connection.close(FIN)
    upstream.on_query = answer_and_close
    proxy = start(upstream, workers=1)
    with Load(proxy.address, rate=20) as load:
        wait_for(lambda: len(load.asked) > 40)
        page = flood(proxy.address, [f"page{number}.example" for number in range(40)])
        wait_for(lambda: len(load.asked) > 80)
    load.assert_flawless()
    assert all(one.good for one in page)


# Several upstreams.

@pytest.fixture
def pair(start, serve):
    """dotproxy with two upstreams: pair() -> (proxy, first, second)."""
    def make(**how):
        first, second = serve(), serve()
        how = {"workers": 1, "timeouts": {"query": "4s"}} | how
        return start(first, second, **how), first, second
    return make


def first_answer_within(limit, start, *upstreams, **how):
    """A proxy that has just started and answered its first question in less than `limit` seconds,
    how many those were, and how many were started. One of three is quick enough: the machine may
    be busy."""
    for attempt in range(1, 4):
        proxy = start(*upstreams, **{"workers": 1} | how)
        began, began_awake = time.monotonic(), awake()
        assert ask(proxy.address, "first.example").answer
        took = awake() - began_awake
        if took < limit:
            return proxy, time.monotonic() - began, attempt
    raise AssertionError(f"the first answer took {took} s")


def test_the_first_upstream_is_asked_first(pair):
    def make():
        made = pair(timeouts={"query": "15s"})
        began = time.monotonic()
        ask(made[0].address, "first.example")
        # Later than this, the second one would be tried as well (RFC 8305).
        return time.monotonic() - began < 0.25 and made
    proxy, first, second = wait_for(make, timeout=60)
    for number in range(20):
        ask(proxy.address, f"order{number}.example")
    assert len(first.queries) == 21 and not second.connections


def killed(server):
    server.kill()


def refusing(server):
    """Every connection is closed at once, those there are and new ones."""
    server.on_accept = lambda connection: connection.close(RESET)
    for connection in server.open_connections:
        connection.close(RESET)


def stalled(server):
    """Connections are accepted, and then nothing."""
    server.on_accept = stall
    fall_silent(server)


@pytest.mark.parametrize("fault", [killed, fall_silent, refusing, stalled])
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_nothing_is_lost_when_the_first_upstream_fails(pair, fault, transport):
    """Targets: killed for good: 0 lost; silent for good: 0 lost."""
    proxy, first, second = pair(workers=2)
    with Load(proxy.address, rate=100, transport=transport) as load:
        wait_for(lambda: len(load.asked) > 30)
        fault(first)
        failed = len(load.asked)
        wait_for(lambda: len(load.asked) > failed + 200)
    load.assert_flawless()
    assert second.queries


def test_the_first_upstream_is_used_again_when_it_is_back(pair):
    """C75: fail-back."""
    proxy, first, second = pair()
    first.kill()
    with Load(proxy.address, rate=100) as load:
        wait_for(lambda: len(second.queries) > 20)
        first.start()
        seen = len(first.queries)
        wait_for(lambda: len(first.queries) > seen + 20)
        after = time.monotonic()
        wait_for(lambda: sum(one.sent > after and one.good for one in load.asked) > 20)
    load.assert_flawless()


def test_the_first_upstream_is_used_again_when_it_speaks(pair):
    """C75: and while it is silent, it is tried without cost for the questions."""
    proxy, first, second = pair()
    fall_silent(first)
    with Load(proxy.address, rate=100) as load:
        wait_for(lambda: len(second.queries) > 100)
        first.on_query = None
        speaks = time.monotonic()
        wait_for(lambda: sum(query.at > speaks for query in list(first.queries)) > 50)
    load.assert_flawless()


def test_the_second_upstream_answers_at_once_when_the_first_is_not_there(start, serve):
    second = serve()
    first_answer_within(1, start, nobody(), second)


def test_an_untrusted_upstream_is_passed_over(start, serve, authority):
    """C61: a good one behind it is asked, the bad one never."""
    bad, good = serve(authority.leaf(names=("other.example",))), serve()
    proxy = start(bad, good, workers=1)
    for number in range(10):
        assert ask(proxy.address, f"passed{number}.example").answer
    assert not bad.queries and len(good.queries) == 10


def test_a_name_that_the_first_upstream_does_not_answer_is_asked_of_the_second(start, serve):
    """L80: in time for the client, and nothing is held against the first one."""
    first, second = serve(), serve()
    proxy = start(first, second, workers=1, timeouts={"query": "4s"})
    assert ask(proxy.address, "before.example").answer
    first.on_query = lambda query: None if b"dead" in query.raw else wire.answer(query.raw)
    assert ask(proxy.address, "dead.example").answer
    assert ask(proxy.address, "after.example").answer
    assert len(first.connections) == 1


@pytest.mark.parametrize("fault", ["connection", "handshake"])
def test_a_stalled_first_upstream_does_not_eat_the_patience(start, serve, blackhole, fault):
    """L33: the healthy second one answers the very first question in time."""
    first = blackhole if fault == "connection" else serve(on_accept=stall)
    second = serve()
    proxy, *_ = first_answer_within(2, start, first, second,
                                    timeouts={"query": "4s", "connect": "1s"})
    for number in range(20):
        assert in_time(0.5, lambda: ask(proxy.address, f"then{number}.example").answer)


@needs_ipv6
@pytest.mark.parametrize("first", ["dead", "blackhole"])
def test_addresses_of_one_upstream_are_raced(start, serve, first):
    """Several addresses, IPv4 and IPv6: one that does not answer costs no patience."""
    server = serve(address="::1")
    with contextlib.ExitStack() as stack:
        if first == "blackhole":
            hole = stack.enter_context(contextlib.closing(Blackhole("127.0.0.3")))
            # Both addresses of one upstream have the same port.
            server.refuse()
            server.port = hole.port
            server.start()
        entry = {"name": "dot.example", "addresses": ["127.0.0.3", "::1"], "port": server.port}
        first_answer_within(1, start, entry)


@needs_ipv6
@pytest.mark.parametrize("fault", ["refused", "silent"])
@pytest.mark.parametrize("good", ["127.0.0.1", "::1"])
def test_address_families_are_raced(start, serve, fault, good):
    """RFC 8305: a family that is refused costs no time, one that is silent no more than the
    stagger; and then no question waits again."""
    bad = "::1" if good == "127.0.0.1" else "127.0.0.1"
    server = serve(address=good)
    if fault == "silent":
        # A handshake that hangs; to have the same port is all that the two have in common.
        hanging = serve(address=bad, on_accept=stall)
        hanging.refuse()
        hanging.port = server.port
        hanging.start()
    entry = {"name": "dot.example", "addresses": [bad, good], "port": server.port}
    # The stagger and a moment.
    proxy, first, started = first_answer_within(0.25 + 0.75, start, entry)
    assert fault == "refused" or first > 0.2, "the first one had no time"
    for number in range(20):
        assert in_time(0.2, lambda: ask(proxy.address, f"then{number}.example").answer)
    assert len(server.handshakes) == started


def test_both_down_then_the_second_up(pair):
    """L36: with none usable, one is always tried."""
    proxy, first, second = pair(timeouts={"query": "1s"})
    first.kill()
    second.kill()
    with Load(proxy.address, rate=50) as load:
        wait_for(lambda: len(load.failed) > 50)
        second.start()
        back = time.monotonic()
        wait_for(lambda: load.good_since(back), timeout=3)
    assert not load.lost


def test_questions_that_wait_are_answered_when_the_upstream_comes(start, upstream):
    """C74: within the client's patience."""
    proxy = start(upstream, workers=1, timeouts={"query": "8s"})
    upstream.hold("patient.example.")
    with TcpClient(proxy.address) as client:
        client.send(wire.query("patient.example", id=3))
        upstream.wait_for_query("patient.example")
        upstream.kill()
        upstream.release("patient.example.")
        upstream.start()
        assert wire.address_in(client.receive()) == wire.address_of("patient.example")
    assert wire.address_in(udp(proxy.address, wire.query("next.example")))
