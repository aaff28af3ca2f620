# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# DNS over TLS for clients (RFC 7858; rules E7-E62): real clients, sessions that are resumed whatever
# becomes of the workers, and reloads in which nothing is lost.

import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading

import pytest

from harness import wire
from harness.client import TcpClient, TlsClient, ask, tls_context
from harness.network import with_sources
from harness.process import kill
from harness.waiting import wait_for

BLOCK = 468


@pytest.fixture
def context(authority):
    return tls_context(authority.file)


def kdig(address, *arguments):
    if not shutil.which("kdig"):
        pytest.skip("kdig is not installed")
    host, port = address
    result = subprocess.run(["kdig", f"@{host}", "-p", str(port), *arguments], capture_output=True,
                            text=True, timeout=30)
    assert result.returncode == 0, result
    return result.stdout


def test_kdig_is_answered(start_secure, authority):
    """Strictly verified, and without; padding and keepalive as it asks for them (E21, E24)."""
    _, address = start_secure(workers=1)
    strict = (f"+tls-ca={authority.file}", "+tls-hostname=dot.example")
    said = kdig(address, *strict, "+padding", "+ednsopt=11", "www.example", "A")
    assert "status: NOERROR" in said and wire.address_of("www.example") in said
    assert f"Received {BLOCK} B" in said and "PADDING" in said
    assert "Option (11): 012C" in said  # 30 s
    assert kdig(address, "+tls", "+short", "www.example", "A").split() == [
        wire.address_of("www.example")]
    assert kdig(address, *strict, "+keepopen", "+short", "a.example", "b.example").split() == [
        wire.address_of("a.example"), wire.address_of("b.example")]


@pytest.mark.parametrize("name, status", [("localhost", "NOERROR"), ("failing.example", "SERVFAIL")])
def test_every_answer_is_padded(start_secure, serve, name, status):
    """E24: those of dotproxy's own, and failures, as well."""
    failing = serve(on_query=lambda query: wire.answer(query.raw, rcode=2))
    _, address = start_secure(workers=1, servers=(failing,), local_zones=True)
    said = kdig(address, "+tls", "+padding", name, "A")
    assert f"status: {status}" in said and f"Received {BLOCK} B" in said


def test_dnsperf_loses_nothing(start_secure, directory):
    if not shutil.which("dnsperf"):
        pytest.skip("dnsperf is not installed")
    _, (host, port) = start_secure(cache=None)
    names = directory / "names"
    names.write_text("".join(f"name{n}.example A\n" for n in range(500)))
    result = subprocess.run(["dnsperf", "-s", host, "-p", str(port), "-d", str(names), "-n", "4",
                             "-m", "dot", "-c", "10", "-q", "200", "-t", "10"],
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result
    assert re.search(r"Queries lost:\s+0 ", result.stdout), result.stdout
    assert re.search(r"NOERROR 2000 ", result.stdout), result.stdout


@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3))
def test_openssl_is_answered(start_secure, authority, version):
    """E22: with the protocol's name and without; everything else is refused."""
    _, address = start_secure(workers=1)
    for protocols in (("dot",), ("h2", "dot"), ()):
        with TlsClient(address, tls_context(authority.file, protocols=protocols,
                                            version=version)) as client:
            assert client.socket.selected_alpn_protocol() == ("dot" if protocols else None)
            assert wire.address_in(client.ask("www.example").to_wire())
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        TlsClient(address, tls_context(authority.file, protocols=("h2",), version=version))


@pytest.mark.parametrize("version", (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3))
def test_who_refuses_the_certificate_is_counted_as_such(start_secure, version):
    """E29: as OpenSSL says it, which in TLS 1.3 does so in the clear."""
    proxy, secure = start_secure(workers=1)
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.minimum_version = stranger.maximum_version = version
    with socket.create_connection(secure, timeout=20) as sock:
        with pytest.raises(ssl.SSLCertVerificationError):
            stranger.wrap_socket(sock, server_hostname="dot.example")
    wait_for(lambda: proxy.counters().get("tls_failures_certificate") == 1)
    assert not proxy.counters().get("tls_failures_nonsense")


