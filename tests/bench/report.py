# SPDX-License-Identifier: BSD-2-Clause
# Copyright the dotproxy authors
"""What was measured, as a table, as CSV and as a plot."""

import csv
import math
import shutil
import subprocess
from pathlib import Path
from statistics import median

from rows import CPU, HOT, LATENCY, MEMORY, NAMES, PACED, ROWS, Row

OURS = "dotproxy"


class Results:
    """Every value of every round."""

    def __init__(self, peers: list[str]):
        self.peers = peers
        self.samples: list[tuple[int, str, str, float]] = []  # round, row, peer, value

    def add(self, number: int, peer: str, values: dict[str, float]) -> None:
        self.samples += [(number, key, peer, value) for key, value in values.items()]

    def median(self, key: str, peer: str) -> float | None:
        values = [value for _, row, who, value in self.samples if (row, who) == (key, peer)]
        return median(values) if values else None

    def best_peer(self, row: Row) -> float | None:
        others = [self.median(row.key, peer) for peer in self.peers if peer != OURS]
        values = [value for value in others if value is not None]
        return (max if row.more_is_better else min)(values) if values else None

    def write_csv(self, file: Path) -> None:
        with open(file, "w", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(("round", "row", "peer", "value"))
            writer.writerows((number, key, peer, f"{value:.3f}")
                             for number, key, peer, value in self.samples)


def text(row: Row, value: float | None) -> str:
    if value is None:
        return "-"
    return "never" if math.isinf(value) else f"{value:,.{row.digits}f}"


def ratio(row: Row, ours: float | None, best: float | None) -> str:
    """How many times better than the best peer; above 1 is better."""
    if ours is None or best is None:
        return "-"
    over, under = (ours, best) if row.more_is_better else (best, ours)
    if math.isinf(over) or math.isinf(under) or under <= 0:
        return "-"
    return f"{over / under:.2f}"


def verdict(row: Row, ours: float | None) -> str:
    if row.target is None or ours is None:
        return ""
    reached = ours >= row.target if row.more_is_better else ours <= row.target
    return "reached" if reached else "MISSED"


def table(results: Results, rows: list[Row]) -> str:
    heads = [*results.peers, "best/ours", "target", ""]
    lines = []
    group = None
    for row in rows:
        values = [results.median(row.key, peer) for peer in results.peers]
        if all(value is None for value in values):
            continue
        if row.group != group:
            group = row.group
            lines += ["", group, " " * 50 + "".join(f"{head:>10}" for head in heads)]
        ours = results.median(row.key, OURS)
        bound = ">=" if row.more_is_better else "<="
        target = "" if row.target is None else f"{bound} {row.target:,g}"
        cells = [text(row, value) for value in values]
        cells += [ratio(row, ours, results.best_peer(row)), target, verdict(row, ours)]
        lines.append(f"{row.title:<50}" + "".join(f"{cell:>10}" for cell in cells).rstrip())
    return "\n".join(lines[1:])


def plot(results: Results, file: Path) -> bool:
    """Draws groups of bars, one group a row and one bar a proxy; False when there is no gnuplot."""
    if not shutil.which("gnuplot"):
        return False
    panels = []
    for group in (CPU, PACED, HOT, LATENCY, MEMORY, NAMES):
        rows = [row for row in ROWS if row.group == group and not row.more_is_better
                and any(results.median(row.key, peer) is not None for peer in results.peers)]
        if rows:
            panels.append((group, rows))
    if not panels:
        return False
    script = [f"set terminal svg size 1000,{330 * len(panels)} background '#ffffff' font 'sans,12'",
              f"set output '{file}'", f"set multiplot layout {len(panels)},1",
              "set style data histogram", "set style histogram clustered gap 1",
              "set style fill solid 0.8 border -1", "set grid ytics", "set yrange [0:*]",
              "set key outside right top", "set boxwidth 0.9"]
    for number, (group, rows) in enumerate(panels):
        script.append(f"$panel{number} << END")
        script.append(" ".join(f'"{head}"' for head in ["row", *results.peers]))
        for row in rows:
            values = [results.median(row.key, peer) for peer in results.peers]
            # What the title says is left out of the labels, which would touch each other.
            script.append(f'"{row.key.removesuffix("-paced")}" ' + " ".join(
                "?" if value is None or math.isinf(value) else f"{value:.3f}" for value in values))
        script += ["END", f"set title '{group.replace(chr(39), chr(39) * 2)}' noenhanced",
                   "set datafile missing '?'"]
        # The same colour for the same proxy in all panels, whoever is missing.
        shown = [index for index, peer in enumerate(results.peers)
                 if any(results.median(row.key, peer) is not None for row in rows)]
        columns = ", ".join(
            f"$panel{number} using {index + 2}{':xtic(1)' if index == shown[0] else ''} "
            f"title columnheader({index + 2}) linecolor {index + 1}" for index in shown)
        script.append(f"plot {columns}")
    script.append("unset multiplot")
    done = subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, timeout=60,
                          check=False)
    return done.returncode == 0
