# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Bounded waiting. A test waits for what it needs, never for a time it hopes is long enough.

import random
import socket
import time

from .ipv6 import NOT_HERE, family_of

# What a correct program does at once may still take this long on a machine that is busy with
# other things, or under a sanitizer. It bounds failures; no test that passes lasts so long.
PATIENCE = 20.0


def wait_for(condition, timeout=PATIENCE, what=None):
    """Polls until `condition()` is true and returns its value; fails the test after `timeout`."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout} s: {what or condition}")
        time.sleep(0.005)


def free_port(addresses=("127.0.0.1", "::1")):
    """A port that nobody has for UDP or TCP at any of `addresses`.

    It lies below the range that the kernel gives out by itself, so that no connection of anybody
    takes it between this call and its use.
    """
    for _ in range(1000):
        port = random.randint(12000, 32000)
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
