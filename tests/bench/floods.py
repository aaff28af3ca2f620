# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
"""What a flood leaves for others: its rows of the table, and the stages that fill them.

The others come from 10.1.0.0/16, the flood from elsewhere in 10.0.0.0/8: dotproxy has no limits for
loopback. All of them have the load's core.
"""

import contextlib
import itertools
import time
from collections.abc import Iterator
from statistics import median

from measure import Flood, Load, Place, Proxy, Quota, Trouble, Upstream, measure, pss_kib
from peers import Dotproxy, Peer
from rows import DISTANCE_MS, Row, Stage, Values, note

LIMIT = 100  # questions a second of one client, where a limiter is on
# By then dotproxy has blocked whoever goes on for ten seconds, and the last of five.
BLOCKED_AFTER = 14.0
STATES = {"off": "no limiter", "on": "limiter", "blocked": "limiter, 14 s later"}
KINDS = ("hits", "misses")
SOURCES = {1: "One address", 200: "200 addresses"}
HELD_TIMES = (5, 10)
# What 20 ask a held proxy. With 200 a second they would come at the same point of each of the
# quota's periods, of which there are 200 a second.
HELD_RATE = 230
DISTANCES = {"": DISTANCE_MS, "-slow": 500}
CROWD, CROWD_RATE, FLOODERS, CROWD_TIMES = 2000, 10_000, 5, (2, 5, 10)
NAMES = 1000  # that are in the cache

FLOOD = ("One address floods over UDP, 20 others ask 400 cached and 200 new questions/s; with "
         "limiters: 100 questions/s of one client, hits 14 s later")
UNANSWERED = ("One address asks 60,000 names/s that the upstream does not answer; 20 others ask "
              "200 new questions/s")
MILLION = "A million addresses ask 300,000 cached names/s, 20 others 400/s"
COST = "What limits cost dotproxy (on: none is reached)"
CAPACITY = "A proxy that is held to a fifth of a core, 1 ms in 5"
AFTER = "Others' misses answered in 2 s after 4 s of misses at 10x what a held proxy can do, %"
CROWDED = (f"{FLOODERS} addresses flood a held proxy with hits, {CROWD:,} others ask 5 cached "
           "questions/s each: those answered, %")


def held_group(sources: int, kind: str) -> str:
    return f"{SOURCES[sources]} flooding a held proxy with {kind}; what 20 others are answered, %"


def held_key(sources: int, kind: str, times: int, state: str, what: str) -> str:
    return f"held-{sources}-{kind}-{times}x-{state}-{what}"


# What is to be reached, by how many addresses flood, or how much, and the state.
HELD_TARGETS = {(1, "blocked"): 99, (200, "on"): 60, (200, "blocked"): 95}
CROWD_TARGETS = {(2, "on"): 99, (2, "blocked"): 99, (5, "on"): 55, (5, "blocked"): 90,
                 (10, "on"): 30, (10, "blocked"): 90}

HELD_ROWS = tuple(
    Row(held_key(sources, kind, times, state, what), held_group(sources, kind),
        f"{times}x what it can do, {name}: {what}", HELD_TARGETS.get((sources, state)), True,
        cached=True, slow=True)
    for sources, kind, times, (state, name), what
    in itertools.product(SOURCES, KINDS, HELD_TIMES, STATES.items(), KINDS))

AFTER_ROWS = tuple(
    Row(f"after-{sources}{slow}", AFTER, f"{who}, upstream {distance} ms away", 99, True,
        cached=True, slow=True)
    for (sources, who), (slow, distance) in itertools.product(SOURCES.items(), DISTANCES.items()))

CROWD_ROWS = (
    *(Row(f"crowd-{times}x-{state}", CROWDED, f"{times}x what it can do, {name}",
          CROWD_TARGETS.get((times, state)), True, cached=True, slow=True)
      for times, (state, name) in itertools.product(CROWD_TIMES, STATES.items())),
    *(Row(f"crowd-{times}x-goodput", CROWDED, f"{times}x, no limiter: all answers, % of the peak",
          60, True, cached=True, slow=True) for times in CROWD_TIMES),
)

