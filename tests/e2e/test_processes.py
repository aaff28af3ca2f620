# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Master and workers: what dies is replaced, what is replaced leaves nothing behind, and the service
# goes on (rules L60-L63, L68, L73).

import os
import pathlib
import signal
import socket
import time

import dns.rcode
import pytest

from harness import wire
from harness.client import TcpClient, ask
from harness.load import Load
from harness.process import has_ended, kill, state_of
from harness.waiting import awake, free_port, wait_for

WORKERS = 3


@pytest.fixture
def proxy(start, upstream):
    return start(upstream, workers=WORKERS)


def assert_complete(proxy):
    wait_for(lambda: len(proxy.workers()) == WORKERS and not proxy.zombies(),
             what="all workers to be there, and no zombie")


def test_workers_are_as_many_as_configured(proxy):
    assert_complete(proxy)


def test_a_killed_worker_is_replaced(proxy):
    """L61"""
    assert_complete(proxy)
    victim = proxy.workers()[0]
    kill(victim)
    wait_for(lambda: victim not in proxy.children())
    assert_complete(proxy)
    assert ask(proxy.address, "after.example").answer


def test_a_worker_killed_under_load_takes_only_its_own_with_it(proxy):
    """L60, L61: questions that it had taken are lost, all others are answered."""
    assert_complete(proxy)
    with Load(proxy.address, rate=200) as load:
        wait_for(lambda: len(load.asked) > 50)
        for victim in proxy.workers():
            before = len(load.asked)
            wait_for(load.is_calm)
            kill(victim)
            wait_for(lambda: len(load.asked) > before + 50)
        assert_complete(proxy)
    # Answers take a millisecond: a worker that dies has a question or two.
    assert len(load.lost) <= 2 * WORKERS and not load.failed and not load.crossed


def test_all_workers_killed_at_once_again_and_again(proxy):
    """L61: signals merge, children do not get lost; a hundred times.

    Slots whose workers die again and again are filled later and later, so that all hundred in one
    generation would take most of an hour. Each round has a generation of its own, whose slots have
    no past; the rounds of one generation are in the next test.
    """
    for turn in range(100):
        assert_complete(proxy)
        for victim in proxy.workers():
            kill(victim)
        if turn % 10 == 0:
            assert ask(proxy.address, f"turn{turn}.example").answer
        assert_complete(proxy)
        proxy.reload()
    assert_complete(proxy)
    assert proxy.process.poll() is None
    assert ask(proxy.address, "after.example").answer


def test_all_workers_of_a_generation_killed_at_once_again_and_again(proxy):
    """L61, with the pauses of L60: 0, 0.1, 0.2, 0.4 and 0.8 s."""
    for turn in range(5):
        assert_complete(proxy)
        for victim in proxy.workers():
            kill(victim)
        assert ask(proxy.address, f"turn{turn}.example").answer
    assert_complete(proxy)
    assert proxy.process.poll() is None


def test_workers_that_die_at_once_are_not_forked_without_pause(proxy):
    """L60: exponential back-off, slot by slot."""
    assert_complete(proxy)
    seen, began = set(), time.monotonic()

    def kill_all():
        for victim in proxy.workers():
            seen.add(victim)
            kill(victim)
        return time.monotonic() - began > 2
    wait_for(kill_all)
    # Without pause, this would be hundreds.
    assert len(seen) < 60
    assert proxy.process.poll() is None
    assert ask(proxy.address, "after.example").answer


def test_a_stopped_worker_does_not_stop_the_others(proxy):
    """A worker that hangs: it may hold one question, the others take what comes."""
    assert_complete(proxy)
    victim = proxy.workers()[0]
    os.kill(victim, signal.SIGSTOP)
    try:
        with Load(proxy.address, rate=100) as load:
            wait_for(lambda: len(load.asked) > 100)
    finally:
        kill(victim, signal.SIGCONT)
    assert len([one for one in load.asked if one.good]) >= len(load.asked) - 5


