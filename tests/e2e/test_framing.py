# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Messages on streams: RFC 1035 section 4.2.2, RFC 7766 (rules C1-C18).

import socket
import struct
import time

import pytest

from harness import wire
from harness.client import TcpClient, ask
from harness.waiting import awake, wait_for


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_both_transports_are_answered_alike(proxy, transport):
    """C1"""
    answer = ask(proxy.address, "alike.example", transport=transport)
    assert [str(rdata) for rdata in answer.answer[0]] == [wire.address_of("alike.example")]


def test_a_message_may_come_octet_by_octet(proxy):
    """C2: the prefix in two parts, the body anywhere."""
    message = wire.query("octets.example", id=77)
    with TcpClient(proxy.address) as client:
        for octet in struct.pack("!H", len(message)) + message:
            client.send_octets(bytes([octet]))
        assert client.receive()[:2] == message[:2]


def test_many_messages_may_come_in_one_segment(proxy):
    """C2"""
    queries = [wire.query(f"segment{n}.example", id=n) for n in range(40)]
    with TcpClient(proxy.address) as client:
        client.send(*queries)
        answers = client.receive_all(40)
    for number, message in enumerate(queries):
        assert wire.address_in(answers[message[:2]]) == wire.address_of(f"segment{number}.example")


def test_prefix_and_body_leave_in_one_write(proxy, upstream):
    """C3, at both sides: what arrives first is whole."""
    with TcpClient(proxy.address) as client:
        for number in range(50):
            client.send(wire.query(f"write{number}.example"))
            octets = client.socket.recv(65536)
            assert len(octets) == 2 + struct.unpack_from("!H", octets)[0]
    assert 0 not in upstream.connections[0].queries_per_record


def test_a_connection_stays_open_after_an_answer(proxy):
    """C4"""
    with TcpClient(proxy.address) as client:
        for number in range(5):
            client.send(wire.query(f"again{number}.example", id=number))
            assert client.receive()[:2] == struct.pack("!H", number)


def test_a_slow_answer_does_not_delay_a_fast_one(proxy, upstream):
    """C5, C6: pipelined, worked on in parallel, answered out of order."""
    upstream.hold("slow.example.")
    slow, fast = wire.query("slow.example", id=1), wire.query("fast.example", id=2)
    with TcpClient(proxy.address) as client:
        client.send(slow, fast)
        assert client.receive()[:2] == fast[:2]
        upstream.release("slow.example.")
        assert client.receive()[:2] == slow[:2]


def test_upstream_may_answer_out_of_order(proxy, upstream):
    """C6: the last question is answered first."""
    names = [f"order{n}.example." for n in range(30)]
    for name in names:
        upstream.hold(name)
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query(name, id=n) for n, name in enumerate(names)))
        upstream.wait(lambda up: len(up.queries) == 30)
        for name in reversed(names):
            upstream.release(name)
        answers = client.receive_all(30)
    for number, name in enumerate(names):
        assert wire.address_in(answers[struct.pack("!H", number)]) == wire.address_of(name)


def test_octets_without_a_message_do_not_keep_a_connection(start, upstream):
    """C10, L26: only a complete message resets the idle timer."""
    proxy = start(upstream, workers=1, timeouts={"client_idle": "1s"})
    message = wire.query("slow-writer.example")
    began = awake()
    with TcpClient(proxy.address, timeout=0.2) as client:
        def closed_after_one_more_octet():
            # The body never becomes complete: an octet every 0.2 s for more than 100 of them.
            try:
                client.send_octets(octets.pop(0))
                return client.socket.recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True
        octets = [struct.pack("!H", 4000), *(bytes([octet]) for octet in message * 10)]
        wait_for(closed_after_one_more_octet, what="the slow writer to be cut")
    assert awake() - began < 8


def test_an_idle_connection_is_closed_in_time(start, upstream):
    """C11: not before its time, and with FIN."""
    proxy = start(upstream, workers=1, timeouts={"client_idle": "1s"})
    with TcpClient(proxy.address) as client:
        began, began_awake = time.monotonic(), awake()
        client.send(wire.query("idle.example"))
        client.receive()
        assert client.socket.recv(1) == b""
        assert time.monotonic() - began > 0.9
        assert awake() - began_awake < 5


def test_a_waiting_question_keeps_its_connection(start, upstream):
    """C11: a connection is not idle while an answer is due."""
    proxy = start(upstream, workers=1, timeouts={"client_idle": "500ms", "query": "8s"})
    upstream.hold("late.example.")
    with TcpClient(proxy.address) as client:
        client.send(wire.query("late.example"))
        upstream.wait_for_query("late.example")
        client.socket.settimeout(1.5)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        client.socket.settimeout(10)
        upstream.release("late.example.")
        assert wire.address_in(client.receive()) == wire.address_of("late.example")


def test_half_closed_connections_are_answered_and_closed(proxy, upstream):
    """C12: what is in flight when the client ends its half is still answered."""
    upstream.hold("half.example.")
    with TcpClient(proxy.address) as client:
        client.send(wire.query("half.example", id=9), wire.query("other.example", id=10))
        client.finish()
        upstream.wait_for_query("half.example")
        upstream.release("half.example.")
        assert set(client.receive_all(2)) == {b"\0\x09", b"\0\x0a"}
        assert client.is_closed_by_peer()


@pytest.mark.parametrize("how", ["close", "reset"])
def test_answers_for_a_client_that_has_gone_are_dropped(proxy, upstream, how):
    """C12, L43: FIN and RST before the answer."""
    upstream.hold("gone.example.")
    client = TcpClient(proxy.address)
    client.send(wire.query("gone.example"))
    upstream.wait_for_query("gone.example")
    client.reset() if how == "reset" else client.socket.close()
    # One worker, level-triggered: the end of the client is seen before this is answered.
    ask(proxy.address, "between.example", transport="tcp")
    upstream.release("gone.example.")
    ask(proxy.address, "after.example")
    assert len(upstream.connections) == 1


@pytest.mark.parametrize("length", [0, 1, 11])
def test_a_length_that_no_message_has_ends_the_connection(proxy, length):
    """C17"""
    with TcpClient(proxy.address) as client:
        client.send_octets(struct.pack("!H", length) + b"\0" * length)
        assert client.is_closed_by_peer()


def test_a_message_that_stays_incomplete_is_waited_for_then_cut(start, upstream):
    """C17"""
    proxy = start(upstream, workers=1, timeouts={"client_idle": "1s"})
    with TcpClient(proxy.address) as client:
        client.send_octets(struct.pack("!H", 500) + b"\0" * 12)
        began = time.monotonic()
        assert client.is_closed_by_peer()
        assert time.monotonic() - began > 0.5


def test_urgent_data_does_not_upset_the_stream(proxy):
    """C18"""
    message = wire.query("urgent.example", id=4)
    with TcpClient(proxy.address) as client:
        client.send_octets(struct.pack("!H", len(message)) + message[:7])
        client.socket.send(b"!", socket.MSG_OOB)
        client.send_octets(message[7:])
        assert client.receive()[:2] == message[:2]
