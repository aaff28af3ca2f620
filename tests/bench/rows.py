# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
"""What is measured: the rows of the table, and the stages that fill them. Floods: floods.py."""

import contextlib
import math
import resource
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from measure import (Load, Place, Proxy, Trouble, Upstream, cpu_seconds, is_good, measure, pss_kib,
                     query)
from peers import Dotproxy, Peer

CPU = "CPU microseconds per query, the proxy's core saturated (16 clients, 96 queries under way)"
PACED = "CPU microseconds per query at 4,000 queries/s (new connections: 400/s)"
HOT = "CPU microseconds per cached answer, UDP, all cores for the proxy, a worker for each"
BESIDE = "UDP beside 64 TCP clients that pipeline without pause, all cached, 1,000 queries/s over UDP"
LATENCY = "Latency beyond an upstream that is 10 ms away, at 500 queries/s over UDP"
MEMORY = "Memory (proportional set size of all processes)"
NAMES = "Memory per cached name (names of 40 octets, one A record)"
TIME = "Time and economy"
FAULTS = "200 queries/s for 16 s, the upstream gone for 5 s of them; 2 s of patience per query"

# The upstream of the rows of latency is so far away.
DISTANCE_MS = 10
IDLE_CLIENTS = 5000
CACHED_NAMES = 100_000
NAMES_TO_FILL = 600_000  # more than dotproxy's cache of 64 MiB holds
IP_BIND_ADDRESS_NO_PORT = 24  # <linux/in.h>; the module has it from Python 3.12 on
FAULT_AT, FAULT_END, FAULT_WINDOW, FAULT_BIN = 5.0, 10.0, 16.0, 0.05


@dataclass(frozen=True)
class Row:
    key: str
    group: str
    title: str
    target: float | None = None
    more_is_better: bool = False
    cached: bool = False  # about cached answers
    digits: int = 1
    slow: bool = False  # measured only when it is named


ROWS = (
    Row("udp-miss", CPU, "UDP, not cached", 10),
    Row("tcp-miss", CPU, "TCP, not cached", 7),
    Row("udp-hit", CPU, "UDP, cached", 4, cached=True),
    Row("tcp-hit", CPU, "TCP, cached", 4, cached=True),
    Row("udp-miss-qps", CPU, "queries/s, UDP, not cached", None, True, digits=0),
    Row("tcp-miss-qps", CPU, "queries/s, TCP, not cached", None, True, digits=0),
    Row("udp-miss-busy", CPU, "share of the core in use, UDP, %", None, True, digits=0),
    Row("tcp-miss-busy", CPU, "share of the core in use, TCP, %", None, True, digits=0),
    Row("udp-miss-paced", PACED, "UDP, not cached", 75),
    Row("tcp-miss-paced", PACED, "TCP, not cached", 70),
    Row("tcp-new-paced", PACED, "TCP, new connection per query, not cached"),
    Row("udp-hit-paced", PACED, "UDP, cached", 34, cached=True),
    Row("tcp-new-hit-paced", PACED, "TCP, new connection per query, cached", 95, cached=True),
    Row("hot-name", HOT, "one name", cached=True, digits=2),
    Row("hot-names", HOT, "1,000 names", cached=True, digits=2),
    Row("beside-p50", BESIDE, "UDP, median, microseconds", 2000, cached=True, digits=0),
    Row("beside-p99", BESIDE, "UDP, 99th percentile, microseconds", 15000, cached=True, digits=0),
    Row("beside-cpu", BESIDE, "CPU microseconds per answer", None, cached=True, digits=2),
    Row("beside-qps", BESIDE, "queries/s over TCP meanwhile", None, True, cached=True, digits=0),
    Row("latency-p50", LATENCY, "median, microseconds", 300, digits=0),
    Row("latency-p99", LATENCY, "99th percentile, microseconds", 900, digits=0),
    Row("idle-pss", MEMORY, "idle, 2 workers, MiB", 6),
    Row("client-pss", MEMORY, "KiB per idle TCP client (5,000)", 0.7, digits=2),
    Row("name-pss", NAMES, "octets", 200, cached=True, digits=0),
    Row("start", TIME, "exec to first answer, ms", 12),
    Row("reopen", TIME, "first query after an idle close, ms beyond 10", 13),
    Row("handshakes", TIME, "TLS handshakes for 2,000 queries, 200/s, 2 workers", 1, digits=0),
    Row("resumed", TIME, "reconnects that resume the session, %", 100, True, digits=0),
    Row("per-record", TIME, "queries per TLS record, UDP saturated", 4, True, digits=2),
    Row("padded", TIME, "queries padded to 128, %", 100, True, digits=0),
    Row("flush", TIME, "flush --below NAME of a full cache, ms", cached=True),
    Row("killed-lost", FAULTS, "only upstream killed, then back: lost", 1000, digits=0),
    Row("killed-back", FAULTS, "  answers are back after, s", 0.1, digits=2),
    Row("silent-lost", FAULTS, "only upstream silent, then back: lost", 1000, digits=0),
    Row("silent-back", FAULTS, "  answers are back after, s", 0.1, digits=2),
    Row("first-killed-lost", FAULTS, "first of two killed for good: lost", 0, digits=0),
    Row("first-silent-lost", FAULTS, "first of two silent for good: lost", 0, digits=0),
)

