# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# The PROXY protocol (E74, E75; fleet 6): connections of proxies that say whose they are.

import contextlib
import ipaddress
import struct

import dns.rcode
import pytest

from harness import wire
from harness.client import TcpClient, TlsClient, tls_context, udp, udp_socket
from harness.http import HttpClient, HttpsClient
from harness.ipv6 import needs_ipv6
from harness.waiting import free_port, wait_for

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
NEIGHBOUR, STRANGER = "192.168.7.7", "203.0.113.7"


def v1(client):
    family = "TCP6" if ":" in client else "TCP4"
    return f"PROXY {family} {client} {'::1' if ':' in client else '127.0.0.1'} 49152 853\r\n".encode()


def v2(client=None, tail=b"", command=0x21):
    if client is None:
        return SIGNATURE + struct.pack("!BBH", 0x20, 0, len(tail)) + tail
    address = ipaddress.ip_address(client)
    body = address.packed * 2 + struct.pack("!HH", 49152, 853) + tail
    return SIGNATURE + struct.pack("!BBH", command, 0x11 if address.version == 4 else 0x21,
                                   len(body)) + body


@pytest.fixture
def start_behind(start, upstream, leaf):
    """dotproxy with a listener behind a proxy at `trusted`: (proxy, address of that one)."""
    def make(protocol="tcp", trusted="127.0.0.1", **how):
        host, port = address = ("127.0.0.1", free_port())
        tls = {"certificates": [leaf.for_server()]} if protocol in ("dot", "doh") else {}
        return start(upstream, listen=[("127.0.0.1", free_port()),
                                       {"address": host, "port": port, "protocols": [protocol],
                                        "proxy_protocol": True, "trusted": [trusted]}],
                     tls=tls, workers=1, **how), address
    return make


class AnnouncedTcp(TcpClient):
    def __init__(self, address, header, **how):
        super().__init__(address, **how)
        with contextlib.suppress(ConnectionError):  # refused already, as the test then finds
            self.send_octets(header)


def ask_over_tls(kind, address, context, header):
    """A client over TLS whose connection begins with a header."""
    class Announced(kind):
        def __init__(self):
            TcpClient.__init__(self, address)
            self.send_octets(header)
            self.socket = context.wrap_socket(self.socket, server_hostname="dot.example")
            if kind is HttpsClient:
                self.begin("https")
    return Announced()


HEADERS = {
    "v1": v1(NEIGHBOUR), "v1-ipv6": v1("fd00::7"), "v1-unknown": b"PROXY UNKNOWN x y\r\n",
    "v2": v2(NEIGHBOUR), "v2-ipv6": v2("fd00::7"), "v2-tlv": v2(NEIGHBOUR, tail=b"\x04\0\x01x" * 100),
    "v2-local": v2(), "v2-local-dummy": v2(tail=b"dummy"),
}
headers = pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
both_versions = pytest.mark.parametrize("header", (v1(NEIGHBOUR), v2(NEIGHBOUR)), ids=("v1", "v2"))


