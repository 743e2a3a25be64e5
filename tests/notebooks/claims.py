"""Run chapters under several seeds and table every claim with its margin.

::

    python tests/notebooks/claims.py [--seeds 0 1 2 3 4] [--scale laptop] [--output claims.md] [notebooks ...]

Ends with 1 if a claim or a cell fails under any seed. A claim whose smallest margin is under a tenth is marked: the
next version of a library may break it.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chapters
from nbformat import NotebookNode

from course_lib.runtime import SCALES

PROCESSES = 2
THIN = 0.10


@dataclass(frozen=True)
class Run:
    """What one chapter said under one seed."""

    seed: int
    claims: list[dict[str, Any]]  # the rows of COURSE_CLAIMS_LOG, in the order of the chapter
    failures: list[str]


def run(notebook: NotebookNode, scale: str, seed: int) -> Run:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "claims.jsonl"
        failed = chapters.run(
            copy.deepcopy(notebook), scale=scale, seed=seed, environment={"COURSE_CLAIMS_LOG": str(log)}
        )
        rows = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    return Run(seed, [json.loads(row) for row in rows], failed)


def _cell(text: Any) -> str:
    """Make a text safe for a cell of a markdown table."""
    return str(text).replace("|", "\\|").replace("\n", " ")


def _range(values: list[str]) -> str:
    """Give the span of a measured value over the seeds; a text that differs is listed."""
    try:
        numbers = [float(value.replace(",", "")) for value in values]
    except ValueError:
        return " / ".join(sorted(set(values)))
    low, high = values[numbers.index(min(numbers))], values[numbers.index(max(numbers))]
    return low if low == high else f"{low} to {high}"


def _margin(margin: float | None) -> str:
    if margin is None:
        return ""  # the claim's condition was a plain bool
    return "over 1000%" if margin > 10 else f"{margin:.0%}" + (" (thin)" if margin < THIN else "")


def table(runs: list[Run]) -> tuple[list[str], list[str], list[str]]:
    """Put the claims of one chapter under several seeds side by side.

    A claim is known by its place in the chapter, since its sentence may hold a measured number.

    Returns
    -------
    rows : list of str
        A markdown table.
    faults : list of str
        Claims that failed, cells that failed, and seeds that made another number of claims.
    warnings : list of str
        Claims that hold by less than `THIN`.
    """
    faults = [f"seed {run.seed}: {failure}" for run in runs for failure in run.failures]
    warnings: list[str] = []
    rows = ["| Claim | Holds | At the worst seed | Smallest margin | Measured |", "| --- | --- | --- | --- | --- |"]
    counts = {run.seed: len(run.claims) for run in runs}
    if len(set(counts.values())) > 1:
        faults.append(f"the number of claims differs by seed: {counts}")
    for place in range(max(counts.values(), default=0)):
        found = [(run.seed, run.claims[place]) for run in runs if place < len(run.claims)]
        margins = [(row["margin"], seed, row) for seed, row in found if row["margin"] is not None]
        # A broken claim is the worst whatever its margin; NaN, which no comparison orders, comes first.
        worst_seed, worst = min(
            found,
            key=lambda item: (
                item[1]["holds"],
                -math.inf if item[1]["margin"] is None or math.isnan(item[1]["margin"]) else item[1]["margin"],
            ),
        )
        sentence, holds = worst["sentence"], sum(row["holds"] for _, row in found)
        margin = min((value for value, _, _ in margins), default=None)
        if holds < len(runs):
            faults.append(f"holds under {holds} of {len(runs)} seeds: {sentence} ({worst['condition']})")
        elif margin is not None and margin < THIN:
            warnings.append(f"holds by {margin:.1%} only (seed {worst_seed}): {sentence}")
        names = dict.fromkeys(name for _, row in found for name in row["measured"])
        spans = [
            f"{name.replace('_', ' ')} {_range([row['measured'][name] for _, row in found if name in row['measured']])}"
            for name in names
        ]
        cells = [
            sentence,
            f"{holds}/{len(runs)}",
            f"{worst['condition']} (seed {worst_seed})",
            _margin(margin),
            "; ".join(spans),
        ]
        rows.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return rows, faults, warnings


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", help="default: every chapter")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--scale", choices=SCALES, default="laptop")
    parser.add_argument("--output", type=Path, help="write the tables to this file too")
    options = parser.parse_args(arguments)
    files = chapters.paths(options.notebooks)
    if not files:
        parser.error("there is no chapter to run")
    text = [f"Scale {options.scale}, seeds {', '.join(map(str, options.seeds))}.", ""]
    bad = False
    # Threads, not processes: the runs share one list of TCP ports in use, and each has a kernel process anyway.
    with ThreadPoolExecutor(PROCESSES) as pool:
        jobs = {
            path: [pool.submit(run, chapters.read(path), options.scale, seed) for seed in options.seeds]
            for path in files
        }
        for path, started in jobs.items():
            rows, faults, warnings = table([job.result() for job in started])
            section = [f"## {path.stem}", "", *rows, ""]
            section += [f"- FAILED: {_cell(fault)}" for fault in faults] + [f"- thin: {_cell(w)}" for w in warnings]
            print("\n".join(section), flush=True)
            text += [*section, ""]
            bad = bad or bool(faults)
    if options.output:
        options.output.write_text("\n".join(text), encoding="utf-8")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
