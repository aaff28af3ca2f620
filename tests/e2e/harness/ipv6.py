# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Not every machine has IPv6.

import errno
import socket

import pytest

# What is said of an address that this machine has not.
NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _has_loopback():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not _has_loopback(), reason="this machine has no ::1")
