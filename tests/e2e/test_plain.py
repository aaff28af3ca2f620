# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Groups that are asked in the clear: servers of the own network that speak nothing else (L16).

import contextlib
import os
import socket
import struct
import subprocess
import threading

import dns.flags
import dns.message
import dns.tsigkeyring
import pytest
from dns.rcode import NOERROR, REFUSED, SERVFAIL

from harness import wire
from harness.client import ask, tcp, udp_socket
from harness.load import Load
from harness.plain import Framed, PlainServer
from harness.process import binary
from harness.waiting import free_port, wait_for

ROUTES = [{"domains": ["lan"], "group": "router"}]


@pytest.fixture
def router():
    """Starts servers in the clear: router(script) -> PlainServer."""
    with contextlib.ExitStack() as stack:
        yield lambda *script, **how: stack.enter_context(
            contextlib.closing(PlainServer(*script, **how)))


@pytest.fixture
def start_beside(start, upstream):
    """dotproxy with these for the names in "lan", and `upstream` for all others."""
    return lambda *servers, **how: start(
        upstream, *(one if isinstance(one, dict) else one.group() for one in servers),
        **{"workers": 1, "routes": ROUTES} | how)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_names_of_the_network_are_asked_in_the_clear_and_no_others(start_beside, router, upstream,
                                                                    transport):
    server = router()
    proxy = start_beside(server)
    answer = ask(proxy.address, "Printer.LAN", transport=transport)
    assert answer.answer[0][0].address == wire.address_of("Printer.LAN")
    assert answer.question[0].name.to_text() == "Printer.LAN."
    assert ask(proxy.address, "www.example", transport=transport).answer
    assert len(server.asked("printer.lan", "udp")) == len(server.queries) == 1
    assert upstream.asked("www.example") and not upstream.asked("printer.lan")


def test_nobody_who_does_not_see_it_can_answer(start_beside, router):
    """L16: each has a port, an ID and a spelling of its own."""
    server = router()
    proxy = start_beside(server)
    for number in range(40):
        assert ask(proxy.address, f"abcdefghijklmnop{number}.lan").answer
    assert len({one.peer[1] for one in server.queries}) > 30
    assert len({one.id for one in server.queries}) > 35
    spellings = {one.spelled[:16] for one in server.queries}
    assert len(spellings) > 35 and any(one != one.lower() for one in spellings)
    assert all(len(one.raw) < 64 for one in server.queries)  # there is no padding


def test_what_does_not_match_to_the_letter_is_asked_over_tcp(start_beside, router):
    """L16: the server may not keep to the spelling, or it is somebody else's guess."""
    def script(asked):
        end = 12 + len(asked.spelled) + 1
        right = wire.answer(asked.raw)
        return right[:12] + right[12:end].lower() + right[end:] if asked.transport == "udp" else right
    server = router(script)
    proxy = start_beside(server)
    assert ask(proxy.address, "abcdefghijklmnopqrstuvwxyz.lan").answer
    assert server.asked("abcdefghijklmnopqrstuvwxyz.lan", "tcp")


def test_an_answer_with_another_id_is_not_heard(start_beside, router):
    def script(asked):
        right = wire.answer(asked.raw)
        return [struct.pack("!H", asked.id ^ bit) + right[2:] for bit in (1, 0x8000)] + [right]
    server = router(script)
    proxy = start_beside(server)
    assert ask(proxy.address, "a.lan").answer[0][0].address == wire.address_of("a.lan")
    assert len(server.queries) == 1


def test_a_truncated_answer_is_asked_for_over_tcp(start_beside, router):
    def script(asked):
        if asked.transport == "udp":
            return wire.header(asked.id, 0x8380, 1) + asked.raw[12:12 + len(asked.spelled) + 5]
        return wire.answer(asked.raw)
    server = router(script)
    proxy = start_beside(server)
    assert ask(proxy.address, "large.lan").answer
    assert [one.transport for one in server.queries] == ["udp", "tcp"]


