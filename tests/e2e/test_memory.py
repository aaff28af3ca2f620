# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Little memory, and few CPUs: limits of control groups, and what is done when memory has run out.

import os
import signal
import socket

import pytest

from harness import wire
from harness.cgroup import ControlGroup
from harness.client import TcpClient, ask, udp
from harness.process import kill
from harness.waiting import PATIENCE, wait_for

MEBI = 1 << 20
LARGE = 60000
RUN_OUT = "memory has run out"
CERTAIN, LIKELY = f"{RUN_OUT}, and workers are killed", f"probably as {RUN_OUT}"
BOUNDED = "is more than half of the memory there is"


@pytest.fixture
def group():
    """Makes control groups: group(controller) -> ControlGroup."""
    groups = []

    def make(controller):
        try:
            groups.append(ControlGroup(controller))
        except OSError as problem:
            pytest.skip(f"no control group can be made here: {problem}")
        return groups[-1]
    yield make
    for one in groups:
        one.close()


def large(query):
    query.connection.send(wire.sized_answer(query.raw, LARGE))


def cache_file(proxy):
    """The memory of the cache, as it was given to the service manager to keep."""
    return os.fstat(proxy.kept["cache"][0])


def resident(proxy):
    return cache_file(proxy).st_blocks * 512


def ask_for(client, names):
    """Asks for large answers; whether all came. A worker that dies takes its connections along."""
    for name in names:
        try:
            client.send(wire.query(name, "TYPE65280"))
            client.receive()
        except (OSError, EOFError):
            return False
    return True


def fill(proxy, octets, prefix):
    """Has answers of so many octets stored, over one connection."""
    names = [f"{prefix}{number}.example" for number in range(octets // LARGE)]
    with TcpClient(proxy.address) as client:
        return ask_for(client, names)


def control(path, request):
    """The answer to one request of the control socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(PATIENCE)
        client.connect(str(path))
        client.sendall(f"{request}\n".encode())
        answer = b""
        while not answer.endswith(b"ok\n"):
            answer += client.recv(4096) or pytest.fail(answer.decode())
        return answer.decode()


def test_cache_when_the_group_has_little_memory_then_half_of_it(group, upstream, start):
    limited = group("memory")
    limited.limit_memory(48 * MEBI)
    proxy = start(upstream, before=limited.enter, cache={"size": "64M"})
    wait_for(lambda: "cache" in proxy.kept)
    assert cache_file(proxy).st_size == 24 * MEBI
    assert proxy.log.count(BOUNDED) == 1, proxy.log
    assert "48M); the cache is given 24M" in proxy.log
    limited.limit_memory(256 * MEBI)
    proxy.reload()
    wait_for(lambda: cache_file(proxy).st_size == 64 * MEBI)
    assert proxy.log.count(BOUNDED) == 1, proxy.log
    ask(proxy.address, "a.example")


@pytest.mark.unsanitized  # whose own memory is what would run out
def test_cache_when_memory_runs_out_then_it_is_given_back(group, serve, start):
    limited = group("memory")
    limited.limit_memory(256 * MEBI)
    proxy = start(serve(on_query=large), before=limited.enter, workers=2, cache={"size": "64M"})
    assert fill(proxy, 24 * MEBI, "before")
    full = resident(proxy)
    assert full > 24 * MEBI
    # The worker that has used most of it is what the kernel will take for the culprit.
    limited.limit_memory(limited.memory() + 2 * MEBI)
    rounds = iter(range(1000))
    wait_for(lambda: not fill(proxy, MEBI, f"more{next(rounds)}") or RUN_OUT in proxy.log,
             what="memory to run out")
    wait_for(lambda: CERTAIN in proxy.log, what="the master to notice")
    wait_for(lambda: resident(proxy) < full / 2, what="the pages to be given back")
    # All serve again, and the rest of what they had in mind is stored.
    wait_for(lambda: len(proxy.workers()) == 2 and fill(proxy, 8 * MEBI, "after"))
    assert proxy.log.count(RUN_OUT) == 1, proxy.log


def kill_workers(proxy, times):
    """Kills the one worker as the kernel would, again and again; it serves in between."""
    for _ in range(times):
        seen = proxy.log.count("was killed by signal 9")
        kill(proxy.workers()[0], signal.SIGKILL)
        wait_for(lambda: proxy.log.count("was killed by signal 9") > seen)
        ask(proxy.address, "a.example")


def test_cache_when_workers_are_killed_and_nothing_is_counted_then_kept(group, upstream, start):
    proxy = start(upstream, before=group("memory").enter, workers=1, cache={"size": "8M"})
    ask(proxy.address, "a.example")
    kill_workers(proxy, 3)
    assert RUN_OUT not in proxy.log
    assert len(upstream.queries) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="whoever makes a group can read it")
def test_cache_when_two_are_killed_and_the_count_is_hidden_then_given_back(group, upstream, start):
    limited = group("memory")
    limited.hide()
    proxy = start(upstream, before=limited.enter, workers=1, cache={"size": "8M"})
    ask(proxy.address, "a.example")
    kill_workers(proxy, 1)
    assert RUN_OUT not in proxy.log
    assert len(upstream.queries) == 1
    kill_workers(proxy, 1)
    assert proxy.log.count(LIKELY) == proxy.log.count(RUN_OUT) == 1, proxy.log
    assert len(upstream.queries) == 2


def test_flush_when_everything_then_memory_is_given_back(place, serve, start):
    proxy = start(serve(on_query=large), cache={"size": "64M"}, workers=1,
                  control_socket=str(place / "control"))
    wait_for(lambda: "cache" in proxy.kept)
    for request in ("flush", "flush-below 00"):
        assert fill(proxy, 8 * MEBI, "a")
        assert resident(proxy) > 8 * MEBI
        assert control(place / "control", request) == f"flushed {8 * MEBI // LARGE}\nok\n"
        assert resident(proxy) < 2 * MEBI


def test_workers_when_there_is_a_quota_then_no_more_than_it_is_for(group, upstream, start):
    limited = group("cpu")
    limited.limit_cpus(0.5)
    proxy = start(upstream, before=limited.enter, workers=0)
    assert len(proxy.workers()) == 1
    udp(proxy.address, wire.query("a.example"))
    limited.limit_cpus(1.5)
    proxy.reload()
    assert len(proxy.workers()) == min(2, len(os.sched_getaffinity(0)))
