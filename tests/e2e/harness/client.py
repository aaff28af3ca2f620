# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# Clients: one question at a time over UDP and TCP.

import contextlib
import select
import socket
import ssl
import struct

from . import wire
from .waiting import PATIENCE


_IPV6_FREEBIND = 78  # linux/in6.h


def bind_to(sock, source):
    """To an address that this host need not have as long as routes lead here: see network.py."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
    sock.bind((source, 0))


def udp_socket(address, source=None):
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.settimeout(PATIENCE)
    if source:
        bind_to(sock, source)
    sock.connect(address)
    return sock


def udp(address, message, timeout=PATIENCE):
    """Sends octets and returns the answer, octets as well; TimeoutError when there is none."""
    with contextlib.closing(udp_socket(address)) as sock:
        sock.settimeout(timeout)
        sock.send(message)
        return sock.recv(65536)


def tcp(address, message, timeout=PATIENCE):
    with TcpClient(address, timeout) as client:
        client.send(message)
        return client.receive()


TRANSPORTS = {"udp": udp, "tcp": tcp}


def ask(address, name, rdtype="A", *, transport="udp", timeout=PATIENCE, **fields):
    """Asks, checks that the answer belongs to the question, returns it parsed (dnspython).

    `fields`: see wire.query().
    """
    message = wire.query(name, rdtype, **fields)
    answer = wire.parse(TRANSPORTS[transport](address, message, timeout))
    assert wire.is_answer(answer, message), answer
    return answer


def assert_answered(proxy, name, **how):
    """The scripted server's answer for that name comes."""
    answer = ask(proxy.address, name, **how)
    assert answer.answer and str(answer.answer[0][0]) == wire.address_of(name), answer


def gets_no_answer(address, message):
    """Whether `message` over UDP stays unanswered while a good query sent after it is answered.

    Datagrams from one socket to one worker are worked on in turn, so there is nothing to wait for.
    """
    with contextlib.closing(udp_socket(address)) as sock:
        last = wire.query("after.example", id=0xfffe)
        sock.send(message)
        sock.send(last)
        return sock.recv(65536)[:2] == last[:2]


def answers_to(address, source, messages):
    """What comes back, by ID, by the time when a question of this host, asked last, is answered."""
    answers = {}
    with udp_socket(address, source) as sock:
        for message in messages:
            sock.send(message)
        ask(address, "last.example")  # read after those: there is one worker
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                answer = sock.recv(65536)
                answers[answer[:2]] = answer
    return answers


class TcpClient:
    """A TCP connection, message by message or octet by octet."""

    def __init__(self, address, timeout=PATIENCE, receive_buffer=None, source=None):
        self.socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.socket.settimeout(timeout)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            bind_to(self.socket, source)
        # Who is refused is reset, which may be before this returns: what is sent then fails.
        with contextlib.suppress(ConnectionResetError):
            self.socket.connect(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._octets = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *messages):
        """Sends messages, each behind its length, in one segment where they fit."""
        self.socket.sendall(b"".join(struct.pack("!H", len(one)) + one for one in messages))

    def send_octets(self, octets):
        self.socket.sendall(octets)

    def send_what_goes(self, octets):
        """Sends without waiting; the rest that did not go is returned."""
        try:
            while octets:
                octets = octets[self.socket.send(octets, socket.MSG_DONTWAIT):]
        except BlockingIOError:
            pass
        return octets

    def receive(self):
        """The next message; EOFError at the end of the stream, TimeoutError when nothing comes."""
        while len(self._octets) < 2 or len(self._octets) < 2 + self._size():
            octets = self.socket.recv(65536)
            if not octets:
                raise EOFError(f"{len(self._octets)} octets of a message and then the end")
            self._octets += octets
        end = 2 + self._size()
        message, self._octets = self._octets[2:end], self._octets[end:]
        return message

    def receive_all(self, count):
        """The next `count` messages, by ID."""
        return {message[:2]: message for message in (self.receive() for _ in range(count))}

    def is_closed_by_peer(self, timeout=PATIENCE):
        """Waits for the end of the stream (True), without any message before it."""
        self.socket.settimeout(timeout)
        try:
            return not self._octets and self.socket.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def has_input(self):
        return bool(self._octets) or bool(select.select([self.socket], [], [], 0)[0])

    def reset(self):
        """Closes with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def finish(self):
        """Closes the sending half."""
        self.socket.shutdown(socket.SHUT_WR)

    def _size(self):
        return struct.unpack_from("!H", self._octets)[0]


def tls_context(ca_file, *, protocols=("dot",), version=None):
    """What clients over TLS that resume each other's sessions have in common."""
    context = ssl.create_default_context(cafile=ca_file)
    if protocols:
        context.set_alpn_protocols(protocols)
    if version:
        context.minimum_version = context.maximum_version = version
    return context


class TlsClient(TcpClient):
    """The same over TLS. The server has to prove that it is `name`; None: its address."""

    def __init__(self, address, context, name="dot.example", session=None, **how):
        super().__init__(address, **how)
        self.socket = context.wrap_socket(self.socket, server_hostname=name or address[0],
                                          session=session)
        if self.socket.version() is None:  # Python 3.13 takes no notice of a reset before
            raise ConnectionResetError("closed before the handshake")

    def ask(self, name, rdtype="A", **fields):
        """Asks, and returns the answer, parsed."""
        message = wire.query(name, rdtype, **fields)
        self.send(message)
        answer = wire.parse(self.receive())
        assert wire.is_answer(answer, message), answer
        return answer

    @property
    def resumed(self):
        return self.socket.session_reused

    @property
    def session(self):
        """What it takes to resume this one; there is one when something was received."""
        return self.socket.session

    @property
    def serial(self):
        """That of the certificate that was shown."""
        return int(self.socket.getpeercert()["serialNumber"], 16)
