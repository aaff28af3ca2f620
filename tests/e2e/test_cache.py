# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# The cache that all workers share, from outside: whom it answers and how, what never gets into it,
# and what it survives (rules C80-C91, L17-L25, L66).

import itertools
import random
import socket
import ssl
import struct

import dns.flags
import pytest

from harness import wire
from harness.client import TRANSPORTS, ask, udp_socket
from harness.load import flood
from harness.process import kill
from harness.waiting import PATIENCE, wait_for

CACHE = {"size": "8M"}


@pytest.fixture
def proxy(start, upstream):
    return start(upstream, workers=1, cache=CACHE)


def names(stem):
    """New names, all of the same length."""
    return (f"{stem}{number:06}.example" for number in itertools.count())


class Parts:
    """An answer taken apart, so that what must be equal can be compared octet by octet."""

    def __init__(self, message):
        self.id, self.flags, _, *counts = wire.HEADER.unpack_from(message)
        end = wire.question_end(message)
        self.question = message[12:end]
        self.opt, records, at = None, [], end
        for _ in range(sum(counts)):
            first, at = at, self._skip_name(message, at)
            rdtype, _, _, size = struct.unpack_from("!HHIH", message, at)
            if rdtype == 41:
                self.opt = message[first:at + 10 + size]
            else:
                records.append(message[first:at + 4] + bytes(4) + message[at + 8:at + 10 + size])
            at += 10 + size
        assert at == len(message)
        self.records = b"".join(records)
        self.counts = (*counts[:2], counts[2] - (self.opt is not None))

    @staticmethod
    def _skip_name(message, at):
        while message[at] and message[at] < 0xc0:
            at += 1 + message[at]
        return at + (1 if message[at] == 0 else 2)

    @property
    def body(self):
        """All but the header's flags and the OPT, which are not the upstream's alone."""
        return self.question, self.counts, self.records

    @property
    def all(self):
        return self.flags, *self.body, self.opt


# Transport, whether there is an OPT, and the size in it.
KINDS = [("udp", False, 512), ("udp", True, 512), ("udp", True, 1232), ("udp", True, 4096),
         ("tcp", False, 512), ("tcp", True, 1232)]
SERVER_MAXIMUM = 1232
OPT_SIZE = 11


def limit_of(kind):
    transport, edns, payload = kind
    if transport == "tcp":
        return 65535
    return min(payload, SERVER_MAXIMUM) if edns else 512


def asked_as(proxy, kind, name, rdtype, do, cd):
    transport, edns, payload = kind
    how = {"edns": 0, "payload": payload, "do": do} if edns else {}
    message = wire.query(name, rdtype, flags=dns.flags.RD | (dns.flags.CD if cd else 0), **how)
    answer = TRANSPORTS[transport](proxy.address, message)
    assert answer[:2] == message[:2]
    return answer


def check(answer, kind, do, cd, direct):
    """That `answer` is `direct` as far as this asker can take it."""
    parts, wanted = Parts(answer), Parts(direct)
    fits = len(direct) + (OPT_SIZE if kind[1] else 0) <= limit_of(kind)
    assert len(answer) <= limit_of(kind)
    assert bool(parts.flags & dns.flags.TC) != fits
    assert bool(parts.flags & dns.flags.CD) == cd and parts.flags & dns.flags.RA
    assert (parts.opt is not None) == kind[1]
    assert not kind[1] or bool(parts.opt[7] & 0x80) == do
    if fits:
        assert parts.body == wanted.body
    else:
        assert parts.body == (wanted.question, (0, 0, 0), b"")


@pytest.mark.parametrize("size", [100, 512, 1221, 1300, 20000, 65535])
@pytest.mark.parametrize("do", [False, True])
@pytest.mark.parametrize("cd", [False, True])
def test_each_asker_gets_what_it_can_take_from_the_cache_and_not(proxy, upstream, size, do, cd):
    """C31-C41, C80, L20: whoever asked first, and whoever asks then."""
    upstream.on_query = lambda query: wire.sized_answer(query.raw, size)
    fresh = names("matrix")
    kinds = [kind for kind in KINDS if kind[1] or not do]
    for first in kinds:
        name = next(fresh)
        direct = wire.sized_answer(wire.query(name, "TYPE65280"), size)
        miss = asked_as(proxy, first, name, "TYPE65280", do, cd)
        check(miss, first, do, cd, direct)
        for kind in kinds:
            hit = asked_as(proxy, kind, name, "TYPE65280", do, cd)
            check(hit, kind, do, cd, direct)
            if kind == first:
                assert Parts(hit).all == Parts(miss).all and len(hit) == len(miss)
        seen, = upstream.asked(name)
        assert bool(seen.message.flags & dns.flags.CD) == cd
        assert bool(seen.message.ednsflags & 0x8000) == do


