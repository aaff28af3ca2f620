# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
#
# The cache while things break: workers killed in the middle of it, upstreams that die or fail
# (rules C85, C89, L25, L66).

import random
import select
import statistics
import struct
import threading
import time

from harness import wire
from harness.client import udp, udp_socket
from harness.process import kill
from harness.waiting import PATIENCE, wait_for

CACHE = {"size": "8M"}
KILLING = 20  # seconds
OUTAGE = 5
HEALED = 5  # L25: the most until a failure is over


def with_ttl(query, ttl):
    name = wire.question_name(query.raw)
    address = bytes(map(int, wire.address_of(name).split(".")))
    return wire.answer(query.raw, records=[wire.record(b"\xc0\x0c", 1, address, ttl=ttl)])


class Storm(threading.Thread):
    """Asks for the same names again and again, as fast as the answers come, so many at a time."""

    WINDOW = 64
    LOST = 8.0  # what is not answered after so many seconds never is

    def __init__(self, address, names):
        super().__init__(daemon=True)
        self.good, self.lost, self.wrong = 0, 0, []
        self.last_answer = time.monotonic()
        self._names, self._pending, self._number = names, {}, 0
        self._socket = udp_socket(address)
        self._halt = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._halt.set()
        self.join(2 * PATIENCE)
        assert not self.is_alive()
        self._socket.close()

    def run(self):
        while self._pending or not self._halt.is_set():
            while len(self._pending) < self.WINDOW and not self._halt.is_set():
                self._ask()
            if select.select([self._socket], [], [], 0.1)[0]:
                self._take(self._socket.recv(65536))
            else:
                self._look_for_lost()

    def _ask(self):
        self._number = (self._number + 1) & 0xffff
        if self._number in self._pending:
            return
        name = random.choice(self._names)
        self._pending[self._number] = (name, time.monotonic())
        self._socket.send(wire.query(name, id=self._number))

    def _take(self, answer):
        self.last_answer = time.monotonic()
        name, _ = self._pending.pop(struct.unpack_from("!H", answer)[0], (None, 0))
        if name is None:
            return
        if wire.question_name(answer) == name + "." and \
                wire.address_in(answer) == wire.address_of(name):
            self.good += 1
        else:
            self.wrong.append((name, answer))
        if self.good % 256 == 0:
            self._look_for_lost()

    def _look_for_lost(self):
        before = time.monotonic() - self.LOST
        for number in [one for one, (_, sent) in self._pending.items() if sent < before]:
            del self._pending[number]
            self.lost += 1


def test_workers_killed_while_they_read_and_write(start, upstream):
    """L66: every answer is right, nobody waits for a dead one, and what is lost was in its hands."""
    workers, kills = 4, 0
    upstream.on_query = lambda query: with_ttl(query, 1)  # so that there is much to write
    proxy = start(upstream, workers=workers, cache=CACHE, timeouts={"query": "4s"})
    chance = random.Random(66)
    with Storm(proxy.address, [f"storm{number}.example" for number in range(400)]) as storm:
        end = time.monotonic() + KILLING
        while time.monotonic() < end:
            # The more often a worker dies, the longer its place stays empty. One is always left.
            alive = wait_for(lambda: time.monotonic() > end or
                             (len(found := proxy.workers()) > 1 and found))
            asked = storm.good + chance.randrange(300)
            wait_for(lambda: storm.good > asked)
            if alive is not True:
                kill(chance.choice(alive))
                kills += 1
    assert not storm.wrong, storm.wrong[:3]
    assert kills >= workers and storm.good > 100 * kills
    assert storm.lost <= kills * Storm.WINDOW
    assert proxy.process.poll() is None
    wait_for(lambda: proxy.workers())
    assert wire.address_in(udp(proxy.address, wire.query("after.example"))) == \
        wire.address_of("after.example")


def test_an_outage_is_not_seen_by_who_asks_for_what_is_known(start, upstream):
    """C89: every one is answered, fresh or stale, and as fast as before."""
    upstream.on_query = lambda query: with_ttl(query, 3600 if "fresh" in query.name else 1)
    proxy = start(upstream, workers=2, cache=CACHE, timeouts={"query": "4s"})
    known = [f"{kind}{number}.example" for number in range(20) for kind in ("fresh", "stale")]

    def look_up(name):
        began = time.monotonic()
        answer = udp(proxy.address, wire.query(name, edns=0))
        took = time.monotonic() - began
        assert wire.address_in(answer) == wire.address_of(name), (name, answer)
        return took, wire.errors_of(wire.parse(answer))

    for name in known:
        look_up(name)
    before = [look_up(name)[0] for _ in range(20) for name in known if "fresh" in name]
    upstream.kill()
    end, during, stale = time.monotonic() + OUTAGE, [], 0
    while time.monotonic() < end or stale <= len(known):
        for name in known:
            took, errors = look_up(name)
            assert took < 3.4  # stale_after is over, and the client's patience is not
            if "fresh" in name:
                during.append(took)
                assert not errors
            stale += bool(errors)
            assert set(errors) <= {3, 22, 23}
    assert statistics.median(during) < 3 * statistics.median(before) + 0.005
    upstream.start()
    healed = time.monotonic()
    for name in known:
        wait_for(lambda: not look_up(name)[1], HEALED, f"a fresh answer for {name}")
    assert time.monotonic() - healed < HEALED + 1


def test_a_burst_for_what_fails_is_not_passed_on(start, upstream):
    """C85, L25: a question a second and name at the most, and it is over soon after the fault."""
    failing = [f"burst{number}.example" for number in range(3)]
    upstream.on_query = lambda query: wire.answer(query.raw, rcode=2)
    proxy = start(upstream, workers=1, cache=CACHE)
    began = time.monotonic()
    asked = 0
    while time.monotonic() < began + OUTAGE:
        for name in failing:
            assert udp(proxy.address, wire.query(name))[3] & 15 == 2
            asked += 1
    assert asked > 100
    for name in failing:
        times = [query.at for query in upstream.asked(name)]
        # A little less than a second may lie between when they arrive.
        assert all(later - sooner > 0.9 for sooner, later in zip(times, times[1:])), times
    upstream.on_query = None
    healed = time.monotonic()
    for name in failing:
        wait_for(lambda: wire.address_in(udp(proxy.address, wire.query(name))), HEALED + 1,
                 f"an address for {name}")
    assert time.monotonic() - healed < HEALED + 1
