# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Many questions: at a steady rate while a test does something to the program (Load), or as fast as
# the answers come (flood). Each has a name of its own and is answered with that name's address, so
# that an answer that reaches the wrong question shows.

import select
import socket
import struct
import threading
import time

from . import wire
from .client import udp_socket
from .waiting import PATIENCE


class Asked:
    """One question of a load."""

    def __init__(self, name):
        self.name = name
        self.sent = time.monotonic()
        self.answered = None  # when
        self.good = False
        self.crossed = False

    def take(self, answer):
        self.answered = time.monotonic()
        self.crossed = wire.question_name(answer) != self.name + "."
        self.good = not self.crossed and wire.address_in(answer) == wire.address_of(self.name)


class Load(threading.Thread):
    """Asks for new names at a steady rate, from enter to exit of a `with` block. Then:

    asked: all questions; lost, failed, crossed: those that ended badly.
    Over TCP there is one connection. Where the server ends it, what is not answered is asked again
    on a new one, as a client should (RFC 7766, section 6.2.4).
    """

    def __init__(self, address, rate=200, transport="udp", prefix="load"):
        super().__init__(daemon=True)
        self.asked = []
        self.connections = 0
        self._address, self._interval, self._prefix = address, 1 / rate, prefix
        self._tcp = transport == "tcp"
        self._pending = {}
        self._halt = threading.Event()
        self._socket, self._octets = None, b""

    def __enter__(self):
        self._connect()
        self.start()
        return self

    def __exit__(self, *_):
        self._halt.set()
        self.join(2 * PATIENCE)
        assert not self.is_alive()
        self._socket.close()

    @property
    def lost(self):
        return [one for one in self.asked if one.answered is None]

    @property
    def failed(self):
        return [one for one in self.asked if one.answered and not one.good and not one.crossed]

    @property
    def crossed(self):
        return [one for one in self.asked if one.crossed]

    def is_calm(self):
        """Whether questions are answered as they come, so that hardly one is on its way. Else the
        machine is busy, and who is killed takes many along."""
        return sum(one.answered is None for one in self.asked[-20:]) <= 1

    def assert_flawless(self):
        assert self.asked and all(one.good for one in self.asked), \
            f"of {len(self.asked)}: {len(self.lost)} lost, {len(self.failed)} failed, " \
            f"{len(self.crossed)} crossed"

    def good_since(self, moment):
        """Whether a question asked after `moment` has been answered well."""
        return any(one.good for one in self.asked[-500:] if one.sent > moment)

    def run(self):
        due = time.monotonic()
        patience = None
        while True:
            now = time.monotonic()
            if self._halt.is_set():
                patience = patience or now + PATIENCE / 2
                if not self._pending or now > patience:
                    return
            elif now >= due:
                self._ask()
                due += self._interval
                continue
            wait = 0.05 if self._halt.is_set() else max(0, due - now)
            if select.select([self._socket], [], [], wait)[0]:
                self._receive()

    def _ask(self):
        number = len(self.asked) & 0xffff
        one = Asked(f"{self._prefix}{len(self.asked)}.example")
        self.asked.append(one)
        self._pending[number] = one
        self._send(number, one)

    def _send(self, number, one):
        message = wire.query(one.name, id=number)
        try:
            self._socket.send(struct.pack("!H", len(message)) + message if self._tcp else message)
        except ConnectionError:
            # Over TCP the end of the stream is read next. Over UDP it is a port that nobody
            # listens at, and a lost question.
            pass

    def _receive(self):
        try:
            octets = self._socket.recv(65536)
        except ConnectionError:
            octets = b""
        if not self._tcp:
            if octets:
                self._take(octets)
            return
        if not octets:
            self._connect()
            for number, one in list(self._pending.items()):
                self._send(number, one)
            return
        self._octets += octets
        while len(self._octets) >= 2:
            end = 2 + struct.unpack_from("!H", self._octets)[0]
            if len(self._octets) < end:
                break
            message, self._octets = self._octets[2:end], self._octets[end:]
            self._take(message)

    def _take(self, message):
        one = self._pending.pop(struct.unpack_from("!H", message)[0], None)
        if one:
            one.take(message)

    def _connect(self):
        if self._socket:
            self._socket.close()
        self._octets = b""
        self.connections += 1
        if self._tcp:
            self._socket = socket.create_connection(self._address[:2], PATIENCE)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self._socket = udp_socket(self._address)


def flood(address, names, window=64, edns=None):
    """Asks for all `names` over UDP, `window` of them at a time, and returns an Asked for each."""
    asked, pending, left = [], {}, iter(names)
    with udp_socket(address) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        exhausted = False
        while not exhausted or pending:
            while not exhausted and len(pending) < window:
                name = next(left, None)
                if name is None:
                    exhausted = True
                    break
                number = len(asked) & 0xffff
                asked.append(Asked(name))
                pending[number] = asked[-1]
                sock.send(wire.query(name, id=number, edns=edns))
            if not pending:
                break
            try:
                answer = sock.recv(65536)
            except TimeoutError:
                break
            one = pending.pop(struct.unpack_from("!H", answer)[0], None)
            if one:
                one.take(answer)
    return asked