Values = dict[str, float]


@dataclass(frozen=True)
class Stage:
    """A measurement that fills some rows, of one peer after the other."""

    keys: tuple[str, ...]
    run: Callable[[Place, Peer, set[str], float], Values]
    every_round: bool = True
    needs_cache: bool = False
    concerns: Callable[[Peer], bool] = lambda _: True


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


LOADS = {
    "udp-miss": ["--outstanding=96"],
    "tcp-miss": ["--tcp", "--outstanding=96"],
    "udp-miss-paced": ["--rate=4000"],
    "tcp-miss-paced": ["--tcp", "--rate=4000"],
    "tcp-new-paced": ["--tcp", "--rate=400", "--reconnect", "--clients=64"],
    "udp-hit": ["--outstanding=96", "--names=1000"],
    "tcp-hit": ["--tcp", "--outstanding=96", "--names=1000"],
    "udp-hit-paced": ["--rate=4000", "--names=1000"],
    "tcp-new-hit-paced": ["--tcp", "--rate=400", "--reconnect", "--clients=64", "--names=100"],
}


def run_loads(place: Place, peer: Peer, wanted: set[str], scale: float, cache: bool) -> Values:
    values: Values = {}
    with Upstream(place) as upstream, Proxy(place, peer, upstream, cache=cache) as proxy:
        for key, options in LOADS.items():
            derived = {f"{key}-qps", f"{key}-busy"}
            if key == "udp-miss":
                derived |= {"per-record", "padded"}
            if ("hit" in key) != cache or not wanted & ({key} | derived):
                continue
            seconds = (3.0 if "--rate=400" in options else 2.0 if "paced" in key else 1.5) * scale
            before = upstream.counters()
            try:
                result = measure(place, proxy, *options, seconds=seconds,
                                 warm_up=0.6 if cache else 0.3)
            except Trouble as trouble:
                note(f"  {peer.name}: {key}: {trouble}")
                continue
            seen = {name: count - before[name] for name, count in upstream.counters().items()}
            values[key] = result["cpu_us"]
            values[f"{key}-qps"] = result["qps"]
            values[f"{key}-busy"] = result["busy"] * 100
            values[f"{key}-unanswered"] = result["failed"] + result["lost"]
            if key == "udp-miss" and seen["records"] and seen["queries"]:
                values["per-record"] = seen["queries"] / seen["records"]
                values["padded"] = 100 * seen["padded"] / seen["queries"]
    return values


