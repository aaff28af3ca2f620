# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Upstreams that answer wrongly, or end their connections at the wrong time (rules C13, C39, C74,
# L34, L80-L85). One bad name is asked among good ones: the bad one gets SERVFAIL that says why,
# the good ones are answered.

import itertools
import signal
import struct
import time

import dns.rcode
import pytest

from harness import wire
from harness.client import TRANSPORTS, TcpClient, ask, tcp
from harness.upstream import CLOSE_NOTIFY, FIN, RESET
from harness.waiting import awake

ENDINGS = pytest.mark.parametrize("how", [FIN, RESET, CLOSE_NOTIFY])
BAD = "bad.example."
# L83, L84: how soon a good name is answered after a fault. The rule says one second.
AT_ONCE = 1.0


@pytest.fixture
def spoil(proxy, upstream):
    """Gives the bad name a script of its own: spoil(script) -> (proxy, upstream)."""
    def make(script):
        upstream.on_query = lambda query: \
            script(query) if query.name == BAD else wire.answer(query.raw)
        return proxy, upstream
    return make


def assert_contained(proxy, upstream, at_once=True):
    """The bad name fails cleanly, at most three times asked (C74, L81); good ones do not notice."""
    assert ask(proxy.address, "before.example").answer
    for transport in TRANSPORTS:
        asked = len(upstream.asked(BAD))
        began = awake()
        failure = ask(proxy.address, BAD, edns=0, transport=transport)
        assert failure.rcode() == dns.rcode.SERVFAIL and wire.errors_of(failure)
        assert not failure.answer and not failure.authority and not failure.additional
        if at_once:
            assert awake() - began < 2, "SERVFAIL came late"
        assert 1 <= len(upstream.asked(BAD)) - asked <= 3
        assert_good(proxy)


def longest_wait(proxy, count):
    """Asks for good names, and returns how long the answer took that took longest."""
    waits = []
    for _ in range(count):
        began = awake()
        name = f"good{time.monotonic_ns()}.example"
        answer = ask(proxy.address, name)
        assert [str(rdata) for rdata in answer.answer[0]] == [wire.address_of(name)]
        waits.append(awake() - began)
    return max(waits)


def assert_good(proxy, count=3):
    assert longest_wait(proxy, count) < AT_ONCE, "a good name came late"


def assert_mostly_at_once(waits):
    """Of three times, one may be the machine's doing."""
    assert len(waits) == 3 and sorted(waits)[1] < AT_ONCE, f"good names came late: {waits}"


# Ends of connections.

@ENDINGS
def test_an_upstream_that_closes_after_each_answer_loses_nothing(proxy, upstream, how):
    """L34: 0 SERVFAIL, one after the other and many at a time."""
    def answer_and_close(query):
        query.answer()
        query.connection.close(how)
    upstream.on_query = answer_and_close
    for number in range(100):
        name = f"one{number}.example"
        answer = ask(proxy.address, name)
        assert answer.answer and str(answer.answer[0][0]) == wire.address_of(name)


@ENDINGS
def test_an_upstream_that_closes_after_some_answers_loses_nothing(proxy, upstream, how):
    """C13, L34: what is in flight at the end of a connection is asked again on another."""
    def close_after_five(query):
        if len(query.connection.queries) > 5:
            query.connection.close(how)
            return None
        return wire.answer(query.raw)
    upstream.on_query = close_after_five
    with TcpClient(proxy.address) as client:
        for turn in range(10):
            client.send(*(wire.query(f"some{turn}-{n}.example", id=n) for n in range(8)))
            answers = client.receive_all(8)
            for number in range(8):
                assert wire.address_in(answers[bytes([0, number])]) == \
                    wire.address_of(f"some{turn}-{number}.example")


@ENDINGS
def test_an_upstream_that_closes_instead_of_an_answer_is_asked_three_times(proxy, upstream, how):
    """L81, C74: then SERVFAIL that says why; never silence."""
    def close(query):
        query.connection.close(how)
    upstream.on_query = close
    failure = ask(proxy.address, "never.example", edns=0)
    assert failure.rcode() == dns.rcode.SERVFAIL and set(wire.errors_of(failure)) & {22, 23}
    assert 1 <= len(upstream.asked("never.example")) <= 3
    upstream.on_query = None
    assert_good(proxy)


