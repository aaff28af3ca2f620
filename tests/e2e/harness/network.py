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
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        for name, value in settings.items():
            pathlib.Path(f"/proc/sys/net/ipv4/{name}").write_text(str(value))
        return action()
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(enter).result()