def test_the_port_speaks_nothing_else(start_secure):
    """A question in the clear is not answered; the other port goes on as before."""
    proxy, address = start_secure(workers=1)
    with TcpClient(address) as client:
        client.send(wire.query("clear.example"))
        wait_for(lambda: proxy.counters().get("tls_failures_nonsense") == 1)
        octets = b""
        try:
            while more := client.socket.recv(4096):
                octets += more
        except ConnectionResetError:
            pass
        assert octets[:1] in (b"", b"\x15")  # an alert at most
    assert ask(proxy.address, "www.example", transport="tcp").answer
    assert not proxy.counters().get("tls_queries")


def test_large_answers_pass(start_secure, upstream, context):
    """More than a record holds, several at once; those without an OPT are not padded."""
    upstream.on_query = lambda query: wire.sized_answer(query.raw, 60000)
    _, address = start_secure(workers=1)
    messages = [wire.query(f"n{number}.example", "TYPE65280", id=number)
                for number in range(8)]
    with TlsClient(address, context) as client:
        client.send(*messages)
        answers = client.receive_all(len(messages))
    for message in messages:
        assert answers[message[:2]][12:] == wire.sized_answer(message, 60000)[12:]


def test_sessions_are_resumed_by_every_worker(start_secure, context):
    """E12: across workers, a crash and a reload; not across a restart, since the key is kept nowhere.
    Who was there when a worker died is counted no more."""
    proxy, address = start_secure(workers=2)
    with TlsClient(address, context) as client:
        assert not client.resumed and client.ask("first.example").answer
        session = client.session

    def resume():
        nonlocal session
        with TlsClient(address, context, session=session) as again:
            assert again.ask("again.example").answer
            session = again.session  # each is used once
            return again.resumed

    assert all(resume() for _ in range(20))
    before = set(proxy.workers())
    for pid in before:
        kill(pid)
    wait_for(lambda: len(proxy.workers()) == 2 and not before & set(proxy.workers()))
    assert all(resume() for _ in range(5))
    proxy.reload()
    assert all(resume() for _ in range(5))
    wait_for(lambda: not {"tls_clients", "tls_handshaking"} & proxy.counters().keys())
    assert set(proxy.kept) == {"listen"}
    _, address = start_secure(workers=1)  # another process: as after a restart
    assert not resume()
    assert resume()


class Constant:
    """A client that asks all the time, as RFC 7766 has it: what was not answered when the connection
    ended is asked again on another one, which resumes the session."""

    def __init__(self, address, context):
        self.address, self.context = address, context
        self.answered, self.connections, self.full, self.problems = 0, 0, 0, []
        self.over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self):
        session = None
        try:
            while not self.over.is_set():
                with TlsClient(self.address, self.context, session=session) as client:
                    self.connections += 1
                    self.full += not client.resumed
                    answered_here = 0
                    try:
                        while not self.over.is_set():
                            assert client.ask("www.example").answer
                            answered_here += 1
                    except (EOFError, ConnectionError):
                        if not answered_here:
                            raise
                    self.answered += answered_here
                    session = client.session
        except Exception as problem:  # which ends the thread, and is seen below
            self.problems.append(problem)


def test_reloads_lose_nothing(start_secure, context):
    """E62: every question is answered, on the connection or on the next; and none of those costs
    more than a resumption (E12)."""
    proxy, address = start_secure(workers=2, timeouts={"drain": "1s"})
    with Constant(address, context) as one, Constant(address, context) as other:
        for _ in range(8):
            seen = one.answered, one.connections, other.connections
            proxy.reload()
            wait_for(lambda: one.problems or other.problems or
                     one.connections > seen[1] and other.connections > seen[2])
    assert not one.problems and not other.problems
    assert one.full == other.full == 1
    assert one.answered and other.answered
    counters = proxy.counters()
    assert counters["tls_handshakes"] - counters["tls_resumed"] == 2


def test_an_idle_client_is_told_before_the_old_worker_leaves(start_secure, context):
    """E62: with close_notify, in the first half of the time to drain, and served until then."""
    proxy, address = start_secure(workers=1, timeouts={"drain": "10s"})
    with TlsClient(address, context) as client:
        assert client.ask("before.example").answer
        ready = proxy.lines().count("READY=1")
        proxy.send_signal(signal.SIGHUP)
        proxy.wait_for_notification("READY=1", ready + 1)
        assert client.ask("meanwhile.example").answer
        assert client.socket.recv(1) == b""  # not cut off: that would be an error