def test_a_worker_that_hangs_is_replaced(start, upstream):
    """It answers no ping. With a watchdog, they come as often as a sign of life is due."""
    proxy = start(upstream, workers=WORKERS, environment={"WATCHDOG_USEC": "3000000"})
    assert_complete(proxy)
    victim, *others = proxy.workers()
    os.kill(victim, signal.SIGSTOP)
    wait_for(lambda: victim not in proxy.children(), what="the master to end it")
    assert f"(pid {victim}) does not respond" in proxy.log
    assert_complete(proxy)
    assert set(others) < set(proxy.workers())
    assert ask(proxy.address, "after.example").answer


def test_a_master_that_was_stopped_blames_no_worker(start, upstream):
    """Pings are counted and not timed: a pause of the master itself, or of the whole machine, is
    nothing that a worker did. Meanwhile the workers go on without it."""
    proxy = start(upstream, workers=WORKERS, environment={"WATCHDOG_USEC": "2400000"})
    assert_complete(proxy)
    workers = proxy.workers()
    with Load(proxy.address, rate=100) as load:
        proxy.send_signal(signal.SIGSTOP)
        try:
            wait_for(lambda: state_of(proxy.pid) == "T")
            began = len(load.asked)
            wait_for(lambda: len(load.asked) > began + 300)  # three seconds: seven pings
        finally:
            proxy.send_signal(signal.SIGCONT)
        alive = proxy.lines().count("WATCHDOG=1")
        proxy.wait_for_notification("WATCHDOG=1", alive + 3)
    load.assert_flawless()
    assert proxy.workers() == workers and "does not respond" not in proxy.log


def test_descriptors_stay_constant_over_kills_and_reloads(proxy):
    """L63: master and workers, over 200 of each; a kill after each reload, which the new
    generation's slots make good at once (L60)."""
    assert_complete(proxy)
    ask(proxy.address, "warm.example")
    proxy.reload()
    assert_complete(proxy)
    proxy.counters()  # when it has come to that, it has buried the old generation
    master = proxy.descriptors()
    worker = max(proxy.descriptors(pid) for pid in proxy.workers())
    for _ in range(200):
        victim = proxy.workers()[0]
        kill(victim)
        wait_for(lambda: victim not in proxy.children())
        assert_complete(proxy)
        proxy.reload()
    assert_complete(proxy)
    wait_for(lambda: proxy.descriptors() == master, what="no descriptor more than before")
    assert max(proxy.descriptors(pid) for pid in proxy.workers()) <= worker
    assert ask(proxy.address, "after.example").answer


def test_kills_leave_no_descriptor_behind(proxy):
    """L63"""
    assert_complete(proxy)
    before = proxy.descriptors()
    for _ in range(6):
        victim = proxy.workers()[0]
        kill(victim)
        wait_for(lambda: victim not in proxy.children())
        assert_complete(proxy)
    # A new worker is there before the master has closed its end of their channel.
    wait_for(lambda: proxy.descriptors() == before, what="no descriptor more than before")


def test_workers_leave_when_their_master_dies(proxy):
    """Every worker sees the end of its master, since no sibling holds the other end open."""
    assert_complete(proxy)
    workers = proxy.workers()
    proxy.expect_clean_exit = False
    kill(proxy.pid)
    proxy.process.wait(10)
    wait_for(lambda: all(map(has_ended, workers)), 10)


def test_workers_answer_what_they_hold_when_their_master_dies(start, upstream):
    """Within a second: whoever starts the service anew waits for them."""
    proxy = start(upstream, workers=1)
    upstream.hold("last.example.")
    with TcpClient(proxy.address) as client:
        client.send(wire.query("last.example", id=5))
        upstream.wait_for_query("last.example")
        proxy.expect_clean_exit = False
        kill(proxy.pid)
        proxy.process.wait(10)
        upstream.release("last.example.")
        assert client.receive()[:2] == b"\0\5"
        assert client.is_closed_by_peer()


def test_an_old_worker_that_is_killed_is_not_replaced(start, upstream):
    """L62: only the current generation is kept complete."""
    proxy = start(upstream, workers=1, timeouts={"drain": "20s", "query": "15s"})
    old, = proxy.workers()
    upstream.hold("held.example.")
    with TcpClient(proxy.address) as client:
        client.send(wire.query("held.example"))
        upstream.wait_for_query("held.example")
        ready = proxy.lines().count("READY=1")
        proxy.send_signal(signal.SIGHUP)
        proxy.wait_for_notification("READY=1", ready + 1)
        wait_for(lambda: len(proxy.workers()) == 2)
        new = [pid for pid in proxy.workers() if pid != old]
        kill(old)
        wait_for(lambda: old not in proxy.children())
        assert ask(proxy.address, "after.example").answer
        assert proxy.workers() == new
    upstream.release("held.example.")