def misses(place: Place, peer: Peer, wanted: set[str], scale: float) -> Values:
    return run_loads(place, peer, wanted, scale, cache=False)


def hits(place: Place, peer: Peer, wanted: set[str], scale: float) -> Values:
    return run_loads(place, peer, wanted, scale, cache=True)


def latency(place: Place, peer: Peer, _: set[str], scale: float) -> Values:
    with Upstream(place, delay_ms=DISTANCE_MS) as upstream, Proxy(place, peer, upstream) as proxy:
        result = measure(place, proxy, "--rate=500", seconds=3 * scale)
    return {"latency-p50": result["p50"] - DISTANCE_MS * 1000,
            "latency-p99": result["p99"] - DISTANCE_MS * 1000}


def start_and_reopen(place: Place, peer: Peer, _: set[str], scale: float) -> Values:
    with Upstream(place) as upstream, Proxy(place, peer, upstream) as proxy:
        values = {"start": proxy.start_seconds * 1000}
    with Upstream(place, delay_ms=DISTANCE_MS, idle_close_ms=300) as upstream, \
            Proxy(place, peer, upstream) as proxy:
        times = []
        for _attempt in range(max(1, round(3 * scale))):
            end = time.monotonic() + 5
            while upstream.counters()["open"] > 0 and time.monotonic() < end:
                time.sleep(0.01)
            times.append(proxy.ask_once() * 1000 - DISTANCE_MS)
        values["reopen"] = median(times)
        counters = upstream.counters()
        if counters["handshakes"] > 1:
            values["resumed"] = 100 * counters["resumed"] / (counters["handshakes"] - 1)
    return values


def handshakes(place: Place, peer: Peer, _: set[str], scale: float) -> Values:
    with Upstream(place) as upstream, Proxy(place, peer, upstream, workers=2) as proxy:
        # At low load: a second worker may connect as well when the first one has work.
        load = Load(place, proxy.port, "--rate=200", warm_up=0, seconds=10 * scale)
        load.wait_for("begin")
        load.wait_for("end")
        load.result()
        return {"handshakes": upstream.counters()["handshakes"]}


def ask_framed(client: socket.socket, message: bytes) -> bytes:
    """The answer to what is asked over TCP or TLS."""
    client.sendall(struct.pack("!H", len(message)) + message)
    answer = b""
    while len(answer) < 2 or len(answer) < 2 + struct.unpack("!H", answer[:2])[0]:
        more = client.recv(4096)
        if not more:
            raise Trouble("closes idle clients")
        answer += more
    return answer[2:]


class IdleClients:
    """TCP clients that have asked once and stay. They come from many addresses: a limit on the
    connections of one address is not what is measured. They ask for one name: nor is a cache."""

    def __init__(self, port: int, count: int, tag: str):
        self.sockets: list[socket.socket] = []
        for number in range(count):
            client = socket.socket()
            self.sockets.append(client)
            client.settimeout(5)
            # The port is chosen by connect(), which looks at the whole pair: bind() searches long.
            client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            client.bind((f"127.0.{1 + number % 200}.1", 0))
            client.connect(("127.0.0.1", port))
            if not is_good(ask_framed(client, query(f"q00000000.{tag}.bench.example.com"))):
                raise Trouble(f"refuses idle client {number}")

    def held(self) -> int:
        count = 0
        for client in self.sockets:
            client.setblocking(False)
            try:
                client.recv(1)
            except BlockingIOError:
                count += 1
            except OSError:
                pass
        return count

    def __enter__(self) -> "IdleClients":
        return self

    def __exit__(self, *_) -> None:
        for client in self.sockets:
            client.close()


