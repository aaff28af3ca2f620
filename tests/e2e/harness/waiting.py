# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Bounded waiting. A test waits for what it needs, never for a time it hopes is long enough.

import random
import socket
import time

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
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, kind) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
