# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Clients that misbehave: they read slowly or not at all, vanish, come in thousands (rules C15, L26,
# L27, L29, L43, L45-L47, L49).

import ctypes
import os
import resource
import socket
import time

import dns.rcode
import pytest

from harness import wire
from harness.client import TcpClient, ask, udp, udp_socket
from harness.load import Load
from harness.waiting import wait_for

SMALL = 1 << 18
PR_CAPBSET_DROP, CAP_SYS_RESOURCE = 24, 24  # <linux/prctl.h>, <linux/capability.h>
libc = ctypes.CDLL(None, use_errno=True)


def test_large_answers_reach_slow_readers_whole(proxy, upstream):
    """L45: many partial writes; every length and every octet is right."""
    upstream.on_query = lambda query: wire.sized_answer(query.raw, 60000)
    with TcpClient(proxy.address, receive_buffer=4096) as client:
        queries = [wire.query(f"slow{n}.example", "TYPE65280", id=n) for n in range(20)]
        client.send(*queries)
        upstream.wait(lambda up: len(up.queries) == 20)
        answers = client.receive_all(20)
    for message in queries:
        assert answers[message[:2]][12:] == wire.sized_answer(message, 60000)[12:]


def frames(*messages):
    return b"".join(len(one).to_bytes(2, "big") + one for one in messages)


def test_clients_that_never_read_cost_bounded_memory(start, upstream):
    """L29: the reading of them stops; others do not notice; they are cut in the end."""
    upstream.on_query = lambda query: wire.sized_answer(query.raw, 4000) \
        if query.rdtype == 65280 else wire.answer(query.raw)
    proxy = start(upstream, workers=1, timeouts={"client_idle": "2s"})
    before = proxy.memory_kib()
    clients = [TcpClient(proxy.address, receive_buffer=4096) for _ in range(30)]
    for number, client in enumerate(clients):
        client.send_what_goes(frames(*(
            wire.query(f"never{number}-{n}.example", "TYPE65280", id=n) for n in range(1000))))
    for number in range(50):
        assert ask(proxy.address, f"other{number}.example").answer
    proxy.assert_memory_grew_less(before, 64 * 1024)
    wait_for(lambda: proxy.descriptors(proxy.workers()[0]) < 30, what="the deaf clients to be cut")
    for client in clients:
        client.socket.close()


def test_a_hundred_thousand_messages_in_one_burst(start, upstream):
    """L27: answered here, with a stack of 256 KiB; no handler calls itself."""
    proxy = start(upstream, workers=1, local_zones=True, limits={"queries_per_client": 65535},
                  before=lambda: resource.setrlimit(resource.RLIMIT_STACK, (SMALL, SMALL)))
    rest = frames(wire.query("localhost")) * 100000
    with TcpClient(proxy.address) as client:
        answered = 0
        while answered < 100000:
            rest = client.send_what_goes(rest)
            assert client.receive()[3] & 15 == dns.rcode.NOERROR
            answered += 1
    assert ask(proxy.address, "after.example").answer


