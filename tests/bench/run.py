#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
"""Measures dotproxy beside the other DNS-over-TLS forwarders that are installed.

The proxy that is measured has one core, the load generator and the upstream another. Each round
measures each proxy once, one after the other, so that what else happens on the machine meets all
of them; the table shows medians. Figures of one run compare with each other and with nothing else.
"""

import argparse
import ctypes
import fnmatch
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import report
from floods import FLOOD_ROWS, FLOOD_STAGES
from measure import Place, Trouble
from peers import PEERS, Dotproxy, Peer
from rows import FAULTS_TO_RUN, ROWS, STAGES, Row, note, raise_descriptor_limit, run_fault
from secure import SECURE_ROWS, SECURE_STAGES

CLONE_NEWNET = 0x40000000
ALL_ROWS = (*ROWS, *SECURE_ROWS, *FLOOD_ROWS)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dotproxy", help="the program to measure")
    parser.add_argument("--tools", type=Path, required=True, help="where responder and load are")
    parser.add_argument("--out", type=Path, default=Path("bench-results"),
                        help="directory of the CSV file, the table and the plot")
    parser.add_argument("--rows", help='these rows only, separated by commas; "flood-*": all that '
                        'begin so, "cached": all that are about cached answers; see --list')
    parser.add_argument("--peers", help="these proxies only, separated by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one short round: does it work?")
    parser.add_argument("--proxy-core", type=int)
    parser.add_argument("--load-core", type=int)
    parser.add_argument("--list", action="store_true", help="list the rows and end")
    return parser.parse_args()


def choose_rows(arguments: argparse.Namespace) -> list[Row]:
    if not arguments.rows:
        return [row for row in ALL_ROWS if not row.slow]
    chosen: set[str] = set()
    for pattern in arguments.rows.split(","):
        found = {row.key for row in ALL_ROWS if fnmatch.fnmatchcase(row.key, pattern)
                 or (pattern == "cached" and row.cached and not row.slow)}
        if not found:
            sys.exit(f"no such row: {pattern} (--list shows them)")
        chosen |= found
    return [row for row in ALL_ROWS if row.key in chosen]


def choose_peers(arguments: argparse.Namespace) -> tuple[list[Peer], list[str]]:
    """Those that are there, and the names of those that are not."""
    peers = [Dotproxy(arguments.dotproxy), *(kind() for kind in PEERS)]
    if arguments.peers:
        names = arguments.peers.split(",")
        unknown = set(names) - {peer.name for peer in peers}
        if unknown:
            sys.exit(f"no such proxy: {', '.join(sorted(unknown))}")
        peers = [peer for peer in peers if peer.name in names]
    return [peer for peer in peers if peer.find()], [peer.name for peer in peers if not peer.find()]


def run(place: Place, peers: list[Peer], rows: list, rounds: int, scale: float) -> report.Results:
    wanted = {row.key for row in rows}
    results = report.Results([peer.name for peer in peers])
    begin = time.monotonic()
    for number in range(1, rounds + 1):
        for stage in (*STAGES, *SECURE_STAGES, *FLOOD_STAGES):
            if not wanted & set(stage.keys) or (number > 1 and not stage.every_round):
                continue
            for peer in peers:
                if (stage.needs_cache and not peer.has_cache) or not stage.concerns(peer):
                    continue
                note(f"{time.monotonic() - begin:5.0f} s  round {number} of {rounds}: {peer.name}: "
                     f"{stage.run.__name__.replace('_', ' ')}")
                try:
                    results.add(number, peer.name, stage.run(place, peer, wanted, scale))
                except (Trouble, OSError) as trouble:
                    note(f"  {peer.name}: {trouble}")
    for fault in FAULTS_TO_RUN:
        if not wanted & {f"{fault.key}-lost", f"{fault.key}-back"}:
            continue
        note(f"{time.monotonic() - begin:5.0f} s  upstream {fault.key}: all")
        try:
            for name, values in run_fault(place, peers, fault).items():
                results.add(1, name, values)
        except (Trouble, OSError) as trouble:
            note(f"  {trouble}")
    return results


def enter_network() -> None:
    """Goes where all of 10.0.0.0/8 is here as well: some rows need clients of many addresses. Only
    root can."""
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.unshare(CLONE_NEWNET) != 0:
        note("there is no network of our own: rows that need other addresses than 127.0.0.1 stay empty")
        return
    for command in (["link", "set", "lo", "up"],
                    ["route", "add", "local", "10.0.0.0/8", "dev", "lo"]):
        subprocess.run(["ip", *command], check=True)


def main() -> int:
    arguments = parse()
    if arguments.list:
        for row in ALL_ROWS:
            print(f"{row.key:30} {row.title.strip()}" + (" (cached)" if row.cached else "") +
                  (" (slow)" if row.slow else ""))
        return 0
    # Ends by way of Place.__exit__, which ends the children.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit("interrupted"))
    rows = choose_rows(arguments)
    peers, absent = choose_peers(arguments)
    for name in absent:
        note(f"{name} is not installed: left out")
    cores = sorted(os.sched_getaffinity(0))
    proxy_core = cores[0] if arguments.proxy_core is None else arguments.proxy_core
    load_core = cores[-1] if arguments.load_core is None else arguments.load_core
    if proxy_core == load_core:
        note("there is one core only: the proxies share it with load and upstream")
    raise_descriptor_limit()
    enter_network()
    rounds, scale = (1, 0.4) if arguments.quick else (arguments.rounds, 1.0)
    with Place(arguments.tools, proxy_core, load_core) as place:
        results = run(place, peers, rows, rounds, scale)
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = report.table(results, rows)
    if absent:
        text += f"\n\nNot installed, so not measured: {', '.join(absent)}"
    print(text)
    (arguments.out / "table.txt").write_text(text + "\n")
    results.write_csv(arguments.out / "samples.csv")
    drawn = report.plot(results, arguments.out / "plot.svg")
    what = "samples, table and plot" if drawn else "samples and table, without gnuplot no plot"
    note(f"{what}: {arguments.out.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
