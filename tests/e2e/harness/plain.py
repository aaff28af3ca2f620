# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# A scripted server that speaks DNS in the clear, over UDP and TCP on one port.

import contextlib
import socket
import struct
import threading

import dns.name

from . import wire
from .waiting import wait_for


class Asked:
    """One query that came in."""

    def __init__(self, raw, peer, transport):
        self.raw, self.peer, self.transport = raw, peer, transport
        self.id = struct.unpack("!H", raw[:2])[0]
        self.spelled = dns.name.from_wire(raw, 12)[0].to_text()
        self.name = self.spelled.lower()

    @property
    def message(self):
        return wire.parse(self.raw)


class Framed(bytes):
    """What is said over TCP as it stands, and then the connection is closed."""


class PlainServer:
    """`script(asked)` gives the answer, or several, or None for none. By itself it says what is
    right."""

    def __init__(self, script=None, address="127.0.0.1"):
        self.script = script or (lambda asked: wire.answer(asked.raw))
        self.queries = []
        self._udp, self._tcp = self._bind(address)
        self.port = self._udp.getsockname()[1]
        self.address = address
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    @staticmethod
    def _bind(address):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        while True:  # until a port is free for both
            udp = socket.socket(family, socket.SOCK_DGRAM)
            udp.bind((address, 0))
            tcp = socket.socket(family)
            try:
                tcp.bind(udp.getsockname())
            except OSError:
                udp.close()
                tcp.close()
                continue
            tcp.listen(64)
            return udp, tcp

    def group(self, name="router"):
        """Its entry in the configuration."""
        return {"group": name, "transport": "plain", "addresses": [self.address], "port": self.port}

    def asked(self, name, transport=None):
        return [one for one in self.queries if one.name == name + "." and
                transport in (None, one.transport)]

    def wait_for_query(self, name, transport=None):
        return wait_for(lambda: self.asked(name, transport), what=f"{name} to be asked for")

    def send(self, asked, message):
        """Says something over UDP to who asked that."""
        self._udp.sendto(message, asked.peer)

    def close(self):
        for one in (self._udp, self._tcp):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _answers(self, raw, peer, transport):
        asked = Asked(raw, peer, transport)
        self.queries.append(asked)
        given = self.script(asked)
        return [] if given is None else given if isinstance(given, list) else [given]

    def _serve_udp(self):
        with contextlib.suppress(OSError):
            while True:
                raw, peer = self._udp.recvfrom(65536)
                if not raw:  # closed
                    return
                for answer in self._answers(raw, peer, "udp"):
                    self._udp.sendto(answer, peer)

    def _serve_tcp(self):
        with contextlib.suppress(OSError):
            while True:
                connection, peer = self._tcp.accept()
                threading.Thread(target=self._serve_one, args=(connection, peer),
                                 daemon=True).start()

    def _serve_one(self, connection, peer):
        with contextlib.closing(connection), contextlib.suppress(OSError, EOFError):
            stream = connection.makefile("rb")
            while prefix := stream.read(2):
                raw = stream.read(struct.unpack("!H", prefix)[0])
                for answer in self._answers(raw, peer, "tcp"):
                    framed = isinstance(answer, Framed)
                    connection.sendall(answer if framed else
                                       struct.pack("!H", len(answer)) + answer)
                    if framed:
                        return
