# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# At a start and at a reload every address of every upstream is connected to once, though nobody asks:
# what is wrong with one shows then, and not when it is needed.

import contextlib
import re
import signal

import pytest

from harness import configuration
from harness.blackhole import Blackhole
from harness.certificates import DAY
from harness.client import ask
from harness.process import kill
from harness.waiting import free_port, in_time, wait_for

# A check that is to succeed, or to fail for another reason, has time for a machine that is away for a
# moment; one that is to take all the time there is does not make a test long.
CALM, BRIEF = {"timeouts": {"connect": "10s"}}, {"timeouts": {"connect": "4s"}}


def entry(server, **changes):
    return configuration.describe(server) | changes


def stall(_):
    """A script: the connection is accepted and there is no handshake."""
    return False


def warnings(proxy):
    return re.findall(r"warning: (.*)", proxy.log)


# What is wrong with a server's certificate or with what is configured, and what is said of it.
FAULTS = {
    "name": ({"names": ("other.example",)}, {}, "not for dot.example but for other.example"),
    "pin": ({}, {"pins": ["A" * 43 + "="]}, "pinned"),
    "expired": ({"valid": (-2 * DAY, -DAY)}, {}, "expired"),
    "authority": ({"self_signed": True}, {}, "issuer is unknown"),
}


@pytest.fixture(params=FAULTS)
def faulty(request, serve, authority):
    """A server that cannot be trusted, its entry in the configuration, and the reason."""
    certificate, changes, reason = FAULTS[request.param]
    server = serve(authority.leaf(**certificate))
    return server, entry(server, **changes), reason


@pytest.fixture
def blackhole():
    with contextlib.closing(Blackhole()) as hole:
        yield hole


def test_what_is_wrong_is_said_at_a_start_and_at_a_reload(start, upstream, faulty):
    """In one line each time, by one of the workers, though nobody asks; the first one is well."""
    server, described, reason = faulty
    proxy = start(upstream, described, workers=3, **CALM)
    line = wait_for(lambda: warnings(proxy))[0]
    assert line.startswith(f"upstream dot.example at 127.0.0.1:{server.port}: ") and reason in line
    proxy.reload()
    wait_for(lambda: len(warnings(proxy)) == 2)
    assert proxy.stop() == 0
    assert warnings(proxy) == [line, line]
    assert len(server.checks) == len(upstream.checks) == 2
    assert not server.connections and not upstream.connections


def test_ordinary_use_does_not_say_it_again(start, faulty):
    server, described, _ = faulty
    proxy = start(described, workers=1, **CALM)
    wait_for(lambda: warnings(proxy))
    ask(proxy.address, "refused.example")
    assert server.connections and len(warnings(proxy)) == 1 and not server.queries


def test_of_what_works_nothing_is_said(start, serve):
    """Two addresses are two checks, whatever the number of workers."""
    servers = [serve(), serve()]
    proxy = start(*servers, workers=3, **CALM)
    proxy.reload()
    counted = proxy.counters()
    assert proxy.stop() == 0
    assert not warnings(proxy)
    for server in servers:
        assert len(server.checks) == 2 and not server.connections
        assert all(one.handshaken for one in server.checks)
    assert not any(key.startswith(("udp_", "tcp_", "queries_")) for key in counted), counted


def test_a_worker_in_place_of_another_checks_nothing(start, upstream):
    proxy = start(upstream, workers=1)
    for _ in range(2):
        before = proxy.workers()
        kill(before[0])
        wait_for(lambda: proxy.workers() and proxy.workers() != before)
        ask(proxy.address, "again.example")
    assert proxy.stop() == 0
    assert len(upstream.checks) == 1 and len(upstream.queries) == 2
    assert {query.name for query in upstream.queries} == {"again.example."}


def test_what_is_not_there_is_said_and_delays_nobody(start, upstream, blackhole):
    proxy = start(upstream, blackhole, {"name": "dot.example", "addresses": ["127.0.0.1"],
                                        "port": free_port()}, workers=1, **BRIEF)
    in_time(1, lambda: ask(proxy.address, "prompt.example"))
    wait_for(lambda: len(warnings(proxy)) == 2)
    assert any(line.endswith("Connection refused") for line in warnings(proxy))
    assert any(line.endswith("no connection in time") for line in warnings(proxy))


def test_a_server_that_answers_no_probe_is_said_to_and_still_asked(prepare, serve):
    """Some are good for questions and never answer that one: it is not held against them."""
    first = serve(on_query=lambda query: None if query.is_probe else query.answer())
    second = serve()
    proxy = prepare(first, second, workers=1, **BRIEF)
    proxy.launch()  # the first server's script shall see the check
    proxy.wait_for_notification("READY=1")
    line = wait_for(lambda: warnings(proxy))[0]
    assert line == f"upstream dot.example at 127.0.0.1:{first.port}: no answer to a probe"
    assert ask(proxy.address, "good.example").answer
    assert first.asked("good.example") and not second.asked("good.example")
    assert len(warnings(proxy)) == 1


def test_a_check_holds_up_neither_a_reload_nor_an_end(prepare, serve):
    server = serve(on_accept=stall)
    proxy = prepare(server, workers=2, timeouts={"connect": "15s"})
    proxy.launch()
    proxy.wait_for_notification("READY=1")
    server.wait(lambda it: len(it.connections) == 1)
    before = set(proxy.workers())
    proxy.send_signal(signal.SIGHUP)
    proxy.wait_for_notification("READY=1", 2)
    server.wait(lambda it: len(it.connections) == 2 and it.connections[0].ended)
    wait_for(lambda: not before & set(proxy.workers()))
    in_time(10, lambda: proxy.stop(), attempts=1)
    assert not warnings(proxy)