MOMENTS = {
    "at once": lambda client: None,
    "after an octet": lambda client: client.send_octets(b"\0"),
    "after the length": lambda client: client.send_octets(b"\0\x30"),
    "within a message": lambda client: client.send_octets(b"\0\x30" + b"\1" * 20),
    "after a question": lambda client: client.send(wire.query("gone.example")),
    "after many": lambda client: client.send(*(wire.query(f"g{n}.example") for n in range(30))),
    "with half of the next": lambda client: client.send_octets(
        b"\0\x1e" + wire.query("gone.example") + b"\0\x30"),
    "after an answer": lambda client: (client.send(wire.query("gone.example")), client.receive()),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_clients_may_vanish_at_any_moment(proxy, upstream, moment):
    """L43, L48, L49: close, reset and half-close; nothing is left of them."""
    ask(proxy.address, "warm.example")
    worker, = proxy.workers()
    before = proxy.descriptors(worker)
    for turn in range(60):
        client = TcpClient(proxy.address)
        MOMENTS[moment](client)
        (client.reset, client.socket.close, client.finish)[turn % 3]()
        if turn % 3 == 2:
            client.socket.close()
    assert ask(proxy.address, "after.example").answer
    wait_for(lambda: proxy.descriptors(worker) <= before, what="the clients' descriptors to close")
    assert proxy.workers() == [worker]


def test_udp_clients_may_vanish(proxy, upstream):
    """L43, L49: their ports are closed when the answers come (ICMP)."""
    upstream.hold("vanish.example.")
    for number in range(100):
        with udp_socket(proxy.address) as sock:
            sock.send(wire.query("vanish.example", id=number))
    ask(proxy.address, "sentinel.example")
    upstream.release("vanish.example.")
    for number in range(20):
        assert ask(proxy.address, f"after{number}.example").answer


def test_every_question_has_exactly_one_answer(proxy, upstream):
    """L46: whatever becomes of it."""
    def any_fate(query):
        fate = sum(query.name.encode()) % 5
        if fate == 1:
            query.connection.close("rst")
        elif fate == 2:
            return wire.answer(query.raw, rcode=2)
        elif fate == 3:
            return wire.answer(query.raw)[:-5]
        return wire.answer(query.raw)
    upstream.on_query = any_fate
    with TcpClient(proxy.address) as client:
        for turn in range(5):
            client.send(*(wire.query(f"fate{turn}-{n}.example", id=n) for n in range(50)))
            assert len(client.receive_all(50)) == 50
        client.send(wire.query("opcode.example", flags=1 << 11, id=1000))
        assert client.receive()[:2] == b"\x03\xe8"
        assert not client.has_input()


def test_one_client_cannot_take_all(proxy, upstream):
    """limits.queries_per_client: the reading of a greedy client waits, and others go on."""
    for number in range(300):
        upstream.hold(f"greedy{number}.example.")
    with TcpClient(proxy.address) as client:
        client.send(*(wire.query(f"greedy{n}.example", id=n) for n in range(300)))
        upstream.wait(lambda up: len(up.queries) >= 128)
        assert ask(proxy.address, "modest.example", transport="tcp").answer
        assert len([q for q in upstream.queries if q.name.startswith("greedy")]) == 128
        for number in range(300):
            upstream.release(f"greedy{number}.example.")
        assert len(client.receive_all(300)) == 300


def is_served(client, name):
    try:
        client.send(wire.query(name))
        return wire.address_in(client.receive()) == wire.address_of(name)
    except (EOFError, ConnectionError):
        return False


def test_there_is_a_limit_to_tcp_clients(start, upstream):
    """C15: who comes when all places are taken by busy clients is refused; and those are counted
    that there are, not those that there were (L48)."""
    proxy = start(upstream, workers=1, limits={"tcp_clients": 10})
    for turn in range(3):
        # One not yet known to have left would take a place, and a new one make way for it.
        wait_for(lambda: proxy.counters().get("tcp_clients", 0) == 0)
        clients = {f"busy{turn}-{n}.example.": TcpClient(proxy.address) for n in range(10)}
        for name, client in clients.items():
            upstream.hold(name)
            client.send(wire.query(name))
        for name in clients:
            upstream.wait_for_query(name)
        with TcpClient(proxy.address) as late:
            assert not is_served(late, "late.example")
        for name, client in clients.items():
            upstream.release(name)
            assert wire.address_in(client.receive()) == wire.address_of(name)
            client.reset()
        wait_for(lambda: is_served(TcpClient(proxy.address), "again.example"))


def test_who_is_refused_is_reset(start, upstream):
    """limits 36: at once, and by a call that the sandbox allows: the worker lives."""
    proxy = start(upstream, workers=1, limits={"tcp_clients": 0})
    before = proxy.workers()
    for _ in range(20):
        with TcpClient(proxy.address) as client, pytest.raises((ConnectionResetError,
                                                                BrokenPipeError)):
            client.send(wire.query("refused.example"))
            client.receive()
    assert proxy.counters()["tcp_refused"] == 20
    assert proxy.workers() == before


def test_who_sends_only_nonsense_is_closed(start, upstream):
    """limits 36: what is no question, ten times in a row."""
    proxy = start(upstream, workers=1)
    with TcpClient(proxy.address) as client:
        for _ in range(10):
            client.send(wire.header(7, 15 << 11))
            assert client.receive()[3] & 15 == dns.rcode.NOTIMP
        assert client.is_closed_by_peer()
    assert proxy.counters()["tcp_nonsense"] == 1


def test_the_idlest_client_makes_way_for_a_new_one(start, upstream):
    """C11, C15: idle connections do not keep others out (RFC 7766, section 6.2.3)."""
    proxy = start(upstream, workers=1, limits={"tcp_clients": 5}, timeouts={"client_idle": "30s"})
    clients = [TcpClient(proxy.address) for _ in range(5)]
    for number, client in enumerate(clients):
        assert is_served(client, f"idle{number}.example")
    with TcpClient(proxy.address) as late:
        assert is_served(late, "late.example")
    assert clients[0].is_closed_by_peer()
    for client in clients[1:]:
        assert is_served(client, "still.example")
        client.reset()


def test_one_address_cannot_take_all_places(start, upstream):
    """C15: no more than are left for others, so half at most; another address is served all the same, and the first one again
    when it has left."""
    proxy = start(upstream, workers=1, limits={"tcp_clients": 80}, timeouts={"client_idle": "30s"})
    greedy = [TcpClient(proxy.address) for _ in range(60)]
    served = [is_served(client, "greedy.example") for client in greedy]
    assert served == [True] * 40 + [False] * 20
    others = [TcpClient(proxy.address, source="127.0.0.2") for _ in range(20)]
    assert all(is_served(client, "other.example") for client in others)
    assert is_served(TcpClient(proxy.address, source="127.0.0.3"), "third.example")
    # Nobody made way for that: those that are within the limit have their places still.
    assert all(is_served(client, "still.example") for client in greedy[:40])
    lines = proxy.log.count("\n")
    assert ask(proxy.address, "udp.example").answer
    assert proxy.counters()["tcp_refused_address"] == 20
    assert proxy.log.count("\n") - lines <= 2, "refusals are not logged one by one"
    for client in greedy:
        client.reset()
    wait_for(lambda: is_served(TcpClient(proxy.address), "again.example"))


def test_a_reload_counts_the_connections_it_hands_over(start, upstream):
    """C15: the next generation knows whose they are."""
    proxy = start(upstream, workers=1, limits={"tcp_clients": 80}, timeouts={"client_idle": "30s"})
    greedy = [TcpClient(proxy.address) for _ in range(40)]
    assert all(is_served(client, "before.example") for client in greedy)
    proxy.reload()
    assert all(is_served(client, "behind.example") for client in greedy)
    assert not is_served(TcpClient(proxy.address), "late.example")
    assert is_served(TcpClient(proxy.address, source="127.0.0.2"), "other.example")


def test_out_of_descriptors_is_no_busy_loop(prepare, upstream):
    """L47: nofile=64 and many more clients than that: no spinning, no flood of log lines; well
    again when they leave."""
    def few_descriptors():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        # root may raise the limit again, unless it comes without this capability.
        if os.geteuid() == 0 and libc.prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    proxy = prepare(upstream, workers=1, before=few_descriptors,
                    timeouts={"client_idle": "30s"}, limits={"tcp_clients": 1000})
    proxy.start()
    ask(proxy.address, "warm.example")
    clients = []
    for _ in range(300):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(proxy.address)
        clients.append(sock)
    for number in range(20):
        assert ask(proxy.address, f"udp{number}.example").answer
    cpu, lines, began = proxy.cpu_seconds(), proxy.log.count("\n"), time.monotonic()
    wait_for(lambda: time.monotonic() - began > 2)
    elapsed = time.monotonic() - began
    assert proxy.cpu_seconds() - cpu < 0.2 * elapsed
    assert proxy.log.count("\n") - lines <= 5 * elapsed
    for sock in clients:
        sock.close()
    wait_for(lambda: is_served(TcpClient(proxy.address), "again.example"))


def test_slow_clients_do_not_slow_others(proxy):
    """L26, L28: hundreds that send an octet and wait."""
    slow = [TcpClient(proxy.address) for _ in range(300)]
    for client in slow:
        client.send_octets(b"\0")
    with Load(proxy.address, rate=200) as load:
        wait_for(lambda: len(load.asked) > 600)  # longer than the machine may be away meanwhile
    load.assert_flawless()
    assert sorted(one.answered - one.sent for one in load.asked)[len(load.asked) // 2] < 0.1
    for client in slow:
        client.reset()


def test_port_zero_and_garbage_do_no_harm(proxy):
    """C29: random datagrams."""
    for seed in range(500):
        octets = os.urandom(seed % 100)
        with udp_socket(proxy.address) as sock:
            sock.send(octets)
        if seed % 50 == 0:
            ask(proxy.address, f"meanwhile{seed}.example")  # the socket may not hold all of them
    assert wire.address_in(udp(proxy.address, wire.query("after.example")))
