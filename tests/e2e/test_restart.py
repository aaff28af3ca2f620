# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# A restart under a service manager that keeps descriptors: the harness stands for systemd's store,
# and the process that comes after is passed what the one before gave it.

import errno
import os
import signal
import socket

import pytest

from harness import wire
from harness.client import ask, udp_socket
from harness.process import kill, passing
from harness.refusal import is_possible as refusal_is_possible
from harness.refusal import refusing
from harness.waiting import free_port, wait_for


class Kept:
    """What `proxy` gave to keep, and still open when it has ended."""

    def __init__(self, proxy):
        assert proxy.stop() == 0
        self.descriptors = proxy.take_kept()

    def names(self):
        return sorted(name for name, _ in self.descriptors)

    def number(self, wanted):
        return next(number for name, number in self.descriptors if name == wanted)

    def passed(self):
        """The arguments for the process that comes after."""
        return {**passing([number for _, number in self.descriptors]),
                "environment": {"LISTEN_FDNAMES": ":".join(name for name, _ in self.descriptors)}}

    def close(self):
        for _, number in self.descriptors:
            os.close(number)
        self.descriptors = []


def settings(proxy):
    return {"listen": proxy.listen, "workers": 1, "cache": {"size": "1M"}}


def test_a_restart_loses_no_question(start, prepare, upstream):
    """Asked while nobody is there: it waits in the socket, which nobody binds again."""
    first = start(upstream, workers=1, cache={"size": "1M"})
    assert ask(first.address, "before.example").answer
    kept = Kept(first)
    assert kept.names() == ["cache", "listen", "listen"]
    with udp_socket(first.address) as sock, \
            socket.create_connection(first.address, 20) as stream:
        sock.send(wire.query("between.example", id=77))
        message = wire.query("stream.example", id=78)
        stream.sendall(len(message).to_bytes(2, "big") + message)
        second = prepare(upstream, **settings(first), **kept.passed()).start()
        assert wire.address_in(sock.recv(65536)) == wire.address_of("between.example")
        assert stream.recv(2)
    kept.close()
    assert "took over udp" in second.log and "took over tcp" in second.log
    second.reload()
    assert ask(second.address, "after.example").answer


def test_a_restart_keeps_the_cache(start, prepare, upstream):
    first = start(upstream, workers=1, cache={"size": "1M"})
    for number in range(20):
        assert ask(first.address, f"kept{number}.example").answer
    asked = len(upstream.queries)
    kept = Kept(first)
    second = prepare(upstream, **settings(first), **kept.passed()).start()
    kept.close()
    for number in range(20):
        assert wire.address_in(ask(second.address, f"kept{number}.example").to_wire()) \
            == wire.address_of(f"kept{number}.example")
    assert len(upstream.queries) == asked
    third = Kept(second)
    assert third.names() == ["cache", "listen", "listen"]
    third.close()


def test_a_cache_of_another_size_is_let_go(start, prepare, upstream):
    first = start(upstream, workers=1, cache={"size": "2M"})
    assert ask(first.address, "gone.example").answer
    kept = Kept(first)
    second = prepare(upstream, **settings(first), **kept.passed()).start()
    kept.close()
    assert ask(second.address, "gone.example").answer
    assert len(upstream.queries) == 2
    assert "the cache begins empty" in second.log


def test_a_cache_of_other_upstreams_is_let_go_and_so_said(start, prepare, upstream):
    first = start(upstream, workers=1, cache={"size": "1M"})
    kept = Kept(first)
    changed = {"name": "other.example", "addresses": [upstream.address], "port": upstream.port}
    second = prepare(changed, upstream, **settings(first), **kept.passed()).start()
    kept.close()
    assert "the cache begins empty: what was kept are the answers of other upstreams" in second.log


@pytest.mark.skipif(not refusal_is_possible, reason="this machine's system calls are not known")
def test_a_cache_that_nobody_lived_to_use_is_not_passed_on(start, prepare, upstream):
    """A cache that kills who takes it over would do so for ever: it is given back to keep by who
    serves with it. Here there is no epoll set to be had, and no worker gets ready."""
    first = start(upstream, workers=1, cache={"size": "1M"})
    kept = Kept(first)
    passed = kept.passed()
    passed["launcher"] += refusing("epoll_create1", errno.EMFILE)
    second = prepare(upstream, **settings(first), **passed)
    # What systemd has kept so far, and keeps for as long as it is not told otherwise.
    second.kept = {"cache": [os.dup(kept.number("cache"))]}
    second.expect_clean_exit = False
    second.launch()
    kept.close()
    assert second.process.wait(20) == 1
    assert "cannot start" in second.log
    wait_for(lambda: not second.kept)