@pytest.mark.parametrize("fault", ["closed", "other id", "cut short", "empty", "silent"])
def test_what_is_wrong_over_tcp_makes_another_one_be_asked(start_beside, router, fault):
    """L81, L82: UDP and TCP are two sends, and the other server gets the third."""
    def script(asked):
        if asked.transport == "udp":
            return wire.header(asked.id, 0x8380, 1) + asked.raw[12:12 + len(asked.spelled) + 5]
        right = wire.answer(asked.raw)
        return {"closed": Framed(b""),
                "other id": struct.pack("!H", asked.id ^ 1) + right[2:],
                "cut short": Framed(struct.pack("!H", len(right)) + right[:-1]),
                "empty": Framed(b"\0\0"),
                "silent": None}[fault]
    faulty, good = router(script), router()
    proxy = start_beside(faulty, good, timeouts={"query": "4s"})
    assert ask(proxy.address, "a.lan").answer[0][0].address == wire.address_of("a.lan")
    assert [one.transport for one in faulty.queries] == ["udp", "tcp"]
    assert len(good.queries) == 1


def test_the_spelling_that_is_sent_is_not_seen(start_beside, router):
    """Where the server spells owner names out, as it was asked."""
    def script(asked):
        end = 12 + len(asked.spelled) + 5
        owner = asked.raw[12:end - 4]
        return wire.header(asked.id, 0x8180, 1, 1) + asked.raw[12:end] + owner + struct.pack(
            "!HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 1])
    proxy = start_beside(router(script))
    name = "abcdefghijklmnopqrstuvwxyz.lan"
    assert ask(proxy.address, name).answer[0].name.to_text() == name + "."


def test_a_server_over_ipv6(start_beside, router):
    proxy = start_beside(router(address="::1"))
    assert ask(proxy.address, "six.lan").answer


def test_no_socket_is_left(start_beside, router):
    server = router()
    proxy = start_beside(server)
    worker = f"/proc/{proxy.workers()[0]}/fd"
    assert ask(proxy.address, "first.lan").answer
    before = len(os.listdir(worker))
    for number in range(20):
        assert ask(proxy.address, f"n{number}.lan").answer
    wait_for(lambda: len(os.listdir(worker)) <= before)
    assert len({one.peer[1] for one in server.queries}) > 15


def test_the_check_of_upstreams_says_that_it_does_not_try_them(prepare, router, upstream):
    proxy = prepare(upstream, router().group(), routes=ROUTES)
    result = subprocess.run([binary(), "-t", "--connect", "-c", proxy.config_file], text=True,
                            capture_output=True, timeout=30)
    assert result.returncode == 0, result.stderr
    assert "not tried, since it is asked in the clear" in result.stdout


def test_what_is_said_of_dnssec_is_not_believed(start_beside, router):
    def script(asked):
        right = bytearray(wire.answer(asked.raw))
        right[3] |= 0x20
        return bytes(right)
    proxy = start_beside(router(script))
    answer = ask(proxy.address, "signed.lan", flags=dns.flags.RD | dns.flags.AD)
    assert answer.answer and not answer.flags & dns.flags.AD


def test_a_datagram_that_is_lost_is_sent_again(start_beside, router):
    seen = []

    def script(asked):
        seen.append(asked)
        return wire.answer(asked.raw) if len(seen) > 1 else None
    proxy = start_beside(router(script), timeouts={"query": "5s"})
    assert ask(proxy.address, "lost.lan").answer
    assert len(seen) == 2 and seen[0].id != seen[1].id


def test_the_next_address_stands_in(start_beside, router):
    """One that is silent, one that refuses connections, and one that answers with an error."""
    silent, failing, good = router(lambda _: None), router(
        lambda asked: wire.answer(asked.raw, rcode=REFUSED)), router()
    nobody = good.group() | {"port": free_port()}
    proxy = start_beside(silent, nobody, good, timeouts={"query": "8s"})
    assert ask(proxy.address, "a.lan").answer
    assert silent.asked("a.lan") and good.asked("a.lan")
    other = start_beside(failing, good)
    assert ask(other.address, "b.lan").answer
    assert failing.asked("b.lan") and good.asked("b.lan")


def test_nobody_stands_in_for_all_of_them(start_beside, router, upstream):
    failing = router(lambda asked: wire.answer(asked.raw, rcode=SERVFAIL))
    proxy = start_beside(failing, timeouts={"query": "2s"})
    assert ask(proxy.address, "a.lan").rcode() == SERVFAIL
    gone = start_beside({"group": "router", "transport": "plain", "addresses": ["127.0.0.1"],
                         "port": free_port()}, timeouts={"query": "2s"})
    answer = ask(gone.address, "b.lan", edns=0)
    assert answer.rcode() == SERVFAIL and set(wire.errors_of(answer)) & {22, 23}
    assert not upstream.queries


def test_a_server_without_edns_is_asked_without(start_beside, router):
    """RFC 6891, section 6.2.2; and from then on at once."""
    def script(asked):
        if asked.message.edns >= 0:
            return wire.header(asked.id, 0x8181, 1) + asked.raw[12:12 + len(asked.spelled) + 5]
        return wire.answer(asked.raw)
    server = router(script)
    proxy = start_beside(server)
    for name in ("a", "b"):
        assert ask(proxy.address, f"{name}.lan", edns=0).answer
    assert [one.message.edns for one in server.queries] == [0, -1, -1]


def test_a_signed_query_passes_as_it_is(start_beside, router):
    """C25"""
    server = router(lambda asked: wire.header(asked.id, 0x8180, 1) + wire.question("Signed.lan"))
    proxy = start_beside(server)
    message = dns.message.make_query("Signed.lan", "A")
    message.use_tsig(dns.tsigkeyring.from_text({"key.example.": "c2VjcmV0IHNlY3JldCBzZWNyZXQ="}))
    raw = message.to_wire()
    assert tcp(proxy.address, raw)[3] & 15 == NOERROR
    assert server.queries[0].raw[2:] == raw[2:]


def test_a_signed_query_is_sent_over_tcp_with_the_id_that_is_awaited(start_beside, router):
    """C25: the first one is answered when another one has been sent."""
    def script(asked):
        if asked.transport == "tcp":
            return wire.header(asked.id, 0x8180, 1) + wire.question("Signed.lan")
        if len(server.queries) == 2:
            first = server.queries[0]
            server.send(first, wire.header(first.id, 0x8380, 1) + wire.question("Signed.lan"))
        return None
    server = router(script)
    proxy = start_beside(server)
    message = dns.message.make_query("Signed.lan", "A")
    message.use_tsig(dns.tsigkeyring.from_text({"key.example.": "c2VjcmV0IHNlY3JldCBzZWNyZXQ="}))
    assert tcp(proxy.address, message.to_wire())[3] & 15 == NOERROR
    assert [one.transport for one in server.queries] == ["udp", "udp", "tcp"]
    assert server.queries[2].id == server.queries[0].id


def test_an_unsigned_answer_to_a_signed_query_has_no_ad(start_beside, router):
    """One that is signed has what it has."""
    server = router(lambda asked: wire.header(asked.id, 0x81a0, 1) + wire.question("Signed.lan"))
    proxy = start_beside(server)
    message = dns.message.make_query("Signed.lan", "A")
    message.use_tsig(dns.tsigkeyring.from_text({"key.example.": "c2VjcmV0IHNlY3JldCBzZWNyZXQ="}))
    assert not tcp(proxy.address, message.to_wire())[3] & 0x20


def test_more_at_once_than_there_are_sockets(start_beside, router):
    """Each waits for a place, and is answered."""
    open_now, released = 256, threading.Event()

    def script(asked):
        return wire.answer(asked.raw) if released.is_set() else None
    server = router(script)
    proxy = start_beside(server, timeouts={"query": "20s"})
    with udp_socket(proxy.address) as sock:
        # By default it holds 277 such datagrams, and other processes may be first.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        for number in range(open_now + 20):
            sock.send(wire.query(f"n{number}.lan", id=number))
        wait_for(lambda: len({one.name for one in server.queries}) >= open_now)
        assert len({one.name for one in server.queries}) == open_now
        released.set()
        answers = [wire.parse(sock.recv(65536)) for _ in range(open_now + 20)]
        assert all(one.answer for one in answers)
        assert len({one.id for one in answers}) == open_now + 20


def test_nothing_is_lost_in_reloads(start_beside, router):
    proxy = start_beside(router(), routes=[{"domains": ["example"], "group": "router"}])
    with Load(proxy.address, rate=200) as load:
        for _ in range(3):
            before = len(load.asked)
            wait_for(lambda: len(load.asked) > before + 20)
            proxy.reload()
    load.assert_flawless()


def test_who_asks_in_the_clear_is_shown(start_beside, router, place):
    server = router()
    proxy = start_beside(server, control_socket=str(place / "control"))
    assert ask(proxy.address, "a.lan").answer
    status = dict(line.split(" ", 1) for line in proxy.ctl("status").splitlines())
    assert status["upstream.1.address"] == f"127.0.0.1:{server.port} of group router"
    assert status["upstream.1.queries"] == status["upstream.1.answers"] == "1"
    assert status["group.router"] == "lan"
