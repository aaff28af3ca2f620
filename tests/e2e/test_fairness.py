# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# One client that asks more than it may have, beside all the others. Addresses of this host's own,
# 127.0.0.0/8, are under no limit; so each test has a network in which 10.0.0.0/8 is here as well.

import os
import struct

import pytest

from harness import wire
from harness.client import TcpClient, udp_socket
from harness.network import with_sources

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network")

GREEDY, CALM = "10.0.0.1", "10.0.0.2"


def hush(query):
    """Answers what is asked, but for names that begin with "never"."""
    return None if query.name.startswith("never") else wire.answer(query.raw)


def is_turned_away(answer):
    """Whether it is SERVFAIL, and says that its client is the reason."""
    message = wire.parse(answer)
    return message.rcode() == 2 and wire.options_of(message, wire.EDE) == [
        b"\0\0too many questions from your address"]


def flood(address, source, count, start=0):
    """So many questions that nobody answers; the socket, for what comes all the same."""
    sock = udp_socket(address, source)
    for number in range(start, start + count):
        sock.send(wire.query(f"never{number}.example", edns=0))
        if number % 64 == 63:  # the socket's buffer holds some hundreds
            answers = udp_socket(address, "127.0.0.1")
            answers.send(wire.query("warm.example"))
            answers.recv(65536)
            answers.close()
    return sock


def test_unanswered_questions_of_one_address_leave_room_for_others(prepare, serve):
    """One address has no more waiting than there is room left, over UDP and TCP together; whoever
    else asks is answered."""
    def crowd():
        upstream = serve(on_query=hush)
        proxy = prepare(upstream, workers=1, limits={"queries": 1024},
                        timeouts={"query": "20s"}).start()
        with flood(proxy.address, GREEDY, 1024) as greedy:
            assert is_turned_away(greedy.recv(65536))
            waiting = proxy.counters()["queries_waiting"]
            assert 512 <= waiting <= 512 + 64
            with TcpClient(proxy.address, source=GREEDY) as client:
                client.send(wire.query("never-by-tcp.example", edns=0))
                assert is_turned_away(client.receive())
            for number in range(20):
                name = f"calm{number}.example"
                with udp_socket(proxy.address, CALM) as sock:
                    sock.send(wire.query(name))
                    assert wire.address_in(sock.recv(65536)) == wire.address_of(name)
                with TcpClient(proxy.address, source=CALM) as client:
                    client.send(wire.query("tcp-" + name))
                    assert wire.address_in(client.receive()) == wire.address_of("tcp-" + name)
            counters = proxy.counters()
            assert counters["failures_crowding"] == 1024 - waiting + 1
            assert "failures_overload" not in counters
    with_sources(["10.0.0.0/8"], crowd)


def test_those_who_never_stop_leave_turns_to_others(prepare, serve):
    """limits 30: many clients that pipeline what is cached without pause; who asks over UDP or on a
    connection of its own meanwhile is answered, and nobody has to be closed for that."""
    upstream = serve(on_query=hush)
    proxy = prepare(upstream, workers=1, cache={"size": "1M"}).start()
    burst = b"".join(struct.pack("!H", len(one)) + one
                     for one in [wire.query("hot.example", id=7)] * 200)
    greedy = [TcpClient(proxy.address) for _ in range(20)]
    with udp_socket(proxy.address, "127.0.0.1") as sock, TcpClient(proxy.address) as calm:
        sock.send(wire.query("hot.example"))
        sock.recv(65536)
        for _ in range(10):
            for client in greedy:
                client.send_octets(burst)
            sock.send(wire.query("hot.example"))
            assert wire.address_in(sock.recv(65536)) == wire.address_of("hot.example")
            calm.send(wire.query("hot.example"))
            assert wire.address_in(calm.receive()) == wire.address_of("hot.example")
            for client in greedy:
                for _ in range(200):
                    client.receive()
    assert proxy.counters()["tcp_answers"] == 10 * (200 * 20 + 1)