def test_a_configuration_that_cannot_work_costs_no_cache(start, prepare, upstream):
    """Whoever does not get as far as to use it has not died of it."""
    first = start(upstream, workers=1, cache={"size": "1M"})
    kept = Kept(first)
    second = prepare(upstream, ca_file="/nonexistent", **settings(first), **kept.passed())
    second.kept = {"cache": [os.dup(kept.number("cache"))]}
    second.expect_clean_exit = False
    second.launch()
    kept.close()
    assert second.process.wait(20) == 2
    assert list(second.kept) == ["cache"]


def test_workers_that_crash_again_and_again_begin_with_an_empty_cache(start, upstream):
    """It outlives them all, so it may be why; who was killed by somebody else is no such sign."""
    proxy = start(upstream, workers=1, cache={"size": "1M"})
    assert ask(proxy.address, "known.example").answer
    for number in (*[signal.SIGKILL] * 4, *[signal.SIGABRT] * 2):
        kill(wait_for(proxy.workers)[0], number)
        assert ask(proxy.address, "known.example").answer  # by the one that comes after
    assert len(upstream.queries) == 1
    kill(wait_for(proxy.workers)[0], signal.SIGABRT)
    wait_for(lambda: "what was cached is forgotten" in proxy.log)
    proxy.wait_for_notification("READY=1", 2)
    wait_for(lambda: len(proxy.workers()) == 1)
    assert ask(proxy.address, "known.example").answer
    assert len(upstream.queries) == 2
    # Nobody asked for a reload.
    assert "began anew: serving with" in proxy.log and "reloaded" not in proxy.log
    assert not proxy.counters().get("reloads_ok")
    # Not the reason: their places are filled later and later, and the cache stays.
    for _ in range(4):
        kill(wait_for(proxy.workers)[0], signal.SIGABRT)
        assert ask(proxy.address, "known.example").answer
    assert len(upstream.queries) == 2
    assert proxy.log.count("what was cached is forgotten") == 1


def test_memory_that_is_no_cache_is_let_go(start, prepare, upstream):
    """Of the right size, and full of anything."""
    first = start(upstream, workers=1, cache={"size": "1M"})
    assert ask(first.address, "torn.example").answer
    kept = Kept(first)
    os.pwrite(kept.number("cache"), os.urandom(4096), 0)
    second = prepare(upstream, **settings(first), **kept.passed()).start()
    kept.close()
    assert ask(second.address, "torn.example").answer
    assert len(upstream.queries) == 2


def test_a_kept_socket_that_is_not_configured_any_more_is_closed(start, prepare, upstream):
    first = start(upstream, workers=1)
    kept = Kept(first)
    second = prepare(upstream, listen=[("127.0.0.1", free_port())], workers=1,
                     **kept.passed()).start()
    kept.close()
    assert ask(second.address, "elsewhere.example").answer

    def is_free():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            try:
                udp.bind(first.address)
                tcp.bind(first.address)
            except OSError:
                return False
            return True
    wait_for(is_free)


def test_what_is_of_no_use_is_closed_with_a_warning(prepare, upstream):
    """A pipe by a name of ours, and memory by another's."""
    reading, writing = os.pipe()
    memory = os.memfd_create("test")
    proxy = prepare(upstream, workers=1, **passing([reading, writing, memory]),
                    environment={"LISTEN_FDNAMES": "cache:listen:what"}).start()
    for number in (reading, writing, memory):
        os.close(number)
    assert ask(proxy.address, "served.example").answer
    for name in ("cache", "listen", "what"):
        assert f"what was passed as \"{name}\" is no use" in proxy.log
    targets = [os.readlink(f"/proc/{proxy.pid}/fd/{one}")
               for one in os.listdir(f"/proc/{proxy.pid}/fd")]
    assert not any("memfd:test" in one for one in targets)


def test_what_is_kept_follows_a_reload(start, upstream):
    """Another listener takes its place; no cache, nothing kept of it."""
    proxy = start(upstream, workers=1, cache={"size": "1M"})
    wait_for(lambda: sorted(proxy.kept) == ["cache", "listen"])
    added = {"address": "127.0.0.1", "port": free_port()}
    proxy.write_configuration(listen=[*proxy.settings["listen"], added], cache={"size": "0"})
    proxy.reload()
    wait_for(lambda: sorted(proxy.kept) == ["listen"] and len(proxy.kept["listen"]) == 4)