FLOOD_ROWS = (
    Row("flood-hits", FLOOD, "300,000 hits/s: others' hits answered, %", 98, True, cached=True,
        digits=2),
    Row("flood-hits-limited", FLOOD, "  with a limiter, %", 99.5, True, cached=True, digits=2),
    Row("flood-hits-p99", FLOOD, "  with a limiter, 99th percentile, microseconds", 5000,
        cached=True, digits=0),
    Row("flood-misses", FLOOD, "40,000 misses/s: others' misses answered, %", 100, True,
        cached=True, digits=2),
    Row("flood-misses-p99", FLOOD, "  99th percentile beyond 10 ms, microseconds", 5000,
        cached=True, digits=0),
    Row("flood-misses-limited", FLOOD, "  with a limiter, %", 100, True, cached=True, digits=2),
    Row("unanswered-off", UNANSWERED, "no limiter: others' answered, %", 100, True, cached=True),
    Row("unanswered-off-failed", UNANSWERED, "  SERVFAIL", 0, cached=True, digits=0),
    Row("unanswered-off-growth", UNANSWERED, "  growth, MiB", cached=True),
    Row("unanswered-on", UNANSWERED, "limiter: others' answered, %", 100, True, cached=True),
    Row("unanswered-on-failed", UNANSWERED, "  SERVFAIL", 0, cached=True, digits=0),
    Row("unanswered-on-growth", UNANSWERED, "  growth, MiB", cached=True),
    Row("million-off", MILLION, "no limiter: others' answered, %", 95, True, cached=True),
    Row("million-off-growth", MILLION, "  growth, MiB", 10, cached=True),
    Row("million-on", MILLION, "limiter: others' answered, %", 95, True, cached=True),
    Row("million-on-growth", MILLION, "  growth, MiB", 10, cached=True),
    Row("limits-on", COST, "CPU microseconds per hit over UDP, limits on", digits=3, cached=True),
    Row("limits-off", COST, "  limits off", digits=3, cached=True),
    Row("limits-cost", COST, "  nanoseconds more with limits", 110, digits=0, cached=True),
    Row("limits-share", COST, "  as a share, %", 3, digits=1, cached=True),
    Row("limits-pss", COST, "idle, 1 worker, MiB more with limits", 0.3, digits=2, cached=True),
    Row("held-hits-qps", CAPACITY, "cached questions/s", None, True, cached=True, digits=0,
        slow=True),
    Row("held-misses-qps", CAPACITY, "new questions/s", None, True, cached=True, digits=0,
        slow=True),
    *HELD_ROWS,
    *AFTER_ROWS,
    *CROWD_ROWS,
)


@contextlib.contextmanager
def prepared(place: Place, peer: Peer, tag: str, *, held: bool = False, limited: bool = False,
             unlimited: bool = False, delay_ms: int = DISTANCE_MS,
             mute: str = "") -> Iterator[Proxy]:
    """A proxy that has NAMES names in its cache. They were asked for by many: no limit is near.
    `unlimited`: dotproxy has not even the limits that it has by default."""
    with contextlib.ExitStack() as stack:
        quota = stack.enter_context(Quota()) if held else None
        upstream = stack.enter_context(Upstream(place, delay_ms=delay_ms, mute=mute))
        proxy = stack.enter_context(
            Proxy(place, peer, upstream, cache=True, rate=LIMIT if limited else 0,
                  unlimited=unlimited))
        measure(place, proxy, "--from=10.2.0.1", "--clients=100", "--rate=2500", f"--names={NAMES}",
                warm_up=0, seconds=1, tag=tag)
        if quota:
            quota.hold(proxy.pid)
        yield proxy


def others(place: Place, proxy: Proxy, kind: str, rate: int, seconds: float, *, tag: str = "",
           clients: int = 20) -> Load:
    """Who asks no more than is fair; `tag` is that of the names in the cache."""
    return Load(place, proxy.port, "--from=10.1.0.1", f"--clients={clients}", f"--rate={rate}",
                *([f"--names={NAMES}"] if kind == "hits" else []), seconds=seconds, warm_up=0,
                tag=tag or None)


def results(*loads: Load) -> list[dict[str, float]]:
    for word in "begin", "end":
        for load in loads:
            load.wait_for(word)
    return [load.result()[0] for load in loads]


def answered(result: dict[str, float]) -> float:
    """Per cent of what was sent."""
    return 100 * result["answered"] / result["sent"]


@contextlib.contextmanager
def flood_of(place: Place, proxy: Proxy, kind: str, rate: float, *, tag: str = "", sources: int = 1,
             first: str = "10.9.0.1") -> Iterator[Flood]:
    """A flood that has begun; `tag` is that of the names in the cache, or of those that are asked
    for. Says so when it was less than it should have been."""
    names = [f"--names={NAMES}"] if kind == "hits" else []
    with Flood(place, proxy.port, f"--rate={rate:.0f}", f"--tag={tag or place.tag()}",
               f"--from={first}", f"--sources={sources}",
               f"--burst={1 if sources > 1000 else 32}", *names) as running:
        begin = time.monotonic()
        yield running
        sent = running.counters()["sent"] / (time.monotonic() - begin)
    if sent < 0.95 * rate:
        note(f"  {proxy.name}: {sent:,.0f} {kind} a second were sent instead of {rate:,.0f}")