def over_tls(server, message):
    """Asks a DNS-over-TLS server without anything in between."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((server.address, server.port), PATIENCE) as sock, \
            context.wrap_socket(sock) as tls, tls.makefile("rb") as stream:
        tls.sendall(struct.pack("!H", len(message)) + message)
        return stream.read(struct.unpack("!H", stream.read(2))[0])


def test_what_unbound_says_stays_what_it_says(start, unbound):
    """Positive, negative, compressed, of many records: from the cache and not."""
    server = unbound(["example. 3600 SOA ns.example. root.example. 1 2 3 4 60",
                      "one.example. 300 A 192.0.2.1",
                      *(f"many.example. 300 A 192.0.2.{last}" for last in range(1, 40)),
                      "mx.example. 300 MX 10 a.long.name.example.",
                      'text.example. 300 TXT "some text"'])
    proxy = start(server, workers=1, cache=CACHE)
    for name, rdtype in [("one.example", "A"), ("many.example", "A"), ("mx.example", "MX"),
                         ("text.example", "TXT"), ("none.example", "A"), ("one.example", "AAAA")]:
        plain = Parts(over_tls(server, wire.query(name, rdtype)))
        got = []
        for kind in (("tcp", True, 1232), ("udp", True, 1232), ("udp", False, 512)):
            got.append(Parts(asked_as(proxy, kind, name, rdtype, False, False)))
            if not got[-1].flags & dns.flags.TC:
                assert sorted(got[-1].records) == sorted(plain.records)
                assert got[-1].counts == plain.counts and got[-1].question == plain.question
                assert got[-1].flags & 15 == plain.flags & 15
                assert got[-1].records == got[0].records
    counters = proxy.counters()
    assert counters["upstream_queries"] == 6 and counters["cache_hits"] == 12


def test_a_refresh_is_asked_as_a_normal_question_is(start, upstream):
    """L21: octet by octet but for the ID, whatever the one who caused it had in his OPT."""
    proxy = start(upstream, workers=2, cache=CACHE)
    upstream.on_query = lambda query: wire.answer(
        query.raw, records=[wire.record(b"\xc0\x0c", 1, bytes(4), ttl=2)])
    for name in names("again"):
        ask(proxy.address, name, edns=0)
        wait_for(lambda: ask(proxy.address, name, edns=0, options=((wire.NSID, b""),
                                                                   (wire.PADDING, bytes(33))))
                 and len(upstream.asked(name)) >= 2)
        if proxy.counters().get("cache_refreshes"):
            break  # else the machine was too busy to ask in the last tenth
    normal, refresh = upstream.asked(name)[:2]
    with_option = [query for query in (normal, refresh)
                   if wire.options_of(query.message, 11)]  # the first one of a connection
    if not with_option:
        assert normal.raw[2:] == refresh.raw[2:]
    assert len(normal.raw) == len(refresh.raw) and len(refresh.raw) % 128 == 0
    assert {entry.otype for entry in refresh.message.options} <= {11, wire.PADDING}


def test_padding_is_nobody_elses(proxy, upstream):
    """C40, L24: neither the upstream's in an answer nor the client's in the key."""
    upstream.on_query = lambda query: wire.answer(
        query.raw, options=[wire.option(wire.PADDING, bytes(random.randrange(400)))])
    ask(proxy.address, "padded.example", edns=0)
    plain = ask(proxy.address, "padded.example")
    assert plain.edns == -1 and len(plain.answer) == 1
    for _ in range(50):
        answer = ask(proxy.address, "padded.example", edns=0, payload=random.randrange(65536),
                     options=((wire.PADDING, bytes(random.randrange(100))),))
        assert not wire.options_of(answer, wire.PADDING)  # RFC 8467: not over UDP in clear
    assert len(upstream.asked("padded.example")) == 1


def test_a_thousand_equal_questions_are_one_upstream(proxy, upstream):
    """L17: and one that asks for another subnet is not another question."""
    upstream.hold("same.example.")
    count = 1000
    with udp_socket(proxy.address) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        for number in range(count):
            subnet = struct.pack("!HBB4B", 1, 32, 0, 10, 0, number >> 8, number & 255)
            sock.send(wire.query("same.example", id=number, options=((wire.ECS, subnet),)
                                 if number % 2 else ()))
            if number % 50 == 0:
                ask(proxy.address, f"meanwhile{number}.example")  # all before it were read
        ask(proxy.address, "last.example")
        assert len(upstream.asked("same.example")) == 1
        upstream.release("same.example.")
        assert {sock.recv(65536)[:2] for _ in range(100)}  # the socket may not hold all
    asked = flood(proxy.address, ["same.example"] * count)
    assert all(one.good for one in asked)
    assert len(upstream.asked("same.example")) == 1


def test_what_came_along_is_not_believed(proxy, upstream):
    """L18: a record is part of the answer that it came with, and of nothing else."""
    lie = wire.record("victim.example", 1, bytes([6, 6, 6, 6]), ttl=86400)
    lies = wire.record("example", 2, wire.name("ns.evil.example"), ttl=86400)
    upstream.on_query = lambda query: wire.answer(query.raw, authority=[lies], additional=[lie]) \
        if query.name.startswith("bait") else wire.answer(query.raw)
    for transport in ("tcp", "udp"):
        ask(proxy.address, f"bait-{transport}.example", transport=transport)
    for _ in range(2):
        answer = ask(proxy.address, "victim.example")
        assert answer.answer[0][0].address == wire.address_of("victim.example")
        ask(proxy.address, "example", "NS")
    assert len(upstream.asked("victim.example")) == 1
    assert upstream.asked("example")[0].rdtype == 2


def test_what_one_worker_learned_all_know(start, upstream):
    """L66: and those that come after it was killed."""
    proxy = start(upstream, workers=3, cache=CACHE)
    known = [f"known{number}.example" for number in range(50)]
    assert all(one.good for one in flood(proxy.address, known, window=8))
    for _ in range(3):
        victim = proxy.workers()[0]
        kill(victim)
        wait_for(lambda: victim not in proxy.children() and len(proxy.workers()) == 3)
        assert all(one.good for one in flood(proxy.address, known, window=8))
    for victim in proxy.workers():
        kill(victim)
    assert all(one.good for one in flood(proxy.address, known, window=8))
    assert len(upstream.queries) == len(known)
    counters = proxy.counters()
    assert counters["cache_hits"] == 4 * len(known) and counters["cache_misses"] == len(known)


def test_a_reload_keeps_what_is_known(start, upstream):
    proxy = start(upstream, workers=2, cache=CACHE)
    ask(proxy.address, "kept.example")
    # Another way to write the same size, and other keys beside it.
    for hits, changes in enumerate(
            ({}, {"workers": 3}, {"cache": {"size": "8192K", "prefetch": False}}), 1):
        proxy.write_configuration(**changes)
        proxy.reload()
        assert ask(proxy.address, "kept.example").answer
        assert proxy.counters()["cache_hits"] == hits
    assert len(upstream.asked("kept.example")) == 1
    assert "cache.size" not in proxy.log


def test_another_size_is_another_cache(start, upstream):
    proxy = start(upstream, workers=2, cache=CACHE)
    ask(proxy.address, "lost.example")
    proxy.write_configuration(cache={"size": "4M"})
    proxy.reload()
    assert "cache.size" in proxy.log
    for _ in range(2):
        assert ask(proxy.address, "lost.example").answer
    assert len(upstream.asked("lost.example")) == 2


def test_without_a_cache_everything_is_asked(start, upstream):
    proxy = start(upstream, workers=2, cache=CACHE)
    ask(proxy.address, "each.example")
    proxy.write_configuration(cache={"size": "0"})
    proxy.reload()

    def counted():
        return {key: n for key, n in proxy.counters().items() if key.startswith("cache_")}
    before = counted()
    for count in (2, 3):
        assert ask(proxy.address, "each.example").answer
        assert len(upstream.asked("each.example")) == count
    assert counted() == before