def memory(place: Place, peer: Peer, wanted: set[str], scale: float) -> Values:
    values: Values = {}
    with Upstream(place) as upstream:
        with Proxy(place, peer, upstream, workers=2) as proxy:
            for _attempt in range(10):
                proxy.ask_once()
            values["idle-pss"] = pss_kib(proxy.pid) / 1024
        if "client-pss" not in wanted:
            return values
        with Proxy(place, peer, upstream, patient=True) as proxy:
            try:
                with IdleClients(proxy.port, 16, place.tag()):
                    before = pss_kib(proxy.pid)
                    with IdleClients(proxy.port, IDLE_CLIENTS, place.tag()) as clients:
                        time.sleep(0.2)
                        held = clients.held()
                        if held < 0.9 * IDLE_CLIENTS:
                            raise Trouble(f"keeps {held} of {IDLE_CLIENTS} idle clients")
                        values["client-pss"] = (pss_kib(proxy.pid) - before) / held
            except (Trouble, OSError) as trouble:
                note(f"  {peer.name}: {trouble}")  # what was measured before still counts
    return values


def cache_memory(place: Place, peer: Peer, _: set[str], scale: float) -> Values:
    with Upstream(place) as upstream, Proxy(place, peer, upstream, cache=True) as proxy:
        # A few names only: the index of a cache is memory of its names, and is touched early.
        measure(place, proxy, "--outstanding=64", "--names=64", "--count=2000", warm_up=0,
                seconds=20)
        before = pss_kib(proxy.pid)
        result = measure(place, proxy, "--outstanding=64", f"--count={CACHED_NAMES}", warm_up=0,
                         seconds=20)
        return {"name-pss": (pss_kib(proxy.pid) - before) * 1024 / result["received"]}


def contention(place: Place, peer: Peer, wanted: set[str], scale: float) -> Values:
    """What it costs when all workers answer from the same entry, and from many. The load shares
    its core with one of the workers, so that only the CPU time per answer says something."""
    values: Values = {}
    with Upstream(place) as upstream, \
            Proxy(place, peer, upstream, cache=True, everywhere=True) as proxy:
        for key, names in ("hot-name", 1), ("hot-names", 1000):
            if key in wanted:
                result = measure(place, proxy, "--outstanding=96", f"--names={names}",
                                 seconds=1.5 * scale, warm_up=0.6)
                values[key] = result["cpu_us"]
    return values


def beside(place: Place, peer: Peer, _: set[str], scale: float) -> Values:
    """What who asks now and then has to wait for those who never stop. Each of these has 512
    queries under way, more than one read takes."""
    seconds, tag = 3 * scale, place.tag()
    with Upstream(place) as upstream, Proxy(place, peer, upstream, cache=True) as proxy:
        measure(place, proxy, "--outstanding=64", "--names=1000", "--count=2000", warm_up=0,
                seconds=20, tag=tag)
        greedy = Load(place, proxy.port, "--tcp", "--clients=64", "--outstanding=32768",
                      "--names=1000", warm_up=0.6, seconds=seconds + 1, tag=tag)
        greedy.wait_for("begin")
        before = cpu_seconds(proxy.pid)
        calm = measure(place, proxy, "--rate=1000", "--names=1000", seconds=seconds, tag=tag)
        greedy.wait_for("end")
        cpu = cpu_seconds(proxy.pid) - before
        result, _ = greedy.result()
    return {"beside-p50": calm["p50"], "beside-p99": calm["p99"],
            "beside-cpu": cpu / (result["received"] + calm["received"]) * 1e6,
            "beside-qps": result["received"] / result["seconds"]}


def has_control(peer: Peer) -> bool:
    return isinstance(peer, Dotproxy) and peer.find_control() is not None