def states(limited: bool) -> Iterator[str]:
    """The states of a flood that has just begun, each when it is time to look at it."""
    begin = time.monotonic()
    for state, when in (("on", 0.5), ("blocked", BLOCKED_AFTER)) if limited else (("off", 0.5),):
        time.sleep(max(0.0, begin + when - time.monotonic()))
        yield state


def capacity(place: Place, peer: Peer, scale: float) -> dict[str, float]:
    """What a held proxy can do: hits and misses a second. No more is under way than the smallest
    of their buffers has room for."""
    tag = place.tag()
    load = {"seconds": 2 * scale, "timeout": 1.0}
    with prepared(place, peer, tag, held=True, delay_ms=0) as proxy:
        hits = measure(place, proxy, "--outstanding=256", f"--names={NAMES}", tag=tag, **load)
        misses = measure(place, proxy, "--outstanding=256", **load)
    return {"hits": hits["qps"], "misses": misses["qps"]}


def flood(place: Place, peer: Peer, _: set[str], scale: float) -> Values:
    values: Values = {}
    seconds, tag = 4 * scale, place.tag()
    for limited in (False, True) if peer.has_limiter else (False,):
        with prepared(place, peer, tag, limited=limited) as proxy:
            with flood_of(place, proxy, "hits", 300_000, tag=tag):
                time.sleep(BLOCKED_AFTER if limited else 0.5)
                hits, = results(others(place, proxy, "hits", 400, seconds, tag=tag))
            with flood_of(place, proxy, "misses", 40_000, first="10.9.1.1"):
                time.sleep(0.5)
                misses, = results(others(place, proxy, "misses", 200, seconds))
        if limited:
            values |= {"flood-hits-limited": answered(hits), "flood-hits-p99": hits["p99"],
                       "flood-misses-limited": answered(misses)}
        else:
            values |= {"flood-hits": answered(hits), "flood-misses": answered(misses),
                       "flood-misses-p99": misses["p99"] - DISTANCE_MS * 1000}
    return values


def unanswered(place: Place, peer: Peer, _: set[str], scale: float) -> Values:
    values: Values = {}
    for state in "off", "on":
        with prepared(place, peer, place.tag(), limited=state == "on", mute="unanswered") as proxy:
            before = pss_kib(proxy.pid)
            with flood_of(place, proxy, "misses", 60_000, tag="unanswered"):
                time.sleep(2)  # to take all the room that there is for questions that wait
                calm, = results(others(place, proxy, "misses", 200, 4 * scale))
                growth = pss_kib(proxy.pid) - before
        values |= {f"unanswered-{state}": answered(calm),
                   f"unanswered-{state}-failed": calm["failed"],
                   f"unanswered-{state}-growth": growth / 1024}
    return values


def million(place: Place, peer: Peer, _: set[str], scale: float) -> Values:
    values: Values = {}
    for state in "off", "on":
        tag = place.tag()
        with prepared(place, peer, tag, limited=state == "on") as proxy:
            before = pss_kib(proxy.pid)
            with flood_of(place, proxy, "hits", 300_000, tag=tag, sources=1_000_000,
                          first="10.64.0.0"):
                time.sleep(0.5)
                calm, = results(others(place, proxy, "hits", 400, 4 * scale, tag=tag))
                growth = pss_kib(proxy.pid) - before
        values |= {f"million-{state}": answered(calm), f"million-{state}-growth": growth / 1024}
    return values


def cost(place: Place, peer: Peer, _: set[str], scale: float) -> Values:
    """Both proxies are there at once and measured in turn, since a machine is not the same for
    long. The limit is one that nobody reaches: what is measured is to count."""
    clients = ("--from=10.1.0.1", "--clients=16")
    with Upstream(place) as upstream, \
            Proxy(place, peer, upstream, cache=True, rate=1_000_000) as on, \
            Proxy(place, peer, upstream, cache=True, unlimited=True) as off:
        for proxy in on, off:
            measure(place, proxy, *clients, "--rate=100", warm_up=0, seconds=0.5)
        memory = (pss_kib(on.pid) - pss_kib(off.pid)) / 1024
        times = [[measure(place, proxy, *clients, "--outstanding=96", f"--names={NAMES}",
                          seconds=scale)["cpu_us"] for proxy in (on, off)] for _ in range(8)]
    return {"limits-on": median(more for more, _ in times),
            "limits-off": median(less for _, less in times),
            "limits-cost": 1000 * median(more - less for more, less in times),
            "limits-share": 100 * median(more / less - 1 for more, less in times),
            "limits-pss": memory}


