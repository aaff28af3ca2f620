# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Servers of DNS over HTTPS that refuse, leave, are overloaded, or are none (rules E84-E86): who
# asks is answered by another one, or hears why not, in time.

import time

import dns.rcode
import pytest

from harness import wire
from harness.client import TcpClient, ask, assert_answered
from harness.load import Load
from harness.upstream import CLOSE_NOTIFY
from harness.waiting import awake, in_time, wait_for

pytest.importorskip("h2", reason="python3-h2 is not installed")

from h2.errors import ErrorCodes  # noqa: E402

from harness.https_server import Reply, refuse  # noqa: E402

BAD = "bad.example."
MOST_SENDS = 3
AT_ONCE = 2.0  # seconds; the deadline of a question is 15


@pytest.fixture
def proxy(start, https):
    """dotproxy with one worker in front of `https`."""
    return start(https, workers=1)


@pytest.fixture
def pair(start, serve_https):
    """dotproxy in front of two servers, of which the first one has a script: pair(script) ->
    (proxy, first, second)."""
    def make(script, **how):
        first, second = serve_https(), serve_https()
        proxy = start(first, second, workers=1, **how)
        first.on_query = script
        return proxy, first, second
    return make


def assert_fails(proxy, name, within=AT_ONCE):
    """SERVFAIL that says why, and in time."""
    began = awake()
    answer = ask(proxy.address, name, edns=0)
    assert answer.rcode() == dns.rcode.SERVFAIL and set(wire.errors_of(answer)) & {22, 23}, answer
    assert awake() - began < within, "SERVFAIL came late"


def once(script):
    """Does that to the first request, and answers all others."""
    seen = []

    def do(request):
        seen.append(request)
        return script(request) if len(seen) == 1 else wire.answer(request.raw)
    return do


def to_bad(script):
    """Does that to each request for the bad name, and answers all others."""
    return lambda request: script(request) if request.name == BAD else wire.answer(request.raw)


# Requests that were not looked at (E84).

def test_a_refused_request_is_asked_again_and_does_not_count(proxy, https):
    """E84: more often than a question has sends."""
    def refuse_six_times(request):
        return refuse(request) if len(https.asked(BAD)) <= 6 else wire.answer(request.raw)
    https.on_query = to_bad(refuse_six_times)
    assert_answered(proxy, BAD)
    assert len(https.asked(BAD)) == 7
    assert proxy.counters()["upstream_queries"] == 7


def test_refusals_without_an_end_have_one(start, https):
    """E84: the deadline of the question; the server is not asked without a pause meanwhile."""
    proxy = start(https, workers=1, timeouts={"query": "2s"})
    https.on_query = refuse
    assert_fails(proxy, "refused.example", within=10)
    assert len(https.asked("refused.example")) < 200
    https.on_query = None
    assert_answered(proxy, "after.example")


def test_requests_above_the_last_that_will_be_answered_are_asked_again(proxy, https):
    """E84, E85: at once, elsewhere, once each; those below are answered where they were asked."""
    first = []

    def leave_after_ten(request):
        if request.connection.number > 0:
            return wire.answer(request.raw)
        first.append(request)
        if len(first) == 20:
            request.connection.leave(last=first[9].stream)
            for one in first[:10]:
                one.answer()
        return None
    https.on_query = leave_after_ten
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query(f"above{n}.example", id=n) for n in range(20)))
        answers = client.receive_all(20)
    for number in range(20):
        name = f"above{number}.example"
        assert wire.address_in(answers[bytes([0, number])]) == wire.address_of(name)
    assert sorted(len(https.asked(f"above{n}.example")) for n in range(20)) == [1] * 10 + [2] * 10
    assert len(https.connections) == 2


def test_a_request_that_fails_counts(proxy, https):
    """E84, L81: what the server may have looked at has three sends."""
    https.on_query = to_bad(lambda request: request.reset(ErrorCodes.INTERNAL_ERROR))
    assert_fails(proxy, BAD)
    assert 1 <= len(https.asked(BAD)) <= MOST_SENDS
    assert_answered(proxy, "after.example")


def test_a_request_that_fails_harms_no_other(proxy, https):
    """E84: those on the same connection go on there."""
    names = [f"beside{n}.example." for n in range(20)]
    for name in names:
        https.hold(name)
    https.on_query = once(lambda request: request.reset(ErrorCodes.INTERNAL_ERROR))
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query(name, id=n) for n, name in enumerate(names)))
        https.wait(lambda it: len(it.queries) == len(names))
        assert_answered(proxy, "fails-once.example")
        for name in names:
            https.release(name)
        assert all(wire.address_in(one) for one in client.receive_all(len(names)).values())
    assert all(len(https.asked(name)) == 1 for name in names)


def test_a_connection_on_which_three_fail_in_a_row_is_left(proxy, https):
    """E84: where a query of our own fails as well. The next one may be better."""
    def fail_on_the_first(request):
        if request.connection.number == 0:
            return request.reset(ErrorCodes.INTERNAL_ERROR)
        return wire.answer(request.raw)
    https.on_query = fail_on_the_first
    ask(proxy.address, "row.example")
    https.wait(lambda it: it.connections[0].ended)
    assert len(https.connections[0].queries) <= MOST_SENDS + 1
    for number in range(3):
        assert_answered(proxy, f"next{number}.example")


