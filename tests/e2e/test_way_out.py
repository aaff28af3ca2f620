# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# By which line an upstream is asked, where this machine has several: source and interface. The
# workers are shut in, so that the calls for it have to be among those that they may make.

import contextlib

import dns.rcode
import pytest

from harness.client import ask
from harness.network import in_own_network, ip
from harness.plain import PlainServer
from harness.waiting import wait_for

ROUTES = [{"domains": ["lan"], "group": "router"}]


def asked_by(upstream, **way):
    return {"name": upstream.name, "addresses": [upstream.address], "port": upstream.port} | way


@pytest.fixture
def start_astray(prepare):
    """dotproxy in front of upstreams that it cannot reach, so that no check of them succeeds."""
    def make(*upstreams, **how):
        proxy = prepare(*upstreams, workers=1, timeouts={"query": "2s", "connect": "1s"}, **how)
        proxy.launch()
        proxy.wait_for_notification("READY=1")
        return proxy
    return make


def assert_fails(proxy, name, reason):
    answer = ask(proxy.address, name, edns=0)
    assert answer.rcode() == dns.rcode.SERVFAIL
    assert any(reason in str(option) for option in answer.options), answer


@pytest.mark.parametrize("way,peer", [({"source": "127.0.0.77"}, "127.0.0.77"),
                                      ({"interface": "lo"}, "127.0.0.1")])
def test_it_is_asked_by_that_way(start, upstream, way, peer):
    proxy = start(asked_by(upstream, **way), workers=1)
    for name in ("one.example", "another.example"):
        assert ask(proxy.address, name).answer
    assert {one.peer for one in upstream.connections} == {peer}


@pytest.mark.parametrize("way,reason", [
    ({"source": "192.0.2.9"}, "source: Cannot assign requested address"),
    ({"interface": "none0"}, "interface: No such device"),
])
def test_what_cannot_leave_by_that_way_does_not_leave(start_astray, upstream, way, reason):
    proxy = start_astray(asked_by(upstream, **way))
    assert_fails(proxy, "stays.example", reason)
    assert not upstream.connections


@pytest.mark.parametrize("way", [{"source": "192.0.2.9"}, {"interface": "none0"}])
def test_another_line_to_the_same_server_stands_in(start, upstream, way):
    proxy = start(asked_by(upstream, **way), asked_by(upstream), workers=1)
    assert ask(proxy.address, "www.example").answer
    assert proxy.counters()["upstream_handshakes"]


def test_a_server_in_the_clear_is_asked_so_as_well(start, upstream):
    with contextlib.closing(PlainServer()) as server:
        router = server.group() | {"source": "127.0.0.78", "interface": "lo"}
        proxy = start(upstream, router, routes=ROUTES, workers=1)
        assert ask(proxy.address, "printer.lan").answer
        assert [one.peer[0] for one in server.asked("printer.lan")] == ["127.0.0.78"]


def test_a_way_that_is_missing_keeps_questions_in_the_clear_at_home(start, upstream):
    with contextlib.closing(PlainServer()) as server:
        proxy = start(upstream, server.group() | {"interface": "none0"}, routes=ROUTES, workers=1)
        assert_fails(proxy, "printer.lan", "interface: No such device")
        assert not server.queries


def test_a_line_that_comes_up_is_used(start_astray, serve):
    """No state needs a restart."""
    def check():
        upstream = serve()
        proxy = start_astray(asked_by(upstream, source="192.0.2.9"))
        assert ask(proxy.address, "before.example").rcode() == dns.rcode.SERVFAIL
        ip("address", "add", "192.0.2.9/32", "dev", "lo")
        wait_for(lambda: ask(proxy.address, f"after{len(upstream.queries)}.example").answer)
        assert {one.peer for one in upstream.connections} == {"192.0.2.9"}
    in_own_network(check)
