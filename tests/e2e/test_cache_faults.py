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
from harness.waiting import PATIENCE, awake, wait_for

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
    healed = awake()
    for name in known:
        wait_for(lambda: not look_up(name)[1], HEALED, f"a fresh answer for {name}")
    assert awake() - healed < HEALED + 1


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
    healed = awake()
    for name in failing:
        wait_for(lambda: wire.address_in(udp(proxy.address, wire.query(name))), HEALED + 1,
                 f"an address for {name}")
    assert awake() - healed < HEALED + 1


CACHED = 13  # Extended DNS Errors
STALE = (3, 19)
BOGUS = wire.option(15, b"\0\6")


def look_up(proxy, name):
    """Whether there is an address, and the codes of the errors."""
    answer = udp(proxy.address, wire.query(name, edns=0))
    return wire.address_in(answer) is not None, wire.errors_of(wire.parse(answer))


def fail_for_long(proxy, upstream, name):
    """Has a name fail until that is remembered for eight seconds."""
    failures = {"bogus.example.": (BOGUS,), f"{name}.": ()}
    upstream.on_query = lambda query: query.answer(rcode=2, options=failures[query.name]) \
        if query.name in failures else query.answer()
    asked = len(upstream.asked(name))
    wait_for(lambda: not look_up(proxy, name)[0] and len(upstream.asked(name)) == asked + 4)
    assert CACHED in look_up(proxy, name)[1]


def test_failures_are_forgotten_at_a_reload_and_not_at_a_crash(start, upstream):
    """C85, C89: that a validation failed is not: nothing stale stands in for it."""
    upstream.on_query = lambda query: with_ttl(query, 1)
    proxy = start(upstream, workers=1, timeouts={"query": "2s"},
                  cache=CACHE | {"failure_ttl": "60s", "prefetch": False})
    for name in ("bogus.example", "stale.example"):
        assert look_up(proxy, name)[0]
    fail_for_long(proxy, upstream, "failed.example")
    wait_for(lambda: 6 in look_up(proxy, "bogus.example")[1])
    kill(proxy.workers()[0])
    wait_for(proxy.workers)
    asked = len(upstream.asked("failed.example"))
    assert CACHED in look_up(proxy, "failed.example")[1]
    assert len(upstream.asked("failed.example")) == asked

    proxy.reload()
    upstream.on_query = None
    assert look_up(proxy, "failed.example") == (True, [])
    upstream.kill()
    assert set(STALE) & set(look_up(proxy, "stale.example")[1])
    good, errors = look_up(proxy, "bogus.example")
    assert not good and not set(STALE) & set(errors)


def test_failures_are_forgotten_when_an_upstream_is_back(start, upstream):
    """Whichever worker noticed that it was gone: all know that it is there."""
    proxy = start(upstream, workers=2, timeouts={"query": "2s"},
                  cache=CACHE | {"failure_ttl": "60s"})
    fail_for_long(proxy, upstream, "failed.example")
    upstream.kill()
    wait_for(lambda: not look_up(proxy, "outage.example")[0])
    upstream.on_query = None
    upstream.start()
    wait_for(lambda: look_up(proxy, "back.example")[0])
    assert look_up(proxy, "failed.example") == (True, [])