@ENDINGS
def test_a_name_that_ends_connections_does_not_harm_others(spoil, how):
    """L80: other names are answered throughout, and at most one reconnect late."""
    proxy, upstream = spoil(lambda query: query.connection.close(how))
    assert_contained(proxy, upstream)


@pytest.mark.parametrize("place", ["first", "last"])
def test_a_name_that_ends_connections_does_not_harm_its_neighbours(spoil, place):
    """L80: those in flight on the same connection at the same time, before and behind it."""
    proxy, upstream = spoil(lambda query: query.connection.close(RESET))
    with TcpClient(proxy.address) as client:
        for turn in range(10):
            good = [f"near{turn}-{n}.example" for n in range(10)]
            queries = [wire.query(name, id=n) for n, name in enumerate(good)]
            queries.insert(0 if place == "first" else len(queries), wire.query(BAD, id=99))
            client.send(*queries)
            answers = client.receive_all(11)
            assert answers[b"\0\x63"][3] & 15 == dns.rcode.SERVFAIL
            for number, name in enumerate(good):
                assert wire.address_in(answers[bytes([0, number])]) == wire.address_of(name)


@pytest.mark.parametrize("order", [signal.SIGTERM, signal.SIGHUP])
def test_a_worker_that_ends_takes_leave(start, upstream, order):
    """C73: the server is told so, and need not find out."""
    proxy = start(upstream, workers=1)
    assert ask(proxy.address, "before.example").answer
    first, = upstream.open_connections
    proxy.reload() if order == signal.SIGHUP else proxy.stop()
    upstream.wait(lambda _: first.ended)
    assert first.ended == CLOSE_NOTIFY


# One connection for very many questions (L12).

def _quick_query(number, ident):
    return wire.header(ident, 0x0100, 1) + wire.question(f"many{number}.example")


def test_200_000_questions_on_one_slow_connection(start, upstream):
    """L12, C97-C99: IDs are used again and again, out of order, some never answered; every answer
    is the one that was asked for."""
    total, window, batch = 200_000, 2000, 500
    unanswered = total // 1000
    waiting, come = [], itertools.count(1)

    def answer_later(query):
        upstream.queries.clear()  # 200,000 of them are not to be kept
        query.connection.queries.clear()
        if query.name.endswith("999.example."):
            return
        waiting.append(query.raw)
        last = next(come) == total - unanswered
        if len(waiting) == batch or last:
            query.connection.send(*(wire.answer(raw) for raw in reversed(waiting)))
            waiting.clear()
    upstream.on_query = answer_later
    # Patience enough that no answer is late, however busy the machine.
    proxy = start(upstream, workers=1, timeouts={"query": "30s"},
                  limits={"queries_per_client": 65535})
    asked, answered, wrong, in_flight = 0, 0, [], {}
    with TcpClient(proxy.address) as client:
        while answered < total - unanswered:
            if len(in_flight) <= window + unanswered - batch and asked < total:
                numbers = range(asked, asked + batch)
                in_flight.update((number & 0xffff, number) for number in numbers)
                client.send(*(_quick_query(number, number & 0xffff) for number in numbers))
                asked += batch
            message = client.receive()
            number = in_flight.pop(struct.unpack_from("!H", message)[0])
            name = f"many{number}.example"
            if wire.question_name(message) != name + "." or \
                    wire.address_in(message) != wire.address_of(name):
                wrong.append(number)
            answered += 1
    assert not wrong
    assert len(upstream.handshakes) == 1


# Messages that are no answers (L82).

def _name_of(query):
    return query.raw[12:wire.question_end(query.raw)]


A_RECORD = wire.record(b"\xc0\x0c", 1, b"\x0a\1\2\3")