def besieged(place: Place, peer: Peer, sources: int, kind: str, rate: float, limited: bool,
             seconds: float) -> dict[tuple[str, str], float]:
    """What 20 others get of a held proxy: by state and by what they ask."""
    found: dict[tuple[str, str], float] = {}
    tag = place.tag()
    with prepared(place, peer, tag, held=True, limited=limited) as proxy, \
            flood_of(place, proxy, kind, rate, tag=tag if kind == "hits" else "",
                     sources=sources):
        for state in states(limited):
            calm = results(others(place, proxy, "hits", HELD_RATE, seconds, tag=tag),
                           others(place, proxy, "misses", HELD_RATE, seconds))
            found |= {(state, what): answered(result) for what, result in zip(KINDS, calm)}
    return found


def held(place: Place, peer: Peer, wanted: set[str], scale: float) -> Values:
    most = capacity(place, peer, scale)
    values: Values = {f"held-{kind}-qps": most[kind] for kind in KINDS}
    for sources, kind, times, limited in itertools.product(SOURCES, KINDS, HELD_TIMES,
                                                           (False, True)):
        now = ("on", "blocked") if limited else ("off",)
        if not wanted & {held_key(sources, kind, times, *each)
                         for each in itertools.product(now, KINDS)}:
            continue
        try:
            found = besieged(place, peer, sources, kind, times * most[kind], limited, 4 * scale)
        except Trouble as trouble:  # what was measured before still counts
            note(f"  {peer.name}: {sources} {kind} {times}x: {trouble}")
            continue
        values |= {held_key(sources, kind, times, *each): value for each, value in found.items()}
    return values


def after(place: Place, peer: Peer, _: set[str], scale: float) -> Values:
    rate = 10 * capacity(place, peer, scale)["misses"]
    values: Values = {}
    for sources, (slow, distance) in itertools.product(SOURCES, DISTANCES.items()):
        with prepared(place, peer, place.tag(), held=True, delay_ms=distance) as proxy:
            with flood_of(place, proxy, "misses", rate, sources=sources):
                time.sleep(4 * scale)
            calm, = results(others(place, proxy, "misses", 2 * HELD_RATE, 2))
        values[f"after-{sources}{slow}"] = answered(calm)
    return values


def crowd(place: Place, peer: Peer, wanted: set[str], scale: float) -> Values:
    peak = capacity(place, peer, scale)["hits"]
    values: Values = {}
    for times, limited in itertools.product(CROWD_TIMES, (False, True)):
        tag = place.tag()
        if not wanted & {f"crowd-{times}x-{state}"
                         for state in (("on", "blocked") if limited else ("off", "goodput"))}:
            continue
        with prepared(place, peer, tag, held=True, limited=limited,
                      unlimited=not limited) as proxy, \
                flood_of(place, proxy, "hits", times * peak, tag=tag, sources=FLOODERS) as running:
            for state in states(limited):
                load = others(place, proxy, "hits", CROWD_RATE, 4 * scale, tag=tag, clients=CROWD)
                load.wait_for("begin")
                before = running.counters()["received"]
                load.wait_for("end")
                flooders = running.counters()["received"] - before
                calm, _ = load.result()
                values[f"crowd-{times}x-{state}"] = answered(calm)
                if state == "off":
                    all_answers = (flooders + calm["received"]) / calm["seconds"]
                    values[f"crowd-{times}x-goodput"] = 100 * all_answers / peak
    return values


def has_limiter(peer: Peer) -> bool:
    return peer.has_limiter


def keys(*groups: str) -> tuple[str, ...]:
    return tuple(row.key for row in FLOOD_ROWS if row.group in groups)


FLOOD_STAGES = (
    Stage(keys(FLOOD), flood, needs_cache=True),
    Stage(keys(UNANSWERED), unanswered, needs_cache=True, concerns=has_limiter),
    Stage(keys(MILLION), million, needs_cache=True, concerns=has_limiter),
    Stage(keys(COST), cost, needs_cache=True, concerns=lambda peer: isinstance(peer, Dotproxy)),
    Stage(keys(CAPACITY, *(row.group for row in HELD_ROWS)), held, needs_cache=True,
          concerns=has_limiter),
    Stage(keys(AFTER), after, needs_cache=True, concerns=has_limiter),
    Stage(keys(CROWDED), crowd, needs_cache=True, concerns=has_limiter),
)
