# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# A network of a test's own, with nothing in it but a loopback interface, where settings of the
# kernel can be changed. Only root makes one.

import concurrent.futures
import ctypes
import pathlib
import subprocess

_CLONE_NEWNET = 0x40000000


def in_own_network(action, **settings):
    """What `action()` returns in a network of its own: sockets that it opens and programs that it
    starts are in there. `settings` are those of net.ipv4."""
    def enter():
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNET) != 0:  # of this thread alone
            raise OSError(ctypes.get_errno(), "unshare")
        ip("link", "set", "lo", "up")
        for name, value in settings.items():
            pathlib.Path(f"/proc/sys/net/ipv4/{name}").write_text(str(value))
        return action()
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(enter).result()


def ip(*arguments):
    """ip(8), which must succeed."""
    subprocess.run(["ip", *arguments], check=True)


def with_sources(prefixes, action):
    """What `action()` returns in a network of its own in which every address of `prefixes` can be
    bound and gets answers, though this host has none of them (AnyIP)."""
    def enter():
        for prefix in prefixes:
            ip("-6" if ":" in prefix else "-4", "route", "add", "local", prefix, "dev", "lo")
        return action()
    return in_own_network(enter)
