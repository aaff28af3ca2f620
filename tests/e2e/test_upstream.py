# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# How dotproxy uses an upstream that does nothing wrong: connections, sessions, IDs, questions that
# are asked once (rules C70-C75, C95-C99, L12-L15, L73).

import dns.rcode
import pytest

from harness import wire
from harness.client import TcpClient, ask, udp_socket
from harness.load import flood
from harness.process import kill
from harness.upstream import CLOSE_NOTIFY, FIN, RESET
from harness.waiting import wait_for


def test_one_connection_serves_a_quiet_network(start, upstream):
    """C9, C70: whatever the number of workers; one handshake for all. A second one is for the case
    that this machine is busy, and so was the worker for a moment. With several such moments there
    are more, but not each time."""
    def are_few():
        proxy, before = start(upstream, workers=4), len(upstream.connections)
        for number in range(200):
            ask(proxy.address, f"quiet{number}.example")
        connections = upstream.connections[before:]
        return len(connections) <= 2 and len(connections[0].queries) > 150
    assert any(are_few() for _ in range(5))


def test_nothing_is_connected_before_the_first_question(start, upstream):
    """C70: connections are opened on demand."""
    proxy = start(upstream)
    ask(proxy.address, "version.bind", "TXT", rdclass="CH")
    assert not upstream.connections


def test_queries_of_a_turn_share_a_record(proxy, upstream):
    """C3: many messages in one TLS record."""
    ask(proxy.address, "warm.example")
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query(f"record{n}.example", id=n) for n in range(100)))
        client.receive_all(100)
    records = upstream.connections[0].queries_per_record
    assert sum(records) == 101 and len(records) < 30


@pytest.mark.parametrize("how", [FIN, RESET, CLOSE_NOTIFY])
def test_the_end_of_an_idle_connection_is_not_noticed(proxy, upstream, how):
    """C70, L34: the next question gets a new connection, and its answer."""
    for number in range(20):
        assert ask(proxy.address, f"idle{number}.example").answer
        upstream.connections[-1].close(how)
    assert len(upstream.handshakes) == 20
    # Each was asked once. After a reset there may be a question of dotproxy's own before it.
    assert len([query for query in upstream.queries if query.name.startswith("idle")]) == 20


def test_sessions_are_resumed_and_tickets_used_once(proxy, upstream):
    """C71, targets: always resumed after a reconnect, and after the check at the start."""
    for number in range(8):
        ask(proxy.address, f"resume{number}.example")
        upstream.connections[-1].close(CLOSE_NOTIFY)
    assert [connection.resumed for connection in [*upstream.checks, *upstream.handshakes]] == \
        [False] + [True] * 8
    tickets = [ticket for one in upstream.handshakes for ticket in one.hello.tickets]
    assert len(tickets) == len(set(tickets)) >= 7


def test_an_idle_connection_is_closed_in_order(start, upstream):
    """C73: with close_notify, and after the configured time."""
    proxy = start(upstream, workers=1, timeouts={"upstream_idle": "300ms"})
    ask(proxy.address, "idle.example")
    upstream.wait(lambda up: up.connections[0].ended, timeout=5)
    assert upstream.connections[0].ended == CLOSE_NOTIFY


def test_many_equal_questions_go_up_once(proxy, upstream):
    """C95, L17: 1,000 clients, one question, one query; each has its own ID and spelling back."""
    upstream.hold("equal.example.")
    sockets = [udp_socket(proxy.address) for _ in range(1000)]
    try:
        for number, sock in enumerate(sockets):
            sock.send(wire.query("EQUAL.example" if number % 2 else "equal.EXAMPLE", id=number))
            if number % 50 == 49:
                # One worker takes datagrams in turn: what was sent before this is in.
                ask(proxy.address, f"sentinel{number}.example")
        upstream.release("equal.example.")
        for number, sock in enumerate(sockets):
            answer = sock.recv(65536)
            assert wire.address_in(answer) == wire.address_of("equal.example")
            assert answer[:2] == number.to_bytes(2, "big")
            assert (b"\5EQUAL" in answer) == bool(number % 2)
    finally:
        for sock in sockets:
            sock.close()
    assert len(upstream.asked("equal.example")) == 1


def test_questions_that_differ_are_not_joined(proxy, upstream):
    """C80, C95, L20: type, class, DO, CD, RD are part of the question."""
    upstream.hold("joined.example.")
    variants = [{}, {"rdtype": "TXT"}, {"rdclass": "HS"}, {"do": True}, {"flags": 0x0110},
                {"flags": 0}, {"edns": 0}]
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query("joined.example", id=n, **how)
                      for n, how in enumerate(variants)))
        ask(proxy.address, "sentinel.example", transport="tcp")
        upstream.wait_for_query("joined.example", 6)
        upstream.release("joined.example.")
        assert len(client.receive_all(len(variants))) == len(variants)
    # EDNS alone is our client's affair and no difference.
    assert len(upstream.asked("joined.example")) == 6


def test_answers_of_equal_questions_fit_each_client(proxy, upstream):
    """C41, C95: an OPT for who sent one, to one and the same upstream answer."""
    upstream.hold("own.example.")
    with TcpClient(proxy.address) as client:
        client.send(wire.query("own.example", id=1), wire.query("own.example", id=2, edns=0),
                    wire.query("own.example", id=3, options=[(wire.KEEPALIVE, b"")]))
        ask(proxy.address, "sentinel.example", transport="tcp")
        upstream.release("own.example.")
        answers = {key[1]: wire.parse(raw) for key, raw in client.receive_all(3).items()}
    assert [answers[n].edns for n in (1, 2, 3)] == [-1, 0, 0]
    assert [len(wire.options_of(answers[n], wire.KEEPALIVE)) for n in (1, 2, 3)] == [0, 0, 1]
    assert len(upstream.asked("own.example")) == 1


