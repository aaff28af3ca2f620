# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# An address that swallows connections: the first packet of a handshake is never answered.

import contextlib
import socket

from .waiting import free_port


class Blackhole:
    """A listener whose queue is full; nobody accepts."""

    name = "dot.example"

    def __init__(self, address="127.0.0.1"):
        self.address = address
        self._listener = socket.socket()
        self._listener.bind((address, free_port((address, "::1"))))
        self._listener.listen(0)
        self.port = self._listener.getsockname()[1]
        self._fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect((address, self.port))
            self._fillers.append(filler)

    def close(self):
        for one in [self._listener, *self._fillers]:
            one.close()
