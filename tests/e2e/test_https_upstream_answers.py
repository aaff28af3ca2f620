# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# DNS over HTTPS as the way to an upstream: which answers are good, which are none, and servers that
# break the rules or permit nothing (rules E82, E83, E89).

import dns.rcode
import pytest

from harness import wire
from harness.client import TcpClient, ask, assert_answered
from harness.waiting import awake, wait_for

pytest.importorskip("h2", reason="python3-h2 is not installed")

import hyperframe.frame as frames  # noqa: E402
from h2.errors import ErrorCodes  # noqa: E402
from h2.settings import SettingCodes  # noqa: E402

from harness.https_server import DEFAULT_SETTINGS, MESSAGE, Reply, good, refuse  # noqa: E402

BAD = "bad.example."
MOST_SENDS = 3
AT_ONCE = 2.0  # seconds; the deadline of a question is 15


@pytest.fixture
def proxy(start, https):
    """dotproxy with one worker in front of `https`."""
    return start(https, workers=1)


def assert_fails(proxy, name, within=AT_ONCE, rdtype="A"):
    """SERVFAIL that says why, and in time."""
    began = awake()
    answer = ask(proxy.address, name, rdtype, edns=0)
    assert answer.rcode() == dns.rcode.SERVFAIL and wire.errors_of(answer), answer
    assert not answer.answer
    assert awake() - began < within, "SERVFAIL came late"


def assert_contained(proxy, https, script, within=AT_ONCE, rdtype="A"):
    """The bad name fails, at most three times asked; good ones do not notice."""
    https.on_query = lambda request: \
        script(request) if request.name == BAD else wire.answer(request.raw)
    assert_answered(proxy, "before.example")
    for turn in range(2):
        asked = len(https.asked(BAD))
        assert_fails(proxy, BAD, within, rdtype)
        assert 1 <= len(https.asked(BAD)) - asked <= MOST_SENDS
        for number in range(3):
            assert_answered(proxy, f"good{turn}-{number}.example")


def altered(**changes):
    """A script: a good answer, but for that."""
    def do(request):
        reply = good(request)
        for what, value in changes.items():
            setattr(reply, what, value)
        return reply
    return do


# Good answers, however they come (E83).

def _in_pieces(request):
    """HEADERS and two CONTINUATION."""
    connection = request.connection
    block = connection.h2.encoder.encode(Reply().fields)
    head = frames.HeadersFrame(request.stream, block[:1])
    rest = [frames.ContinuationFrame(request.stream, block[1:2]),
            frames.ContinuationFrame(request.stream, block[2:], flags=["END_HEADERS"])]
    connection.send_frames(head, *rest)
    connection.send_data(request.stream, wire.answer(request.raw), ends=True)


def _beside_others(request):
    """Frames of kinds that nobody knows, and of such as may be left unread."""
    connection = request.connection
    connection.send_octets(bytes.fromhex("000003ee0000000000") + b"abc")
    connection.send_octets(
        bytes.fromhex("000003ee00") + request.stream.to_bytes(4, "big") + b"abc")
    connection.send_frames(frames.AltSvcFrame(0, b"https://x", b'h3=":443"'),
                           frames.PriorityFrame(request.stream, depends_on=0, stream_weight=1))
    request.answer()


GOOD = {
    "a type with parameters": altered(kind=f"{MESSAGE}; charset=utf-8"),
    "a type in capitals": altered(kind=MESSAGE.upper()),
    "another ID": lambda request: wire.set_id(wire.answer(request.raw), 0x1234),
    "its length": lambda request: Reply(wire.answer(request.raw), headers=(
        ("content-length", str(len(wire.answer(request.raw)))),)),
    "headers in pieces": _in_pieces,
    "frames of other kinds": _beside_others,
    "early hints": altered(interim=[[("link", "</style.css>; rel=preload")]] * 3),
    "trailers": altered(trailers=(("server-timing", "dns;dur=3"),)),
    "many headers": altered(headers=tuple((f"x-header-{n}", "y" * 100) for n in range(50))),
    "another age": altered(headers=(("age", "1"), ("cache-control", "max-age=59"))),
}


@pytest.mark.parametrize("case", GOOD)
def test_a_good_answer_is_one_however_it_comes(proxy, https, case):
    https.on_query = GOOD[case]
    for number in range(3):
        assert_answered(proxy, f"good{number}.example")
    assert len(https.connections) == 1 and len(https.queries) == 3 and not https.resets