@headers
def test_a_client_behind_a_proxy_is_answered(start_behind, header):
    proxy, address = start_behind()
    with AnnouncedTcp(address, header) as client:
        for name in ("www.example", "again.example"):
            client.send(wire.query(name))
            assert wire.address_in(client.receive()) == wire.address_of(name)
    for cut in (1, len(header) // 2, len(header) - 1):  # in pieces
        with AnnouncedTcp(address, header[:cut]) as client:
            wait_for(lambda: proxy.counters().get("tcp_clients") == 1)
            client.send_octets(header[cut:])
            client.send(wire.query("www.example"))
            assert wire.address_in(client.receive())
        wait_for(lambda: not proxy.counters().get("tcp_clients"))


@both_versions
def test_it_comes_before_tls(start_behind, authority, header):
    _, address = start_behind("dot")
    with ask_over_tls(TlsClient, address, tls_context(authority.file), header) as client:
        assert client.ask("www.example").answer
    _, address = start_behind("doh")
    with ask_over_tls(HttpsClient, address, tls_context(authority.file, protocols=("h2",)),
                      header) as client:
        assert client.ask("www.example").answer


def test_it_takes_the_place_of_forwarded_for(start_behind):
    _, address = start_behind("http")

    class Announced(HttpClient):
        def __init__(self):
            TcpClient.__init__(self, address)
            self.send_octets(v2(NEIGHBOUR))
            self.begin("http")
    with Announced() as client:
        assert client.ask("www.example", headers=(("x-forwarded-for", STRANGER),)).answer


def test_who_may_ask_is_who_is_behind_it(start_behind):
    proxy, address = start_behind()
    for header in (v1(STRANGER), v2(STRANGER)):
        with AnnouncedTcp(address, header) as client:
            assert client.is_closed_by_peer()
    assert proxy.counters()["access_refused"] == 2


def test_nobody_else_comes_in(start_behind):
    proxy, address = start_behind(trusted="127.0.0.2", allow=["any"])
    with AnnouncedTcp(address, v1(NEIGHBOUR)) as client:
        assert client.is_closed_by_peer()
    assert proxy.counters()["access_refused"] == 1
    with AnnouncedTcp(address, v1(NEIGHBOUR), source="127.0.0.2") as client:
        client.send(wire.query("www.example"))
        assert wire.address_in(client.receive())


@pytest.mark.parametrize("octets", (b"\0\x1dquestion", b"PROXY TCP4 x\r\n", b"PROX\r\n",
                                    SIGNATURE + b"\x31\x11\0\0", v2(NEIGHBOUR)[:16]),
                         ids=("question", "v1-broken", "v1-short", "v3", "v2-late"))
def test_a_connection_without_it_is_closed(start_behind, octets):
    """Never guessed; and what does not come within a second is waited for no longer."""
    proxy, address = start_behind()
    with AnnouncedTcp(address, octets) as client:
        assert client.is_closed_by_peer()
    counters = proxy.counters()
    assert counters.get("proxy_refused", 0) + counters.get("tcp_timed_out", 0) == 1
    with AnnouncedTcp(address, v1(NEIGHBOUR)) as client:
        client.send(wire.query("www.example"))
        assert wire.address_in(client.receive())


def test_limits_are_those_of_who_is_behind_it(start_behind):
    """C15, limits 36: one client has no more connections through a proxy than by itself."""
    proxy, address = start_behind(limits={"client_connects": 1})
    refused = 0
    for _ in range(40):
        with AnnouncedTcp(address, v1(NEIGHBOUR)) as client:
            try:
                client.send(wire.query("www.example"))
                client.receive()
            except (EOFError, ConnectionError):
                refused += 1
    assert 0 < refused and proxy.counters()["limited_connects"] == refused
    with AnnouncedTcp(address, v1("192.168.7.8")) as client:
        client.send(wire.query("www.example"))
        assert wire.address_in(client.receive())


def test_a_reload_hands_the_client_over(start_behind):
    """E76: the next worker goes on with who is behind the proxy, in the middle of a header too."""
    proxy, address = start_behind()
    with AnnouncedTcp(address, v1(NEIGHBOUR)) as client, \
            AnnouncedTcp(address, v2(NEIGHBOUR)[:20]) as half:
        client.send(wire.query("www.example"))
        assert wire.address_in(client.receive())
        wait_for(lambda: proxy.counters().get("tcp_clients") == 2)
        proxy.reload()
        half.send_octets(v2(NEIGHBOUR)[20:])
        for one in (client, half):
            one.send(wire.query("again.example"))
            assert wire.address_in(one.receive())
        proxy.write_configuration(allow=["192.168.9.0/24"])
        proxy.reload()
        assert client.is_closed_by_peer() and half.is_closed_by_peer()
    assert proxy.counters()["tcp_handed_over"] >= 3


def test_who_is_blocked_is_not_behind_a_proxy_either(start_behind, place):
    """limits 22: the kernel sees the proxy, and lets pass what it brings."""
    proxy, address = start_behind(control_socket=str(place / "control"))
    proxy.ctl("block", NEIGHBOUR)
    with AnnouncedTcp(address, v1(NEIGHBOUR)) as client:
        assert client.is_closed_by_peer()
    assert proxy.counters()["blocked_refused"] == 1
    with AnnouncedTcp(address, v1("192.168.7.8")) as client:
        client.send(wire.query("www.example"))
        assert wire.address_in(client.receive())


# UDP: version 2 before each datagram (fleet 6)

@pytest.fixture
def start_datagrams(start, upstream):
    """dotproxy with a UDP listener behind a proxy on this host: (proxy, address to ask at)."""
    def make(host="127.0.0.1", at=None, trusted=("127.0.0.1",), **how):
        port = free_port()
        return start(upstream, workers=1, listen=[
            ("127.0.0.1", free_port()),
            {"address": host, "port": port, "proxy_protocol": True, "trusted": list(trusted)}],
                     **how), (at or host, port)
    return make


@pytest.mark.parametrize("header", [one for name, one in HEADERS.items() if "v2" in name],
                         ids=[name for name in HEADERS if "v2" in name])
def test_a_datagram_of_a_proxy_is_answered(start_datagrams, header):
    _, address = start_datagrams()
    assert wire.address_in(udp(address, header + wire.query("www.example")))


@pytest.mark.parametrize("listen, at", (("0.0.0.0", "127.0.0.3"),
                                        pytest.param("::", "::1", marks=needs_ipv6)))
def test_the_answer_goes_to_the_proxy(start_datagrams, listen, at):
    """From the address that it asked (C37)."""
    _, address = start_datagrams(listen, at, trusted=["127.0.0.1", "::1"])
    with udp_socket(address) as sock:
        for client in (NEIGHBOUR, "fd00::7"):
            sock.send(v2(client) + wire.query("www.example", id=7))
            assert wire.parse(sock.recv(4096)).id == 7


def test_of_a_datagram_too_the_client_counts(start_datagrams):
    """Who may not ask is told so, through the proxy (limits 51); who is nobody's proxy is not."""
    proxy, address = start_datagrams(trusted=["127.0.0.1"])
    answer = wire.parse(udp(address, v2(STRANGER) + wire.query("www.example")))
    assert answer.rcode() == dns.rcode.REFUSED
    with udp_socket(address) as sock, udp_socket(address, "127.0.0.2") as other:
        for octets in (wire.query("www.example"), v1(NEIGHBOUR) + wire.query("www.example"),
                       v2(NEIGHBOUR)[:20], SIGNATURE):
            sock.send(octets)
        other.send(v2(NEIGHBOUR) + wire.query("www.example"))
        sock.send(v2(NEIGHBOUR) + wire.query("www.example", id=7))
        assert wire.parse(sock.recv(4096)).id == 7
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.recv(4096)
    counters = proxy.counters()
    assert counters["proxy_dropped"] == 4 and counters["access_dropped"] == 1


def test_each_proxy_of_a_client_gets_its_answer(start, upstream):
    """Its repetition may take another way, and the first one may be why it is repeated."""
    port = free_port()
    proxy = start(upstream, workers=1, listen=[
        ("127.0.0.1", free_port()), {"address": "127.0.0.1", "port": port, "proxy_protocol": True,
                                     "trusted": ["127.0.0.0/8"]}])
    message = v2(NEIGHBOUR) + wire.query("slow.example", id=7)
    upstream.hold("slow.example.")
    with udp_socket(("127.0.0.1", port), "127.0.0.2") as first, \
            udp_socket(("127.0.0.1", port), "127.0.0.3") as second:
        first.send(message)
        second.send(message)
        second.send(message)
        wait_for(lambda: proxy.counters().get("udp_queries") == 3)
        upstream.release("slow.example.")
        assert wire.parse(first.recv(4096)).id == wire.parse(second.recv(4096)).id == 7
    assert proxy.counters()["repeated"] == 1


def test_a_datagram_of_who_is_blocked_is_dropped(start_datagrams, place):
    proxy, address = start_datagrams(control_socket=str(place / "control"))
    proxy.ctl("block", NEIGHBOUR)
    with udp_socket(address) as sock:
        sock.send(v2(NEIGHBOUR) + wire.query("www.example"))
        sock.send(v2("192.168.7.8") + wire.query("www.example", id=7))
        assert wire.parse(sock.recv(4096)).id == 7
    assert proxy.counters()["blocked_refused"] == 1
