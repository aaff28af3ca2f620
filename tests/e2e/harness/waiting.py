# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Bounded waiting. A test waits for what it needs, never for a time it hopes is long enough.

import itertools
import random
import socket
import threading
import time

from .ipv6 import NOT_HERE, family_of

# What a correct program does at once may still take this long on a machine that is busy with
# other things, or under a sanitizer. It bounds failures; no test that passes lasts so long.
PATIENCE = 20.0


class _Awake:
    """Tells the time that this machine was awake: a virtual one may stand still for a minute."""
    TICK = 0.01
    AT_MOST = 0.1  # what passes between two ticks while other programs have the processors

    def __init__(self):
        self._passed = 0.0
        self._last = time.monotonic()
        threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self):
        while True:
            time.sleep(self.TICK)
            now = time.monotonic()
            self._passed += min(now - self._last, self.AT_MOST)
            self._last = now

    def __call__(self):
        return self._passed


# Seconds, of which only differences count. What a correct program must not take longer than is
# measured by it, never what it must take at least.
awake = _Awake()


def wait_for(condition, timeout=PATIENCE, what=None):
    """Polls until `condition()` is true and returns its value; fails the test after `timeout`."""
    deadline = awake() + timeout
    while True:
        value = condition()
        if value:
            return value
        if awake() >= deadline:
            raise AssertionError(f"not within {timeout} s: {what or condition}")
        time.sleep(0.005)


def in_time(limit, action, attempts=3):
    """What `action()` returns, which takes a correct program less than `limit` seconds. Where it
    took longer, the machine may have been busy meanwhile, but not each time: it is done again."""
    for _ in range(attempts):
        began = awake()
        value = action()
        took = awake() - began
        if took < limit:
            return value
    raise AssertionError(f"{took} s in the end; not one of {attempts} times within {limit} s")


class _Ports:
    """The ports that this process gives out: no other run of tests beside it does, and none is
    given out again before all of them were."""

    SHARE = 500

    def __init__(self):
        shares = list(range(12000, 32000, self.SHARE))
        random.shuffle(shares)
        for first in shares:
            # A name in the network's namespace, like the ports; it is free again when we end.
            self._claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                self._claim.bind(f"\0dotproxy-e2e-ports-{first}")
                break
            except OSError:
                self._claim.close()
        else:
            raise RuntimeError("too many tests run beside each other")
        ports = list(range(first, first + self.SHARE))
        random.shuffle(ports)
        self.next = itertools.cycle(ports).__next__


_ports = _Ports()


def free_port(addresses=("127.0.0.1", "::1")):
    """A port that nobody has for UDP or TCP at any of `addresses`.

    It lies below the range that the kernel gives out by itself, so that no connection of anybody
    takes it between this call and its use; nor does a test that runs beside this one.
    """
    for _ in range(_ports.SHARE):
        port = _ports.next()
        if all(_is_free(address, kind, port) for address in addresses
               for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)):
            return port
    raise RuntimeError("no free port")


def _is_free(address, kind, port):
    try:
        with socket.socket(family_of(address), kind) as probe:
            probe.bind((address, port))
    except OSError as problem:
        return problem.errno in NOT_HERE
    return True