@pytest.mark.parametrize("settings", [
    {}, {SettingCodes.HEADER_TABLE_SIZE: 0}, {SettingCodes.HEADER_TABLE_SIZE: 1 << 20},
    {SettingCodes.MAX_FRAME_SIZE: (1 << 24) - 1}, {SettingCodes.INITIAL_WINDOW_SIZE: 2 ** 31 - 1},
    {SettingCodes.MAX_HEADER_LIST_SIZE: 1000}, {0xf0f0: 7}],
    ids=lambda settings: " ".join(str(int(code)) for code in settings))
def test_a_server_may_announce_what_it_likes(start, serve_https, settings):
    server = serve_https(settings=settings)
    proxy = start(server, workers=1)
    for number in range(20):
        assert_answered(proxy, f"announced{number}.example")
    assert len(server.connections) == 1 and server.connections[0].acknowledged == 1


def test_an_answer_may_come_octet_by_octet(proxy, https):
    """E83: each one a record of TLS, headers and frames cut anywhere."""
    https.dribbles = True
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query(f"dribble{n}.example", id=n) for n in range(5)))
        answers = client.receive_all(5)
    for number in range(5):
        assert wire.address_in(answers[bytes([0, number])]) == \
            wire.address_of(f"dribble{number}.example")
    assert len(https.connections) == 1


def test_answers_may_come_in_pieces_that_take_turns(proxy, https):
    """E83: DATA of one stream between that of another, and padded."""
    held = []

    def answer_both(request):
        held.append(request)
        if len(held) < 2:
            return
        connection = request.connection
        bodies = [wire.answer(one.raw) for one in held]
        for one in held:
            connection.send_headers(one.stream, Reply().fields)
        for at in range(max(map(len, bodies))):
            for one, body in zip(held, bodies):
                piece = frames.DataFrame(one.stream, body[at:at + 1], pad_length=at)
                piece.flags = {"PADDED", *(["END_STREAM"] if at + 1 == len(body) else [])}
                connection.send_frames(piece)
    https.on_query = answer_both
    with TcpClient(proxy.address) as client:
        client.send(wire.query("turn0.example", id=0), wire.query("turn1.example", id=1))
        answers = client.receive_all(2)
    for number in range(2):
        assert wire.address_in(answers[bytes([0, number])]) == \
            wire.address_of(f"turn{number}.example")


# Answers that are none (E83).

def _foreign(request):
    return wire.header(0, 0x8180, 1, 1) + wire.question("evil.example") + \
        wire.record(b"\xc0\x0c", 1, b"\6\6\6\6")


def _cut_off(request, body):
    request.connection.send_headers(request.stream, Reply().fields)
    if body:
        request.connection.send_data(request.stream, body)
    request.reset(ErrorCodes.INTERNAL_ERROR)


NONE = {
    "another type": altered(kind="text/html"),
    "a type that begins alike": altered(kind=f"{MESSAGE}x"),
    "no type": altered(kind=None),
    "nothing": altered(body=b""),
    "eleven octets": altered(body=bytes(11)),
    "text": altered(body=b"<html>You are offline.</html>"),
    "a query": lambda request: request.raw,
    "another question": _foreign,
    "TC": lambda request: wire.answer(request.raw, flags=0x8280),
    "another opcode": lambda request: wire.answer(request.raw, flags=0x8080 | 5 << 11),
    "more answers than there are": lambda request: wire.header(0, 0x8180, 1, 9) +
        wire.question(BAD),
    "less than it said": altered(headers=(("content-length", "400"),)),
    "more than it said": altered(headers=(("content-length", "12"),)),
    "204": altered(status=204, body=b""),
    "206": altered(status=206),
    "headers and no more": lambda request: _cut_off(request, b""),
    "half a body": lambda request: _cut_off(request, wire.answer(request.raw)[:20]),
}


@pytest.mark.parametrize("case", NONE)
def test_what_is_no_answer_is_not_passed_on(proxy, https, case):
    """E83, L82"""
    assert_contained(proxy, https, NONE[case])


def test_an_answer_to_another_question_harms_no_other(proxy, https):
    """E83, E84: its stream tells which question it was for; those beside it go on."""
    names = [f"beside{n}.example." for n in range(20)]
    for name in names:
        https.hold(name)
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query(name, id=n) for n, name in enumerate(names)))
        https.wait(lambda it: len(it.queries) == len(names))
        https.on_query = lambda request: \
            _foreign(request) if request.name == BAD else wire.answer(request.raw)
        assert_fails(proxy, BAD)
        for name in names:
            https.release(name)
        assert all(wire.address_in(one) for one in client.receive_all(len(names)).values())
    assert all(len(https.asked(name)) == 1 for name in names)