def test_a_reload_while_workers_die_ends_complete(proxy):
    """L61, L62"""
    for _ in range(5):
        ready = proxy.lines().count("READY=1")
        proxy.send_signal(signal.SIGHUP)
        for victim in proxy.workers():
            kill(victim)
        wait_for(lambda: proxy.lines().count("READY=1") > ready or "RELOADING=1" in proxy.lines())
    wait_for(lambda: len(proxy.workers()) == WORKERS and not proxy.zombies(), 30)
    assert ask(proxy.address, "after.example").answer


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_is_clean(proxy, number):
    """TERM and INT: exit status 0, nobody is left."""
    ask(proxy.address, "before.example")
    assert proxy.stop(number) == 0
    wait_for(lambda: "STOPPING=1" in proxy.lines())


def takes_questions(address):
    try:
        return bool(ask(address, "new.example", timeout=0.3))
    except OSError:
        return False


def test_the_end_lets_questions_be_answered(start, upstream):
    """The drain: what was asked before TERM is answered, over UDP and TCP."""
    proxy = start(upstream, workers=1, timeouts={"drain": "15s", "query": "15s"})
    upstream.hold("last.example.")
    with TcpClient(proxy.address) as client:
        client.send(wire.query("last.example", id=5))
        upstream.wait_for_query("last.example")
        proxy.send_signal(signal.SIGTERM)
        proxy.wait_for_notification("STOPPING=1")
        # The worker may take questions until it has read what it was told.
        wait_for(lambda: not takes_questions(proxy.address))
        upstream.release("last.example.")
        assert wire.address_in(client.receive()) == wire.address_of("last.example")
        assert client.is_closed_by_peer()
    assert proxy.process.wait(10) == 0


def test_the_drain_has_an_end(start, upstream):
    """A question that is never answered holds the end up no longer than timeouts.drain."""
    proxy = start(upstream, workers=1, timeouts={"drain": "500ms", "query": "15s"})
    upstream.hold("never.example.")
    with TcpClient(proxy.address) as client:
        client.send(wire.query("never.example", id=5))
        upstream.wait_for_query("never.example")
        began = awake()
        proxy.send_signal(signal.SIGTERM)
        assert client.receive()[3] & 15 == dns.rcode.SERVFAIL
        assert proxy.process.wait(10) == 0
        assert awake() - began < 5


@pytest.mark.skipif(os.geteuid() != 0, reason="privileges can only be given up by root")
def test_privileges_are_given_up(start, upstream):
    """L68: users, groups, capabilities; for good; after a privileged port was bound."""
    port = next(port for port in range(700, 1023) if not _in_use(port))
    proxy = start(upstream, listen=[("127.0.0.1", port)])
    assert ask(proxy.address, "privileged.example").answer
    for pid in [proxy.pid, *proxy.workers()]:
        status = dict(line.split(":\t", 1) for line in pathlib.Path(
            f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
        assert set(status["Uid"].split()) == {"65534"}, status["Uid"]
        assert set(status["Gid"].split()) == {"65534"}
        assert status["Groups"].strip() in ("", "65534")
        for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert int(status[kind], 16) == 0
        assert status["NoNewPrivs"].strip() == "1"
    proxy.reload()
    assert ask(proxy.address, "after-reload.example").answer


def _in_use(port):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return True
    return False


def test_an_address_that_is_not_there_yet_can_be_listened_at(start, upstream):
    """IP_FREEBIND: an interface that comes up after boot."""
    proxy = start(upstream, listen=[("127.0.0.1", free_port()), ("192.0.2.199", free_port())])
    assert ask(proxy.address, "there.example").answer


def test_a_port_that_is_taken_is_an_error(start, prepare, upstream):
    first = start(upstream)
    second = prepare(upstream, listen=first.listen)
    second.expect_clean_exit = False
    second.launch()
    assert second.process.wait(10) not in (0, None)
    assert str(first.address[1]) in second.log
    assert ask(first.address, "first.example").answer
