#!/usr/bin/env python
"""What surveys of 10^9 and 10^10 detections would cost, from the benchmark's unit costs.

    make benchmark-survey ARGS="--json docs/explanation/scale.json"
    python scripts/scale.py docs/explanation/scale.json --write docs/explanation/scale.md

Times are those of the largest run of the file; memory is what it grows by from the smallest. All
costs are taken to grow as the detections do; the page says where that ends.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: Steps that go to workers, by what they grow with; all others stay in one process.
IN_WORKERS = {
    "hash inputs": "rows",
    "read catalogues": "rows",
    "match reference stars": "rows",
    "join extinctions": "detections",
    "join spectra": "detections",
    "correct catalogues": "rows",
}
IN_ONE = ("intrinsic features", "colour model and law", "solve offsets", "write products")
#: Rows of catalogues.
SURVEYS = {"10^9 (as NSC)": 1e9, "10^10 (as ten years of Rubin)": 1e10}
#: How often catalogues are read (hashes, both passes), and written.
TIMES_READ, TIMES_WRITTEN = 3, 1
MARKS = "<!-- by scripts/scale.py -->", "<!-- end -->"


def unit_seconds(run: dict[str, Any]) -> dict[str, float]:
    """Return processor seconds for each million rows of catalogues, by step."""
    found = {}
    for step in (*IN_WORKERS, *IN_ONE):
        if step in run["steps"]:
            busy = run["processors"] if step in IN_WORKERS else 1
            found[step] = 1e6 * busy * run["steps"][step]["seconds"] / run["rows"]
    return found


def memory_by_row(small: dict[str, Any], large: dict[str, Any]) -> dict[str, float]:
    """Return by how many bytes the peak of a step grows with each row, from two runs."""
    steps = [step for step in IN_ONE if step in small["steps"] and step in large["steps"]]
    more = large["rows"] - small["rows"]
    peaks = {
        step: [run["steps"][step]["peak_memory_mb"] for run in (small, large)] for step in steps
    }
    return {step: 1e6 * max(high - low, 0.0) / more for step, (low, high) in peaks.items()}


def lines(runs: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the tables."""
    small, run = (pick(runs, key=lambda each: each["rows"]) for pick in (min, max))
    rows, share = run["rows"], run["detections"] / run["rows"]
    yield (
        f"Measured on {rows:,} rows of catalogues, of which {run['detections']:,} detections"
        f" ({100 * share:.0f} per cent) of {run['stars']:,} stars calibrate, with"
        f" {run['processors']} workers; {run['seconds']:.0f} s and {run['peak_mb'] / 1000:.1f} GB."
    )
    names = list(SURVEYS)
    yield from ("", f"| step | where | core s a million rows | {' | '.join(names)} |")
    yield "|---|---|---|" + "---|" * len(names)
    units, total = unit_seconds(run), dict.fromkeys(names, 0.0)
    for step, seconds in units.items():
        hours = {name: seconds * number / 1e6 / 3600 for name, number in SURVEYS.items()}
        total = {name: total[name] + hours[name] for name in names}
        where = "workers" if step in IN_WORKERS else "one process"
        told = " | ".join(f"{_short(hours[name])} core h" for name in names)
        yield f"| {step} | {where} | {seconds:.2f} | {told} |"
    told = " | ".join(f"{_short(total[name])} core h" for name in names)
    yield f"| in all | | {sum(units.values()):.2f} | {told} |"
    yield from ("", f"| memory of the one process, in | {' | '.join(names)} |")
    yield "|---|" + "---|" * len(names)
    for step, size in memory_by_row(small, run).items():
        told = " | ".join(f"{_size(size * number)}" for number in SURVEYS.values())
        yield f"| {step} | {told} |"
    yield from ("", f"| over the network | {' | '.join(names)} |")
    yield "|---|" + "---|" * len(names)
    times, each = TIMES_READ + TIMES_WRITTEN, run["catalogue_bytes"] / rows
    moved = {
        f"catalogues, read {TIMES_READ} times and written once": times * each,
        "reference data, read twice": 2 * run["reference_bytes"] / rows,
    }
    for what, size in moved.items():
        told = " | ".join(_size(size * number) for number in SURVEYS.values())
        yield f"| {what} | {told} |"


def _short(number: float) -> str:
    return f"{number:.3g}" if number < 1000 else f"{number:,.0f}"


def _size(number: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} PB"


def main() -> None:
    """Print the tables, or write them into a page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("figures", type=Path, help="of benchmark_survey.py --json")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="between the marks of a page")
    options = parser.parse_args()
    text = "\n".join(lines(json.loads(options.figures.read_text(encoding="utf-8"))))
    if not options.write:
        sys.stdout.write(text + "\n")
        return
    page = options.write.read_text(encoding="utf-8")
    begin, end = MARKS
    made = f"{begin}\n\n{text}\n\n{end}"
    new = re.sub(f"{begin}.*?{end}", lambda _: made, page, flags=re.DOTALL)
    options.write.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