@pytest.mark.parametrize("how", ["much", "much, and said before"])
def test_more_than_a_message_can_have_is_not_read(proxy, https, how):
    """E83: the stream is cancelled, and what is left of it never asked for."""
    def too_much(request):
        body = wire.sized_answer(request.raw, 65535) + bytes(1 << 20)
        length = (("content-length", str(len(body))),)
        return Reply(body, headers=length if "said before" in how else ())
    assert_contained(proxy, https, too_much, rdtype="TYPE4000")
    https.wait(lambda it: ErrorCodes.CANCEL in it.resets)


def test_a_message_that_is_too_long_by_one_octet_is_none(proxy, https):
    """E83: which shows when all of it is here."""
    assert_contained(proxy, https, lambda request: wire.sized_answer(request.raw, 65535) + b"\0",
                     rdtype="TYPE4000")


def test_a_message_with_too_much_behind_it_is_none(proxy, https):
    """E83: though all of it is good up to the frame that is too much."""
    frame = 1 << 14
    assert_contained(proxy, https, lambda request: wire.sized_answer(
        request.raw, 3 * frame) + bytes(frame), rdtype="TYPE4000")


def test_records_beside_the_answer_are_left_out(proxy, https):
    """L82, L18: as over TLS."""
    right = wire.record(b"\xc0\x0c", 1, b"\x0a\1\2\3")
    https.on_query = lambda request: wire.answer(
        request.raw, records=[right, wire.record("bank.example", 1, b"\6\6\6\6")])
    answer = ask(proxy.address, "beside.example")
    assert [rrset.to_text() for rrset in answer.answer] == ["beside.example. 60 IN A 10.1.2.3"]


# Servers that break the rules of HTTP/2 (E83, L83): the connection is left, others are answered.

def _send(frame):
    return lambda request: request.connection.send_frames(frame(request))


def _raw(octets):
    return lambda request: request.connection.send_octets(octets)


def _endless_headers(request):
    connection = request.connection
    connection.send_headers(request.stream, [(":status", "200")], flags=())
    for number in range(200):
        block = connection.h2.encoder.encode([(f"x-{number}", "y" * 4000)])
        connection.send_frames(frames.ContinuationFrame(request.stream, block))


