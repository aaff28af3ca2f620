# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Who may ask (limits 40 to 43, 61): each listener and each kind of client, before and after a
# reload, in a network where all of them are here.

import os
import subprocess

import pytest

from harness import wire
from harness.client import TcpClient, udp_socket
from harness.ipv6 import needs_ipv6
from harness.network import ip, with_sources
from harness.process import binary
from harness.waiting import free_port, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network")

PREFIXES = ["198.51.100.0/24", "203.0.113.0/24", "192.168.7.0/24"]
ON_LINK, STRANGER, PRIVATE = "198.51.100.7", "203.0.113.7", "192.168.7.7"
PREFIXES_6 = ["2001:db8:1::/64", "2001:db8:2::/64", "fd00:7::/64"]
ON_LINK_6, STRANGER_6, PRIVATE_6 = "2001:db8:1::7", "2001:db8:2::7", "fd00:7::7"
PROHIBITED = b"\0\x12your network may not ask here"


def in_network(action, prefixes=PREFIXES):
    """`action()` where this host is 198.51.100.1/24 and 2001:db8:1::1/64."""
    def enter():
        ip("addr", "add", "198.51.100.1/24", "dev", "lo")
        if prefixes is not PREFIXES:
            ip("addr", "add", "2001:db8:1::1/64", "dev", "lo")
        action()
    with_sources(prefixes, enter)


def over_udp(address, source):
    """The answer to one question. A network hears only once a second that it may not ask: who hears
    nothing asks again."""
    with udp_socket(address, source) as sock:
        sock.settimeout(0.2)

        def answer():
            sock.send(wire.query("who.example", edns=0))
            try:
                return wire.parse(sock.recv(65536))
            except TimeoutError:
                return None
        return wait_for(answer, what=f"an answer to {source}")


def may_ask(address, source):
    """Whether both transports answer; either both do or none does."""
    answer = over_udp(address, source)
    allowed = answer.rcode() == 0
    if not allowed:
        assert answer.rcode() == 5
        assert wire.options_of(answer, wire.EDE) == [PROHIBITED]
    with TcpClient(address, source=source) as client:
        if not allowed:
            assert client.is_closed_by_peer()
        else:
            client.send(wire.query("who.example"))
            assert wire.parse(client.receive()).rcode() == 0
    return allowed


def test_only_own_networks_may_ask(prepare, serve):
    """By default; before and after a reload."""
    def check():
        proxy = prepare(serve(), listen=[("0.0.0.0", free_port())], workers=1).start()
        address = ("127.0.0.1", proxy.address[1])
        for _ in range(2):
            assert may_ask(address, "127.0.0.1")
            assert may_ask(address, PRIVATE)
            assert may_ask(address, ON_LINK)
            assert not may_ask(address, STRANGER)
            proxy.reload()
    in_network(check)


@needs_ipv6
def test_only_own_networks_may_ask_over_ipv6(prepare, serve):
    def check():
        proxy = prepare(serve(), listen=[("::", free_port())], workers=1).start()
        address = ("::1", proxy.address[1])
        assert may_ask(address, "::1")
        assert may_ask(address, PRIVATE_6)
        assert may_ask(address, ON_LINK_6)
        assert not may_ask(address, STRANGER_6)
    in_network(check, PREFIXES_6)


def test_refusals_are_counted(prepare, serve):
    """Each question of a stranger is in one counter. It reaches nobody, and few are answered."""
    def check():
        upstream = serve()
        proxy = prepare(upstream, listen=[("0.0.0.0", free_port())], workers=1).start()
        address = ("127.0.0.1", proxy.address[1])
        with udp_socket(address, STRANGER) as sock:
            for _ in range(20):
                sock.send(wire.query("who.example"))
            over_udp(address, "127.0.0.1")
        counters = proxy.counters()
        assert counters["access_refused"] + counters["access_dropped"] == 20
        assert counters["access_refused"] == counters["responses_refused"] >= 1
        assert len(upstream.queries) == 1
        # What is no question is not answered, and neither is what another server says.
        before = counters["access_refused"]
        with udp_socket(address, STRANGER) as sock:
            sock.send(b"\0\0\1")
            sock.send(wire.answer(wire.query("who.example")))
            over_udp(address, "127.0.0.1")
        counters = proxy.counters()
        assert counters["access_refused"] == before
    in_network(check)