def flush(place: Place, peer: Dotproxy, _: set[str], scale: float) -> Values:
    """What an administrator waits for. None of the others has a command that does the same."""
    command = peer.find_control()
    with Upstream(place) as upstream, Proxy(place, peer, upstream, cache=True) as proxy:
        tag = place.tag()
        measure(place, proxy, "--outstanding=96", f"--count={NAMES_TO_FILL}", warm_up=0,
                seconds=60, tag=tag)
        begin = time.monotonic()
        done = subprocess.run(
            [command, "-s", str(proxy.control), "flush", "--below", f"{tag}.bench.example.com"],
            check=False, timeout=30, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - begin
    if done.returncode != 0:
        raise Trouble(f"dotproxyctl flush ended with status {done.returncode}")
    return {"flush": seconds * 1000}


STAGES = (
    Stage(("udp-miss", "tcp-miss", "udp-miss-qps", "tcp-miss-qps", "udp-miss-busy", "tcp-miss-busy",
           "udp-miss-paced", "tcp-miss-paced", "tcp-new-paced", "per-record", "padded"), misses),
    Stage(("udp-hit", "tcp-hit", "udp-hit-paced", "tcp-new-hit-paced"), hits, needs_cache=True),
    Stage(("hot-name", "hot-names"), contention, needs_cache=True),
    Stage(("beside-p50", "beside-p99", "beside-cpu", "beside-qps"), beside, needs_cache=True),
    Stage(("latency-p50", "latency-p99"), latency),
    Stage(("start", "reopen", "resumed"), start_and_reopen),
    Stage(("idle-pss", "client-pss"), memory, every_round=False),
    Stage(("name-pss",), cache_memory, every_round=False, needs_cache=True),
    Stage(("flush",), flush, every_round=False, needs_cache=True, concerns=has_control),
    Stage(("handshakes",), handshakes, every_round=False),
)


@dataclass(frozen=True)
class Fault:
    """Something that happens to the first upstream while all peers are under load at once: it is
    5 s in which nothing is measured but losses, so they do not disturb each other."""

    key: str
    upstreams: int
    strike: Callable[[Upstream], None]
    heal: Callable[[Upstream], None] | None


FAULTS_TO_RUN = (
    Fault("killed", 1, Upstream.kill, Upstream.start),
    Fault("silent", 1, Upstream.toggle_silence, Upstream.toggle_silence),
    Fault("first-killed", 2, Upstream.kill, None),
    Fault("first-silent", 2, Upstream.toggle_silence, None),
)


def judge(fault: Fault, result: dict[str, float], bins: list[tuple[int, int]]) -> Values:
    values = {f"{fault.key}-lost": result["failed"] + result["lost"]}
    if fault.heal:
        values[f"{fault.key}-back"] = math.inf
        healed = round(FAULT_END / FAULT_BIN)
        for index, (_sent, answered) in enumerate(bins[healed:]):
            if answered > 0:
                values[f"{fault.key}-back"] = index * FAULT_BIN
                break
    return values


def run_fault(place: Place, peers: list[Peer], fault: Fault) -> dict[str, Values]:
    found: dict[str, Values] = {}
    with contextlib.ExitStack() as stack:
        running = []
        for peer in peers:
            upstreams = [stack.enter_context(Upstream(place)) for _ in range(fault.upstreams)]
            try:
                proxy = stack.enter_context(Proxy(place, peer, *upstreams))
            except Trouble as trouble:
                note(f"  {peer.name}: {trouble}")
                continue
            running.append((peer, upstreams[0], proxy))
        loads = [Load(place, proxy.port, "--rate=200", "--clients=4", f"--bin={FAULT_BIN}",
                      seconds=FAULT_WINDOW, warm_up=1) for _, _, proxy in running]
        for load in loads:
            load.wait_for("begin")
        begin = time.monotonic()
        time.sleep(FAULT_AT)
        for _, upstream, _ in running:
            fault.strike(upstream)
        time.sleep(max(0.0, begin + FAULT_END - time.monotonic()))
        for _, upstream, _ in running:
            if fault.heal:
                fault.heal(upstream)
        for (peer, _, _), load in zip(running, loads):
            load.wait_for("end")
            found[peer.name] = judge(fault, *load.result())
    return found


def raise_descriptor_limit() -> None:
    """Thousands of idle clients need descriptors, here and in the proxies, which inherit this."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = 20000 if hard == resource.RLIM_INFINITY else min(hard, 20000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