def test_clients_with_one_id_get_their_own_answers(proxy, upstream):
    """L14: the same ID at the same time, answered in another order."""
    names = [f"same{n}.example." for n in range(20)]
    for name in names:
        upstream.hold(name)
    sockets = [udp_socket(proxy.address) for _ in names]
    for sock, name in zip(sockets, names):
        sock.send(wire.query(name, id=1234))
    upstream.wait(lambda up: len(up.queries) == 20)
    for name in reversed(names):
        upstream.release(name)
    for sock, name in zip(sockets, names):
        assert wire.address_in(sock.recv(65536)) == wire.address_of(name)
        sock.close()


def test_ids_in_flight_are_never_shared(proxy, upstream):
    """C7, C97, L15: unique while in flight; not the client's, nor counted up."""
    names = [f"flight{n}.example." for n in range(100)]
    for name in names:
        upstream.hold(name)
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query(name, id=n) for n, name in enumerate(names)))
        upstream.wait(lambda up: len(up.queries) == 100)
        ids = [query.id for query in upstream.queries]
        for name in names:
            upstream.release(name)
        client.receive_all(100)
    assert len(set(ids)) == 100
    assert ids != list(range(100))
    assert sorted(ids)[:10] != list(range(10))


def test_clients_do_not_choose_ids(proxy, upstream):
    """L15: the same ID from the client, again and again."""
    for number in range(50):
        ask(proxy.address, f"chosen{number}.example", id=4242)
    ids = [query.id for query in upstream.queries]
    assert ids.count(4242) < 5


def test_workers_do_not_share_their_randomness(start, upstream):
    """L73, G12: two workers' first IDs differ."""
    proxy = start(upstream, workers=1)
    firsts = []
    for _ in range(2):
        old, = proxy.workers()
        before = len(upstream.queries)
        for number in range(10):
            ask(proxy.address, f"first{number}.example")
        firsts.append([query.id for query in upstream.queries[before:]])
        kill(old)
        wait_for(proxy.workers)
    assert firsts[0] != firsts[1]


def test_twenty_thousand_answers_reach_their_questions(start, upstream):
    """L12, C97-C99: many more than there are IDs at a time, none crossed, none lost."""
    proxy = start(upstream, workers=1)
    asked = flood(proxy.address, (f"many{n}.example" for n in range(20000)), window=100)
    assert len(asked) == 20000
    assert not [one for one in asked if one.crossed]
    assert all(one.good for one in asked)


def test_one_thousand_queries_at_once(start, upstream):
    """C5, C99: in flight together, released in reverse."""
    proxy = start(upstream, workers=1, limits={"queries_per_client": 1000})
    names = [f"at-once{n}.example." for n in range(1000)]
    for name in names:
        upstream.hold(name)
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query(name, id=n) for n, name in enumerate(names)))
        upstream.wait(lambda up: len(up.queries) >= 1000)
        for name in reversed(names):
            upstream.release(name)
        answers = client.receive_all(1000)
    for number, name in enumerate(names):
        assert wire.address_in(answers[number.to_bytes(2, "big")]) == wire.address_of(name)


def test_unsolicited_answers_are_ignored(proxy, upstream):
    """L13: all 65,536 IDs, in the middle of the stream; the answers before and after are good.

    Whether such a stream is left (L83) or not, the question in the middle gets its answer.
    """
    def every_id(query):
        if query.name == "everything.example." and len(upstream.asked(query.name)) == 1:
            good = wire.answer(query.raw)
            for start in range(0, 65536, 256):
                query.connection.send(*(wire.set_id(good, ident)
                                        for ident in range(start, start + 256)
                                        if ident != query.id))
            query.connection.send(good)
            return None
        return wire.answer(query.raw)
    upstream.on_query = every_id
    for name in ("before.example", "everything.example", "after.example"):
        answer = ask(proxy.address, name)
        assert str(answer.answer[0][0]) == wire.address_of(name)


def test_the_id_of_a_question_given_up_stays_taken(start, upstream):
    """C98: its late answer is for nobody, though 200 questions follow."""
    proxy = start(upstream, workers=1, timeouts={"query": "2s"})
    upstream.hold("given-up.example.")
    assert ask(proxy.address, "given-up.example").rcode() == dns.rcode.SERVFAIL
    late = upstream.asked("given-up.example")
    for number in range(200):
        assert ask(proxy.address, f"later{number}.example").answer
    for query in upstream.queries:
        for earlier in late:
            assert query in late or query.connection is not earlier.connection \
                or query.id != earlier.id
    upstream.release("given-up.example.")
    answer = ask(proxy.address, "last.example")
    assert str(answer.answer[0][0]) == wire.address_of("last.example")


def test_there_is_a_limit_to_waiting_questions(start, upstream):
    """C96, L30: beyond it SERVFAIL at once, and the service goes on when they are answered."""
    proxy = start(upstream, workers=1, limits={"queries": 64, "queries_per_client": 1000})
    names = [f"limit{n}.example." for n in range(200)]
    for name in names:
        upstream.hold(name)
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query(name, id=n) for n, name in enumerate(names)))
        refused = [client.receive() for _ in range(200 - 64)]
        assert {message[3] & 15 for message in refused} == {dns.rcode.SERVFAIL}
        for name in names:
            upstream.release(name)
        assert all(wire.address_in(client.receive()) for _ in range(64))
    assert ask(proxy.address, "after.example").answer
