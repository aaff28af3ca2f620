# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# How large an answer over UDP may be, and where it comes from: RFC 6891 section 6.2, RFC 9715
# (rules C33-C37, L4).

import dns.flags
import pytest

from harness import wire
from harness.client import TcpClient, ask, tcp, udp, udp_socket
from harness.ipv6 import needs_ipv6
from harness.waiting import free_port

OPT_SIZE = 11
SERVER_MAXIMUM = 1232


@pytest.fixture
def sized(proxy, upstream):
    """Asks for an answer of so many octets before our OPT: sized(size, payload) -> octets."""
    def asking(size, payload, transport=udp):
        upstream.on_query = lambda query: wire.sized_answer(query.raw, size)
        edns = {} if payload is None else {"edns": 0, "payload": payload}
        return transport(proxy.address, wire.query("sized.example", "TYPE65280", **edns))
    return asking


@pytest.mark.parametrize("payload,limit", [
    (None, 512), (0, 512), (1, 512), (511, 512), (512, 512), (513, 513), (900, 900),
    (SERVER_MAXIMUM, SERVER_MAXIMUM), (4096, SERVER_MAXIMUM), (65535, SERVER_MAXIMUM)])
def test_the_limit_is_the_clients_within_the_servers(sized, payload, limit):
    """C33, C34: to the octet."""
    largest = limit - (OPT_SIZE if payload is not None else 0)
    fits = sized(largest, payload)
    assert len(fits) == limit and not wire.parse(fits).flags & dns.flags.TC
    too_large = sized(largest + 1, payload)
    assert len(too_large) <= limit and wire.parse(too_large).flags & dns.flags.TC


@pytest.mark.parametrize("payload", [None, 512, 1232])
def test_what_does_not_fit_is_left_out_whole(sized, payload):
    """C35: the question and the OPT stay, no part of an RRset does."""
    message = wire.parse(sized(4000, payload))
    assert message.flags & dns.flags.TC and len(message.question) == 1
    assert message.edns == (-1 if payload is None else 0)
    assert not message.answer


def test_truncation_is_decided_for_each_client(proxy, upstream):
    """C36, C95: of clients that wait for the same answer, some get it whole."""
    upstream.on_query = lambda query: wire.answer(query.raw)
    upstream.hold("joint.example.")
    held = []
    with udp_socket(proxy.address) as small, udp_socket(proxy.address) as large, \
            TcpClient(proxy.address) as stream:
        for sock, payload in ((small, 512), (large, 1232)):
            sock.send(wire.query("joint.example", "TYPE65280", edns=0, payload=payload))
            held.append(sock)
        stream.send(wire.query("joint.example", "TYPE65280", edns=0))
        stream.send(wire.query("sentinel.example"))
        stream.receive()
        query = upstream.wait_for_query("joint.example")
        query.connection.send(wire.sized_answer(query.raw, 1000))
        assert small.recv(65536)[2] & 2
        assert len(large.recv(65536)) == 1000 + OPT_SIZE
        assert len(stream.receive()) == 1000 + OPT_SIZE
    assert len(upstream.asked("joint.example")) == 1


def test_a_truncated_answer_is_whole_over_tcp(sized):
    """C36"""
    assert wire.parse(sized(3000, 1232)).flags & dns.flags.TC
    assert len(sized(3000, 1232, tcp)) == 3000 + OPT_SIZE


def test_a_long_explanation_does_not_burst_the_limit(proxy, upstream):
    """L4: 60 kB of Extended DNS Error; it goes before the answer does."""
    def reply(query):
        error = wire.option(wire.EDE, b"\0\x16" + b"x" * 60000)
        return wire.answer(query.raw, options=[error])
    upstream.on_query = reply
    for payload in (512, 1232):
        message = wire.query("ede.example", edns=0, payload=payload)
        answer = udp(proxy.address, message)
        assert len(answer) <= payload
        assert wire.parse(answer).answer and not answer[2] & 2


@pytest.mark.parametrize("wildcard,asked", [
    ("0.0.0.0", "127.0.0.2"), ("0.0.0.0", "127.0.0.1"),
    pytest.param("::", "::1", marks=needs_ipv6)])
def test_answers_come_from_the_address_that_was_asked(start, upstream, wildcard, asked):
    """C37: a connected socket takes datagrams from nowhere else."""
    proxy = start(upstream, listen=[(wildcard, free_port(("0.0.0.0", "::")))])
    address = (asked, proxy.address[1])
    for transport in ("udp", "tcp"):
        answer = ask(address, "where.example", transport=transport)
        assert str(answer.answer[0][0]) == wire.address_of("where.example")


def test_answers_go_to_the_port_that_asked(proxy):
    """C37: also where many sockets ask at once."""
    sockets = [udp_socket(proxy.address) for _ in range(50)]
    for number, sock in enumerate(sockets):
        sock.send(wire.query(f"port{number}.example", id=1))
    for number, sock in enumerate(sockets):
        assert wire.address_in(sock.recv(65536)) == wire.address_of(f"port{number}.example")
        sock.close()


@needs_ipv6
def test_ipv6_listeners_answer(start, upstream):
    """C1, C37"""
    proxy = start(upstream, listen=[("::1", free_port()), ("127.0.0.1", free_port())])
    for address in proxy.listen:
        for transport in ("udp", "tcp"):
            assert ask(address, "six.example", transport=transport).answer


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_a_listener_can_be_narrowed_to_one_protocol(start, upstream, protocol):
    """The `protocols` key: the other protocol's port is closed."""
    address = ("127.0.0.1", free_port())
    start(upstream, listen=[(*address, [protocol])])
    assert ask(address, "narrow.example", transport=protocol).answer
    other = tcp if protocol == "udp" else udp
    with pytest.raises(ConnectionRefusedError):
        other(address, wire.query("narrow.example"))