def test_a_name_that_fails_again_and_again_costs_no_connection(proxy, https):
    """E84, L80: what clients can bring about is not held against the server."""
    https.on_query = to_bad(lambda request: request.reset(ErrorCodes.INTERNAL_ERROR))
    for number in range(5):
        assert_fails(proxy, BAD)
        assert_answered(proxy, f"between{number}.example")
    assert len(https.connections) == 1


# Servers that leave (E85).

def leaving(count, goodbye):
    """A script: each connection says goodbye(connection, last stream) with its request number
    `count`, and answers none that comes later."""
    def do(request):
        number = request.connection.queries.index(request) + 1
        if number <= count:
            request.answer()
        if number == count:
            goodbye(request.connection, request.stream)
    return do


def leave(connection, last):
    connection.leave(last=last)


def leave_in_two_steps(connection, last):
    """As RFC 9113, section 6.8, would have it."""
    connection.leave(last=2 ** 31 - 1)
    connection.leave(last=last)


def leave_and_close(connection, last):
    connection.leave(last=last)
    connection.close(CLOSE_NOTIFY)


@pytest.mark.parametrize("goodbye", [leave, leave_in_two_steps, leave_and_close])
def test_servers_that_leave_under_load_lose_nothing(start, https, goodbye):
    """E85: nginx does it after 1,000 requests, this one after 20. It is not a failure."""
    proxy = start(https)
    https.on_query = leaving(20, goodbye)
    with Load(proxy.address, rate=300) as load:
        wait_for(lambda: len(load.asked) > 900)
    load.assert_flawless()
    assert len(https.connections) >= 30
    counted = proxy.counters()
    assert not [key for key in counted if key.startswith("upstream_connect_failures")], counted
    assert not [key for key in counted if key.startswith("failures")], counted


def test_a_server_that_leaves_is_connected_to_at_once(proxy, https):
    """E85: there is no back-off."""
    https.on_query = leaving(1, leave)
    for number in range(30):
        in_time(1, lambda: assert_answered(proxy, f"left{number}-{time.monotonic_ns()}.example"))


def test_what_is_under_way_is_still_answered_where_it_was_asked(proxy, https):
    """E85: new questions go elsewhere meanwhile."""
    names = [f"way{n}.example." for n in range(10)]
    for name in names:
        https.hold(name)
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query(name, id=n) for n, name in enumerate(names)))
        https.wait(lambda it: len(it.queries) == len(names))
        https.connections[0].leave()
        assert_answered(proxy, "new.example")
        assert https.asked("new.example")[0].connection.number == 1
        for name in names:
            https.release(name)
        assert all(wire.address_in(one) for one in client.receive_all(len(names)).values())
    assert all(len(https.asked(name)) == 1 for name in names)
    https.wait(lambda it: it.connections[0].ended)


@pytest.mark.parametrize("code", [ErrorCodes.ENHANCE_YOUR_CALM, ErrorCodes.INADEQUATE_SECURITY,
                                  ErrorCodes.HTTP_1_1_REQUIRED])
def test_a_server_that_complains_is_left_in_peace(pair, code):
    """E85: another one is asked; it is connected to as seldom as one that is down."""
    def complain(request):
        request.connection.leave(code, last=0)
        request.connection.close(CLOSE_NOTIFY)
    proxy, first, second = pair(complain)
    for number in range(20):
        in_time(AT_ONCE, lambda: assert_answered(
            proxy, f"complaint{number}-{time.monotonic_ns()}.example"))
    assert first.queries and second.queries
    assert len(first.connections) < 15
    wait_for(lambda: code.name in proxy.log)


# Statuses (E86).

@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_says_when_to_come_back_has_its_rest(pair, status):
    """E86: another one is asked until then, once it has said so of a query of ours as well."""
    busy = [Reply(status=status, kind=None, headers=(("retry-after", "2"),))]
    proxy, first, second = pair(
        lambda request: busy[0] if busy else wire.answer(request.raw))
    began = time.monotonic()
    assert_answered(proxy, "first.example")
    for number in range(20):
        assert_answered(proxy, f"rest{number}.example")
    assert second.asked("first.example")
    asked = len(first.queries)
    assert time.monotonic() - began > 1.8 or asked == 2
    busy.clear()

    def comes_back():
        assert_answered(proxy, f"back{time.monotonic_ns()}.example")
        return len(first.queries) > asked
    wait_for(comes_back)
    assert time.monotonic() - began > 1.8


def test_what_is_said_of_one_name_lets_nobody_else_rest(pair):
    """L36, L80: a client may have chosen it."""
    late = Reply(status=503, kind=None, headers=(("retry-after", "60"),))
    proxy, first, second = pair(
        lambda request: late if request.name == "bad.example." else wire.answer(request.raw))
    for number in range(5):
        ask(proxy.address, "bad.example")
        assert_answered(proxy, f"good{number}.example")
        assert first.asked(f"good{number}.example") and not second.asked(f"good{number}.example")