def test_connections_are_looked_at_again_when_they_are_handed_over(prepare, serve):
    """A reload after which their clients may not ask ends them; the others go on."""
    def check():
        proxy = prepare(serve(), listen=[("0.0.0.0", free_port())], allow=["any"]).start()
        address = ("127.0.0.1", proxy.address[1])
        with TcpClient(address, source=STRANGER) as stranger, \
                TcpClient(address, source=ON_LINK) as neighbour:
            for client in (stranger, neighbour):
                client.send(wire.query("who.example"))
                assert wire.parse(client.receive()).rcode() == 0
            proxy.write_configuration(allow=["local"])
            proxy.reload()
            assert stranger.is_closed_by_peer()
            neighbour.send(wire.query("who.example"))
            assert wire.parse(neighbour.receive()).rcode() == 0
    in_network(check)


def test_a_network_that_comes_at_run_time_may_ask(prepare, serve):
    """And one that goes may not, without a reload."""
    def check():
        proxy = prepare(serve(), listen=[("0.0.0.0", free_port())], workers=2).start()
        address = ("127.0.0.1", proxy.address[1])

        def rcode():
            return over_udp(address, STRANGER).rcode()
        assert rcode() == 5
        ip("addr", "add", "203.0.113.1/24", "dev", "lo")
        wait_for(lambda: rcode() == 0, what="the new network to be known")
        ip("addr", "del", "203.0.113.1/24", "dev", "lo")
        wait_for(lambda: rcode() == 5, what="the network to be forgotten")
    in_network(check)


@needs_ipv6
@pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="no tunnels here")
def test_a_tunnel_is_on_link(prepare, serve):
    """The kernel names no other end of a point-to-point link whose address has a prefix."""
    def check():
        ip("tuntap", "add", "dev", "vpn", "mode", "tun")
        ip("addr", "add", "2001:db8:9::1/64", "dev", "vpn", "nodad")
        ip("link", "set", "vpn", "up")
        proxy = prepare(serve(), listen=[("::", free_port())], workers=1).start()
        address = ("::1", proxy.address[1])
        assert may_ask(address, "2001:db8:9::7")
        assert not may_ask(address, STRANGER_6)
    in_network(check, [*PREFIXES_6, "2001:db8:9::/64"])


def test_who_lets_everybody_ask_is_told(prepare, serve):
    """By -t and at the start and a reload, for each address beyond loopback."""
    def check():
        port, other = free_port(), free_port()
        proxy = prepare(serve(), listen=[("0.0.0.0", port)])
        everywhere = f": listen: everybody may ask at 0.0.0.0:{port}, "
        assert everywhere not in proxy.start().log
        proxy.write_configuration(allow=["any"], listen=[
            {"address": "0.0.0.0", "port": port},
            {"address": "127.0.0.1", "port": other},
            {"address": "198.51.100.1", "port": other, "allow": ["local"]}])
        tested = subprocess.run([binary(), "-t", "-c", proxy.config_file], check=True,
                                capture_output=True, text=True)
        proxy.reload()
        for said in (tested.stderr, proxy.log):
            assert said.count("everybody may ask") == 1
            assert everywhere in said
    in_network(check)


def test_one_listener_opens_no_other(prepare, serve):
    def check():
        port, open_port = free_port(), free_port()
        proxy = prepare(serve(), workers=1, listen=[("0.0.0.0", port)])
        proxy.write_configuration(listen=[
            {"address": "0.0.0.0", "port": port},
            {"address": "0.0.0.0", "port": open_port, "allow": ["any", "!203.0.113.8"]}])
        proxy.start()
        assert not may_ask(("127.0.0.1", port), STRANGER)
        assert may_ask(("127.0.0.1", open_port), STRANGER)
        assert not may_ask(("127.0.0.1", open_port), "203.0.113.8")
    in_network(check)
