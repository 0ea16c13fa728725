#!/usr/bin/env python
"""How time and memory of each step grow with a survey: `scrframe calibrate`, report included.

Surveys of the same fields and of several densities are simulated once, and kept; each is
calibrated with the description as it ships, in a process of its own:

    python scripts/benchmark_survey.py --detections 3e5 1e6 3e6 5e6

Memory is summed over the processes, what they share counts once. The exponent of a step is the
slope of log time on log detections: 1 grows as the survey does.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from benchmark import DESCRIPTION, measure

from scrframe.run.workers import default_workers
from scrframe.simulate.cache import cache_folder

FIELDS = 772
DETECTIONS = (3e5, 1e6, 3e6, 5e6)
#: Detections of calibration stars by visit, for a star with a spectrum per square degree.
YIELD_DEG2 = 0.805
SCRFRAME = os.fspath(Path(sys.executable).parent / "scrframe")


@dataclass(frozen=True)
class Measured:
    """What a calibration took."""

    detections: int
    stars: int
    seconds: float
    peak_mb: float
    steps: dict[str, dict[str, float]]
    #: Rows and bytes of the catalogues, bytes of all else that is read, and processors used.
    rows: int
    catalogue_bytes: int
    reference_bytes: int
    processors: int


def main() -> None:
    """Simulate what is missing, calibrate each survey, print steps and how they grow."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--detections", type=float, nargs="+", default=DETECTIONS)
    parser.add_argument("--fields", type=int, default=FIELDS, help="of two visits each")
    parser.add_argument("--keep", type=Path, help="folder of the surveys; default: the cache")
    parser.add_argument("--out", type=Path, help="folder of runs and logs; default: with them")
    parser.add_argument("--set", action="append", default=[], help="changes, as of calibrate")
    parser.add_argument("--json", type=Path, help="file of the figures, for scripts/scale.py")
    options = parser.parse_args()
    keep = options.keep or cache_folder() / "benchmark-survey"
    out = options.out or keep / "runs"
    out.mkdir(parents=True, exist_ok=True)
    found = []
    for detections in sorted(options.detections):
        tree = simulated(keep, options.fields, detections, out)
        found.append(calibrated(tree, out / tree.name, options.set))
        print_one(found[-1])
    if options.json:
        figures = json.dumps([asdict(one) for one in found], indent=2)
        options.json.write_text(figures + "\n", encoding="utf-8")
    if len(found) > 1:
        print_growth(found)


def simulated(keep: Path, fields: int, detections: float, out: Path) -> Path:
    """Return a survey that yields so many detections of calibration stars, made if need be."""
    density = detections / (2 * fields * YIELD_DEG2)
    tree = keep / f"{fields}_fields_density_{density:.0f}"
    if not tree.exists():
        command = [SCRFRAME, "simulate", os.fspath(DESCRIPTION), "--out", os.fspath(tree)]
        command += ["--fields", str(fields), "--density", f"{density:.1f}", "--quiet"]
        seconds, memory = measure(command, out / f"{tree.name}.simulate.log")
        size = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
        took = f"{seconds:.1f} s, peak memory {memory / 1000:.2f} GB"
        print(f"simulated {tree.name}: {took}, {size / 1e9:.2f} GB on disk", flush=True)
    return tree


def calibrated(tree: Path, run: Path, changes: list[str]) -> Measured:
    """Calibrate a survey, report included, and return what it took."""
    shutil.rmtree(run, ignore_errors=True)
    command = [SCRFRAME, "calibrate", os.fspath(DESCRIPTION), "--data", os.fspath(tree)]
    command += ["--out", os.fspath(run), "--quiet"]
    command += [word for change in changes for word in ("--set", change)]
    seconds, memory = measure(command, run.with_name(f"{run.name}.calibrate.log"))
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    count = summary["counts"]["calibration"]
    steps = summary["steps"]
    return Measured(
        count["detections"], count["stars"], seconds, memory, steps, **size_of(tree, run)
    )


def size_of(tree: Path, run: Path) -> dict[str, int]:
    """Return how much a run has read, and by how many processors."""
    files = [path for path in tree.rglob("*") if path.is_file() and path.name != "truth.parquet"]
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    catalogues = sum(path.stat().st_size for path in files if "catalogues" in path.parts)
    return {
        "rows": summary["counts"]["calibration_cuts"][0]["detections"],
        "catalogue_bytes": catalogues,
        "reference_bytes": sum(path.stat().st_size for path in files) - catalogues,
        "processors": default_workers(),
    }


def print_one(one: Measured) -> None:
    """Print time and peak memory of each step."""
    print(f"\n{one.detections:,} detections of {one.stars:,} calibration stars")
    rows = {name: (step["seconds"], step["peak_memory_mb"]) for name, step in one.steps.items()}
    for name, (seconds, memory) in {**rows, "in all": (one.seconds, one.peak_mb)}.items():
        print(f"{name:<24}{seconds:9.1f} s{memory / 1000:8.2f} GB")
    sys.stdout.flush()


def print_growth(found: list[Measured]) -> None:
    """Print the exponents of time and of memory with the number of detections."""
    count = [one.detections for one in found]
    print(f"\n{'exponent of':<24}{'time':>9}{'memory':>11}")
    for name in found[0].steps:
        steps = [one.steps[name] for one in found if name in one.steps]
        if len(steps) == len(found):
            time = exponent(count, [step["seconds"] for step in steps])
            memory = exponent(count, [step["peak_memory_mb"] for step in steps])
            print(f"{name:<24}{time:9.2f}{memory:11.2f}")
    time = exponent(count, [one.seconds for one in found])
    print(f"{'in all':<24}{time:9.2f}{exponent(count, [one.peak_mb for one in found]):11.2f}")


def exponent(size: list[int], cost: list[float]) -> float:
    """Return the slope of log cost on log size; NaN where a cost is not positive."""
    if min(cost) <= 0:
        return float("nan")
    return float(np.polyfit(np.log(size), np.log(cost), 1)[0])


if __name__ == "__main__":
    main()