def test_a_rest_of_any_length_is_not_waited_for(pair):
    """E86: another one answers, however long it is, or where it is no number of seconds."""
    for value in ("86400", "soon", "-1", "99999999999999999999", ""):
        proxy, first, second = pair(once(
            lambda _: Reply(status=503, kind=None, headers=(("retry-after", value),))))
        for number in range(3):
            assert_answered(proxy, f"long{number}.example")
        assert len(first.asked("long0.example")) == 1 and second.asked("long0.example")


def test_a_server_that_is_asked_too_much_is_asked_less(start, https):
    """E86: 429 without a time: half as much as was too much, and one more for each 100 answers."""
    proxy = start(https, workers=1, timeouts={"query": "60s"},
                  limits={"queries_per_client": 1000})
    held = []
    https.on_query = held.append
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query(f"much{n}.example", id=n) for n in range(60)))
        wait_for(lambda: len(held) == 60)
        https.on_query = once(lambda _: Reply(status=429, kind=None))
        client.send(wire.query("too-much.example", id=60))
        https.wait_for_query("too-much.example")
        for request in held:
            request.answer()
        assert len(client.receive_all(61)) == 61
        held.clear()
        https.on_query = held.append
        https.most_streams = 0
        client.send(*(wire.query(f"less{n}.example", id=n) for n in range(200)))
        wait_for(lambda: len(held) >= 30)
        ask(proxy.address, "version.bind", "TXT", rdclass="CH")
        https.on_query = None
        for request in held:
            request.answer()
        assert len(client.receive_all(200)) == 200
    assert https.most_streams <= 34


def test_a_server_that_can_take_few_at_a_time_answers_all(start, https):
    """E86: doh.pub says 429 to bursts of more than 16."""
    proxy = start(https, workers=1, limits={"queries_per_client": 1000})
    at_once = 16

    def answer_few(request):
        if https.streams > at_once:
            return Reply(status=429, kind=None)
        return wire.answer(request.raw)
    https.on_query = answer_few
    answered = 0
    with TcpClient(proxy.address) as client:
        for turn in range(20):
            client.send(*(wire.query(f"few{turn}-{n}.example", id=n) for n in range(60)))
            answered += sum(bool(wire.address_in(one)) for one in client.receive_all(60).values())
    assert answered > 20 * 60 * 0.9


@pytest.mark.parametrize("status", [500, 502, 504])
def test_what_a_server_cannot_do_another_one_is_asked(pair, status):
    """E86: once, and for that name alone; it is no reason to leave it."""
    proxy, first, second = pair(to_bad(lambda _: Reply(b"sorry", status, kind="text/html")))
    assert_answered(proxy, BAD)
    assert len(first.asked(BAD)) == 1 and len(second.asked(BAD)) == 1
    assert_answered(proxy, "other.example")
    assert first.asked("other.example") and not second.asked("other.example")
    assert first.connections[0].ended is None


@pytest.mark.parametrize("status", [500, 502, 504, 503, 429])
def test_where_there_is_no_other_one_the_client_hears_why(proxy, https, status):
    """E86"""
    https.on_query = to_bad(lambda _: Reply(b"sorry", status, kind="text/html"))
    assert_fails(proxy, BAD)
    assert 1 <= len(https.asked(BAD)) <= MOST_SENDS
    wait_for(lambda: ask(proxy.address, f"after{time.monotonic_ns()}.example").answer)


@pytest.mark.parametrize("status", [
    301, 302, 307, 400, 401, 403, 404, 405, 410, 415, 421, 501, 505])
def test_a_server_that_is_none_is_out(proxy, https, serve_https, status):
    """E86: as one that cannot be trusted; where it would send us is nobody whom we know."""
    elsewhere = serve_https()
    headers = (("location", elsewhere.url),) if status < 400 else ()
    https.on_query = lambda _: Reply(b"no", status, headers, kind="text/html")
    assert_fails(proxy, "nothing.example")
    wait_for(lambda: f"answers HTTP {status} on /dns-query" in proxy.log)
    assert 1 <= len(https.asked("nothing.example")) <= MOST_SENDS
    assert not elsewhere.connections


def test_another_one_is_asked_while_one_is_out(pair):
    """E86"""
    proxy, first, second = pair(lambda _: Reply(status=404))
    for number in range(20):
        in_time(AT_ONCE, lambda: assert_answered(
            proxy, f"out{number}-{time.monotonic_ns()}.example"))
    assert first.queries and len(first.queries) < 10 and len(second.queries) >= 20


def test_a_server_that_is_put_right_is_found_again(start, https):
    """E86: no restart of ours."""
    proxy = start(https, workers=1, timeouts={"query": "2s"})
    https.on_query = lambda _: Reply(status=404)
    assert_fails(proxy, "wrong.example")
    https.on_query = None
    wait_for(lambda: ask(proxy.address, f"right{time.monotonic_ns()}.example").answer)