BROKEN = {
    "no status": lambda request: request.connection.send_headers(
        request.stream, [("content-type", MESSAGE)]),
    "two statuses": lambda request: request.connection.send_headers(
        request.stream, [(":status", "200"), (":status", "404")]),
    "a field in capitals": lambda request: request.connection.send_headers(
        request.stream, [(":status", "200"), ("Content-Type", MESSAGE)]),
    "a body without headers": lambda request: request.connection.send_data(
        request.stream, wire.answer(request.raw), ends=True),
    "a stream that nobody opened": lambda request: request.connection.send_headers(
        request.stream + 1000, Reply().fields),
    "a stream of the server's": lambda request: request.connection.send_headers(
        2, Reply().fields),
    "a push": _send(lambda request: frames.PushPromiseFrame(
        request.stream, 2, request.connection.h2.encoder.encode([
            (":method", "GET"), (":scheme", "https"), (":authority", "x"), (":path", "/")]),
        flags=["END_HEADERS"])),
    "headers that cannot be read": _send(lambda request: frames.HeadersFrame(
        request.stream, b"\xff\xff\xff\xff\xff\xff", flags=["END_HEADERS"])),
    "a window of nothing": _send(lambda _: frames.WindowUpdateFrame(0, window_increment=0)),
    "a window too wide": _send(
        lambda _: frames.WindowUpdateFrame(0, window_increment=2 ** 31 - 1)),
    "a setting that cannot be": _send(lambda _: frames.SettingsFrame(
        0, settings={SettingCodes.ENABLE_PUSH: 7})),
    "a ping of a stream": _raw(bytes.fromhex("00000806000000000100000000000000ff")),
    "a frame too large": _raw(bytes.fromhex("7fffff000000000001") + bytes(20000)),
    "DNS over TLS": lambda request: request.connection.send_octets(
        len(wire.answer(request.raw)).to_bytes(2, "big") + wire.answer(request.raw)),
    "HTTP/1.1": _raw(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" * 5),
    "garbage": _raw(bytes(range(255, 0, -1)) * 4),
    "headers without an end": lambda request: _endless_headers(request),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_stream_of_nonsense_is_left(start, https, case):
    """Whatever it was, the name fails and the next ones do not; nor does the worker."""
    proxy = start(https, workers=1, timeouts={"query": "4s"})
    worker = proxy.workers()
    assert_contained(proxy, https, BROKEN[case], within=8)
    assert proxy.workers() == worker


def test_a_flood_of_control_frames_is_no_work_without_an_end(proxy, https):
    """L83: what would have to be answered, and is not read, is not kept."""
    def flood(request):
        ping = frames.PingFrame(0, opaque_data=b"12345678").serialize()
        for _ in range(50):
            request.connection.send_octets(ping * 1000)
    assert_answered(proxy, "before.example")
    before = proxy.memory_kib()
    assert_contained(proxy, https, lambda request: flood(request) or request.reset(
        ErrorCodes.INTERNAL_ERROR), within=10)
    proxy.assert_memory_grew_less(before, 4096)


# Servers that permit nothing (E82, E89).

def test_a_connection_that_permits_no_requests_is_replaced(start, https):
    """E82: it is left, and another one made."""
    def permit_none(connection):
        if connection.number == 0:
            connection.announce({SettingCodes.MAX_CONCURRENT_STREAMS: 0})
    https.on_ready = permit_none
    https.on_query = lambda request: \
        refuse(request) if request.connection.number == 0 else wire.answer(request.raw)
    proxy = start(https, workers=1, timeouts={"upstream_idle": "60s"})
    assert_answered(proxy, "replaced.example")
    https.wait(lambda it: it.connections[0].ended)


def test_a_server_that_permits_no_requests_is_out(start, serve_https):
    """E82: no connection after the other is made in vain."""
    server = serve_https(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 0}, on_query=refuse)
    proxy = start(server, workers=1, timeouts={"query": "3s"})
    assert_fails(proxy, "none.example", within=10)
    assert len(server.connections) < 60
    server.settings, server.on_query = DEFAULT_SETTINGS, None
    wait_for(lambda: ask(proxy.address, f"some{len(server.connections)}.example").answer)


def without_window(proxy, https):
    """Has the connection know that no octet of a request's body may be sent."""
    assert_answered(proxy, "warm.example")
    connection = https.connections[0]
    acknowledged = connection.acknowledged
    connection.announce({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    https.wait(lambda _: connection.acknowledged > acknowledged)
    return connection


def test_a_request_waits_for_what_the_server_permits(proxy, https):
    """E89: its body is sent when it may be."""
    connection = without_window(proxy, https)
    with TcpClient(proxy.address) as client:
        client.send(wire.query("waits.example", id=1))
        https.wait(lambda _: len(connection.begun) == 2)
        assert not https.asked("waits.example")
        stream = max(connection.begun)
        connection.open_window(stream, 100)
        connection.open_window(stream, 1000)
        assert wire.address_in(client.receive()) == wire.address_of("waits.example")


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_may_come_before_the_question(proxy, https, status):
    """E83: by headers alone; it is the end of that request, and of nothing else."""
    connection = without_window(proxy, https)
    with TcpClient(proxy.address) as client:
        client.send(wire.query("early.example", id=1))
        https.wait(lambda _: len(connection.begun) == 2)
        connection.announce({SettingCodes.INITIAL_WINDOW_SIZE: 65535})
        early = wire.answer(wire.query("early.example", id=0))
        connection.respond(max(connection.begun), Reply(early, status))
        assert wire.address_in(client.receive()) == wire.address_of("early.example")
    assert_answered(proxy, "after.example")


def test_a_server_that_never_permits_it_is_left(proxy, https):
    """E89: the next connection may be better, long before the question's deadline."""
    connection = without_window(proxy, https)
    began = awake()
    assert_answered(proxy, "left.example")
    assert awake() - began < 10
    assert len(connection.begun) > 1 and len(connection.queries) == 1


def test_where_nothing_else_helps_the_deadline_does(start, https):
    """E89: on each connection nothing more is permitted after the first request."""
    proxy = start(https, workers=1, timeouts={"query": "2s"})
    without_window(proxy, https)
    https.refuse()
    assert_fails(proxy, "vain.example", within=10)
    https.start()
    wait_for(lambda: ask(proxy.address, f"better{len(https.connections)}.example").answer)
