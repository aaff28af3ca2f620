# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# What clients over TCP see of reloads when connections come and go all the time (rules L42, L65): who
# asks is answered, on the connection on which it asked.

import random
import signal
import socket
import struct
import threading
import time

from harness import wire
from harness.client import ask
from harness.waiting import wait_for

RELOADS = 20


class Crowd:
    """Clients of one kind, each a thread, until the storm is over."""

    def __init__(self, proxy, kinds):
        self.proxy, self.over = proxy, threading.Event()
        self.seen, self._lock = {}, threading.Lock()
        self._threads = [threading.Thread(target=kind, daemon=True) for name, number in kinds
                         for kind in [getattr(self, name)] * number]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _note(self, what):
        with self._lock:
            self.seen[what] = self.seen.get(what, 0) + 1

    def _connect(self):
        sock = socket.create_connection(self.proxy.address, timeout=20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    @staticmethod
    def _ask(sock, number):
        message = wire.query("www.example", id=number & 0xffff)
        sock.sendall(len(message).to_bytes(2, "big") + message)
        octets = b""
        while len(octets) < 2 or len(octets) < 2 + struct.unpack_from("!H", octets)[0]:
            more = sock.recv(65536)
            if not more:
                return False
            octets += more
        return True

    def resetters(self):
        """Ask, and reset the connection some time later."""
        held = []
        while not self.over.is_set():
            try:
                sock = self._connect()
                self._ask(sock, 1)
                held.append(sock)
                if len(held) > 100:
                    sock = held.pop(random.randrange(len(held)))
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    sock.close()
            except OSError:
                pass
        for sock in held:
            sock.close()

    def patient(self):
        """Keep their connections, and ask on one of them now and then."""
        held = []
        while not self.over.is_set():
            while len(held) < 40:
                held.append(self._connect())
            sock = random.choice(held)
            try:
                answered = self._ask(sock, len(held))
                self._note("answered" if answered else "closed unanswered")
            except TimeoutError:
                answered = False
                self._note("never answered")
            except OSError:
                answered = False
                self._note("reset unanswered")
            if not answered:
                held.remove(sock)
                sock.close()
            time.sleep(0.002)
        for sock in held:
            sock.close()

    def fresh(self):
        """Ask once on a new connection."""
        while not self.over.is_set():
            try:
                with self._connect() as sock:
                    answered = self._ask(sock, 3)
                    self._note("answered" if answered else "closed unanswered")
            except OSError as problem:
                self._note(f"a fresh one: {problem}")
            time.sleep(0.002)


def test_a_storm_of_reloads_cuts_nobody_off(start, upstream):
    """Some reset their connections all the time; who asks on others is answered there."""
    proxy = start(upstream, workers=2)
    ask(proxy.address, "www.example")
    with Crowd(proxy, (("resetters", 2), ("patient", 2), ("fresh", 1))) as crowd:
        for _ in range(RELOADS):
            answered = crowd.seen.get("answered", 0)
            proxy.send_signal(signal.SIGHUP)
            wait_for(lambda: len(crowd.seen) > 1 or crowd.seen.get("answered", 0) > answered + 100)
    assert set(crowd.seen) == {"answered"}