def test_a_stop_tells_clients(start_secure, upstream, context):
    """What was asked is answered, and nobody is cut off."""
    proxy, address = start_secure(workers=1)
    upstream.hold("slow.example.")
    with TlsClient(address, context) as idle, TlsClient(address, context) as busy:
        assert idle.ask("www.example").answer
        busy.send(wire.query("slow.example", id=7))
        upstream.wait_for_query("slow.example")
        proxy.send_signal(signal.SIGTERM)
        assert idle.socket.recv(1) == b""
        upstream.release("slow.example.")
        assert wire.address_in(busy.receive()) == wire.address_of("slow.example")
        assert busy.socket.recv(1) == b""
    assert proxy.process.wait(20) == 0


def test_a_listener_may_change_what_it_speaks(start_secure, leaf, context):
    """A reload makes one of plain DNS of it, and one over TLS again; who was connected goes on as it
    began."""
    proxy, address = start_secure(workers=1)
    plain = [{"address": host, "port": port} for host, port in (proxy.address, address)]
    with TlsClient(address, context) as client:
        assert client.ask("www.example").answer
    proxy.write_configuration(listen=plain, tls={"certificates": None})
    proxy.reload()
    with TcpClient(address) as kept:
        kept.send(wire.query("plain.example"))
        assert wire.address_in(kept.receive())
        proxy.write_configuration(listen=[plain[0], plain[1] | {"protocols": ["dot"]}],
                                  tls={"certificates": [leaf.for_server()]})
        proxy.reload()
        kept.send(wire.query("still.example"))
        assert wire.address_in(kept.receive())
    with TlsClient(address, context) as client:
        assert client.ask("www.example").answer


def test_a_client_that_is_reset_leaves_nothing(start_secure, context):
    """L43, L48: places and seats are given back, whenever the client goes."""
    proxy, address = start_secure(workers=1)
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
    for octets in (b"", hello[:1], hello[:5], hello):
        sock = socket.create_connection(address)
        sock.sendall(octets)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    with TlsClient(address, context) as client:
        client.send(wire.query("www.example"))
        client.receive()
        client.send_octets(b"\0")
        raw = client.socket.detach()
        socket.socket(fileno=raw).close()
    wait_for(lambda: not any(proxy.counters().get(key) for key in
                             ("tcp_clients", "tls_clients", "tls_handshaking")))
    with TlsClient(address, context) as client:
        assert client.ask("www.example").answer


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network")
STRANGER, NEIGHBOUR = "203.0.113.7", "192.168.7.7"


def in_network(action):
    with_sources(["203.0.113.0/24", "192.168.7.0/24"], action)


@needs_root
def test_access_and_limits_hold(start_secure, serve, context):
    """limits 38, 39, 42: who may not ask is reset; a handshake of a new session counts as four
    connections."""
    def check():
        proxy, address = start_secure(servers=(serve(),), workers=1,
                                      limits={"client_connects": 10})
        with TcpClient(address, source=STRANGER) as client:
            assert client.is_closed_by_peer()
        assert proxy.counters()["access_refused"] == 1
        made = 0
        try:
            while made < 20:  # as many connections as may be made at once
                with TlsClient(address, context, source=NEIGHBOUR) as client:
                    assert client.ask("www.example").answer
                made += 1
        except (ConnectionError, ssl.SSLEOFError):
            pass
        assert 5 <= made < 10
        assert proxy.counters()["limited_connects"]
        with TlsClient(address, context) as client:  # of this host, which has no limit
            assert client.ask("www.example").answer
    in_network(check)


@needs_root
def test_one_address_does_not_keep_others_from_a_handshake(start_secure, serve, context):
    """limits 33, 38: it has half of the seats; others need not wait for it."""
    def check():
        proxy, address = start_secure(servers=(serve(),), workers=1, allow=["any"])
        with contextlib.ExitStack() as stack:
            for _ in range(40):
                client = stack.enter_context(TcpClient(address, source=STRANGER))
                client.send_octets(b"\x16\x03\x01\x02\x00\x01")
            wait_for(lambda: proxy.counters().get("tls_handshaking") == 32)
            with TlsClient(address, context, source=NEIGHBOUR) as client:
                assert client.ask("www.example").answer
            counters = proxy.counters()
            assert counters["tls_handshaking"] == 32 and counters["tls_clients"] >= 40
        wait_for(lambda: not proxy.counters().get("tls_clients"))
        assert not proxy.counters().get("tls_handshaking")
    in_network(check)