def _with_header(query, **changes):
    """A good answer with some of its counts or flags replaced."""
    fields = list(wire.HEADER.unpack_from(wire.answer(query.raw, edns=False)))
    for place, value in changes.items():
        fields[("id", "flags", "qd", "an", "ns", "ar").index(place)] = value
    return wire.HEADER.pack(*fields) + wire.answer(query.raw, edns=False)[12:]


MALFORMED = {
    "foreign owner": lambda q: wire.answer(
        q.raw, records=[wire.record("other.example", 1, b"\1\2\3\4")]),
    "another type": lambda q: wire.answer(
        q.raw, records=[wire.record(b"\xc0\x0c", 16, b"\2hi")]),
    "another class": lambda q: wire.answer(
        q.raw, records=[wire.record(b"\xc0\x0c", 1, b"\1\2\3\4", rdclass=3)]),
    "foreign owners, with what leads to them": lambda q: wire.answer(
        q.raw, records=[wire.record("alias.example", 5, wire.name("other.example")),
                        wire.record("other.example", 1, b"\1\2\3\4")]),
    "pointer to itself": lambda q: wire.answer(
        q.raw, records=[wire.record(b"\xc0" + bytes([len(_name_of(q)) + 12]), 1, b"\1\2\3\4")]),
    "pointer forwards": lambda q: wire.answer(
        q.raw, records=[wire.record(b"\xc0\xff", 1, b"\1\2\3\4"), b"\0" * 300]),
    "pointer past the end": lambda q: wire.answer(
        q.raw, records=[wire.record(b"\xff\xff", 1, b"\1\2\3\4")]),
    "label of an unknown kind": lambda q: wire.answer(
        q.raw, records=[wire.record(b"\x80abc\0", 1, b"\1\2\3\4")]),
    "an address of three octets": lambda q: wire.answer(
        q.raw, records=[A_RECORD, wire.record(b"\xc0\x0c", 1, b"\1\2\3")]),
    "an unsound record beside the answer": lambda q: wire.answer(
        q.raw, records=[A_RECORD],
        authority=[wire.record(b"\xc0\x0c", 16, b"\5abc")]),
    "more answers than there are": lambda q: _with_header(q, an=2),
    "65,535 answers": lambda q: _with_header(q, an=65535, ns=65535, ar=65535),
    "fewer answers than there are": lambda q: _with_header(q, an=0),
    "trailing octets": lambda q: wire.answer(q.raw) + b"\0\0\0",
    "RDATA past the end": lambda q: wire.answer(
        q.raw, records=[b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\x40\1\2\3\4"]),
    "two OPT": lambda q: wire.answer(q.raw, additional=[wire.opt()]),
    "OPT among the answers": lambda q: wire.answer(q.raw, records=[A_RECORD, wire.opt()]),
    "TC": lambda q: wire.answer(q.raw, flags=0x8280),
    "no question": lambda q: wire.header(q.id, 0x8180, 0, 1) + wire.record(
        BAD, 1, b"\1\2\3\4"),
    "header alone": lambda q: wire.header(q.id, 0x8180),
    "two questions": lambda q: wire.header(q.id, 0x8180, 2) + _name_of(q) * 2,
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_message_that_is_no_answer_is_not_passed_on(spoil, case):
    """L82, C39 (TC over a stream), 1.7 step 5."""
    assert_contained(*spoil(MALFORMED[case]))


ALIAS = wire.record(b"\xc0\x0c", 5, wire.name("alias.example"))
AT_ALIAS = wire.record("alias.example", 1, b"\x0a\1\2\3")
BESIDE = {
    "behind": ([A_RECORD], [A_RECORD, wire.record("bank.example", 1, b"\6\6\6\6")]),
    "in front": ([A_RECORD], [wire.record("bank.example", 1, b"\6\6\6\6"), A_RECORD]),
    "another type": ([A_RECORD], [wire.record(b"\xc0\x0c", 16, b"\2hi"), A_RECORD]),
    "another class": ([A_RECORD], [wire.record(b"\xc0\x0c", 1, b"\6\6\6\6", rdclass=3), A_RECORD]),
    "within a chain": ([ALIAS, AT_ALIAS], [
        ALIAS, wire.record("bank.example", 5, wire.name("alias.example")), AT_ALIAS]),
    "an alias to nowhere near": ([ALIAS], [ALIAS, wire.record("bank.example", 1, b"\6\6\6\6")]),
}


@pytest.mark.parametrize("case", BESIDE)
def test_records_beside_the_answer_are_left_out_and_the_rest_gets_through(proxy, upstream, case):
    """L82, L18, RFC 2181 section 5.4.1: and so it is from the cache."""
    right, records = BESIDE[case]
    name = f"{case.replace(' ', '-')}.example"
    upstream.on_query = lambda query: wire.answer(query.raw, records=records)
    expected = dns.message.from_wire(wire.answer(
        dns.message.make_query(name, "A").to_wire(), records=right, edns=False)).answer
    for _ in range(2):
        answer = ask(proxy.address, name)
        assert answer.rcode() == dns.rcode.NOERROR
        assert answer.answer == expected


FOREIGN = {
    "another name": lambda q: wire.header(q.id, 0x8180, 1, 1) + wire.question(
        "evil.example") + A_RECORD,
    "another type asked": lambda q: wire.header(q.id, 0x8180, 1, 1) + wire.question(
        BAD, 16) + wire.record(b"\xc0\x0c", 16, b"\2hi"),
    "another class asked": lambda q: wire.header(q.id, 0x8180, 1) + wire.question(BAD, 1, 3),
    "a name cut short": lambda q: wire.header(q.id, 0x8180, 1) + wire.question("example"),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_an_answer_to_another_question_is_not_passed_on(spoil, case):
    """C8, L82, 1.7 step 4: the stream cannot be trusted any more; others are asked again."""
    assert_contained(*spoil(FOREIGN[case]))


IGNORED = {
    "a query": lambda q: q.raw,
    "another opcode": lambda q: wire.answer(q.raw, flags=0x8080 | 5 << 11),
    "another ID": lambda q: wire.set_id(wire.answer(q.raw), q.id ^ 0x5555),
}


@pytest.mark.parametrize("case", IGNORED)
def test_what_is_no_response_to_anything_is_ignored(start, upstream, case):
    """1.7 steps 2 and 3: the question fails when its time is up, and not before others."""
    proxy = start(upstream, workers=1, timeouts={"query": "1s"})
    upstream.on_query = lambda query: \
        IGNORED[case](query) if query.name == BAD else wire.answer(query.raw)
    assert_contained(proxy, upstream, at_once=False)


# Streams that make no sense (L83, L84, L85).

def _frame(message):
    return len(message).to_bytes(2, "big") + message


SHIFTED = {
    "length too long": lambda good: (len(good) + 7).to_bytes(2, "big") + good,
    "length much too long": lambda good: b"\xff\xff" + good,
    "length too short": lambda good: (len(good) - 7).to_bytes(2, "big") + good,
    "length shorter than a header": lambda good: b"\0\x05" + good,
    "length of nothing": lambda good: b"\0\0" + good,
    "no length": lambda good: good,
    "garbage": lambda good: bytes(range(255, 0, -1)) * 4,
    "zeros": lambda good: bytes(400),
    "text": lambda good: b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n" * 5,
}


@pytest.mark.parametrize("case", SHIFTED)
def test_a_shifted_stream_is_left(start, upstream, case):
    """L83: good names are answered within a second after it, those in flight included."""
    proxy = start(upstream, workers=1, timeouts={"query": "3s"})

    def shift(query):
        if query.name == BAD:
            query.connection.send_octets(SHIFTED[case](wire.answer(query.raw)))
            return None
        return wire.answer(query.raw)
    upstream.on_query = shift
    assert_good(proxy)
    waits = []
    for _ in range(3):
        with TcpClient(proxy.address) as client:
            client.send(wire.query(BAD, id=1))
            upstream.wait_for_query(BAD)
            waits.append(longest_wait(proxy, 5))
            # What cannot be read as an answer is not one, and the client hears so.
            assert client.receive()[3] & 15 == dns.rcode.SERVFAIL
    assert_mostly_at_once(waits)
    assert len(upstream.asked(BAD)) <= 9


@pytest.mark.parametrize("octets", [1, 2, 20])
def test_a_frame_that_never_ends_is_not_waited_for(start, upstream, octets):
    """L84: half a frame and then nothing, while questions keep coming."""
    proxy = start(upstream, workers=1, timeouts={"query": "3s"})

    def half(query):
        if query.name == BAD:
            query.connection.send_octets(_frame(wire.answer(query.raw))[:octets])
            query.connection.silent = True
        return None if hasattr(query.connection, "silent") else wire.answer(query.raw)
    upstream.on_query = half
    assert_good(proxy)
    waits = []
    for _ in range(3):
        before = len(upstream.asked(BAD))
        with TcpClient(proxy.address) as client:
            client.send(wire.query(BAD, id=1))
            upstream.wait_for_query(BAD, before + 1)
            waits.append(longest_wait(proxy, 5))
            assert client.receive()[3] & 15 == dns.rcode.SERVFAIL
        assert len(upstream.asked(BAD)) - before <= 3
    assert_mostly_at_once(waits)


def test_answers_given_twice_are_counted_and_ignored(proxy, upstream):
    """L85: the stream goes on, all later answers are right."""
    def twice(query):
        query.answer()
        query.answer()
        query.connection.send(wire.answer(query.raw), wire.answer(query.raw))
    upstream.on_query = twice
    with TcpClient(proxy.address) as client:
        for turn in range(20):
            names = [f"twice{turn}-{n}.example" for n in range(20)]
            client.send(*(wire.query(name, id=n) for n, name in enumerate(names)))
            answers = client.receive_all(20)
            for number, name in enumerate(names):
                assert wire.address_in(answers[bytes([0, number])]) == wire.address_of(name)
    assert len(upstream.connections) == 1


def test_answers_in_pieces_are_put_together(proxy, upstream):
    """C2: a frame over many TLS records, many frames in one."""
    def crumble(query):
        for octet in _frame(wire.answer(query.raw)):
            query.connection.send_octets(bytes([octet]))
    upstream.on_query = crumble
    assert_good(proxy)
    assert len(upstream.connections) == 1


# What is right, though unusual.

ALIASES = {
    "CNAME": ("alias.example", [
        wire.record(b"\xc0\x0c", 5, wire.name("one.example")),
        wire.record(b"\xc0\x0c", 46, b"\0\5" + b"\1" * 16 + b"\0sig"),
        wire.record("one.example", 5, wire.name("two.example")),
        wire.record("two.example", 1, b"\x0a\0\0\1"),
        wire.record("two.example", 1, b"\x0a\0\0\2"),
        wire.record("two.example", 46, b"\0\1" + b"\1" * 16 + b"\0sig")]),
    "DNAME": ("a.tree.example", [
        wire.record("tree.example", 39, wire.name("wood.example")),
        wire.record("tree.example", 46, b"\0\x27" + b"\1" * 16 + b"\0sig"),
        wire.record(b"\xc0\x0c", 5, wire.name("a.wood.example")),
        wire.record("a.wood.example", 1, b"\x0a\0\0\3")]),
    "CNAME to nothing": ("alias.example", [
        wire.record(b"\xc0\x0c", 5, wire.name("nothing.example"))]),
}


@pytest.mark.parametrize("kind", ALIASES)
def test_aliases_are_followed(proxy, upstream, kind):
    """L82: chains, and the signatures that go with them."""
    name, records = ALIASES[kind]
    upstream.on_query = lambda query: wire.answer(query.raw, records=records, edns=False)
    message = wire.query(name)
    assert tcp(proxy.address, message)[12:] == message[12:] + b"".join(records)


def test_answers_spell_names_as_they_like(proxy, upstream):
    """1.7 step 4: QNAMEs are compared without case."""
    def shout(query):
        good = wire.answer(query.raw)
        end = wire.question_end(good)
        return good[:12] + good[12:end - 4].upper() + good[end - 4:]
    upstream.on_query = shout
    assert_good(proxy)
