"""Run scrframe beside another script of the same method, on the same simulated survey.

    python scripts/benchmark.py --peer PATH [--runs 3] [--fields 40] [--density 1990] [--keep DIR]

The peer is called as ``python PATH DATA_ROOT`` and writes ``reference.parquet`` (file, ccd,
row, offset) beside the data root. Both run in turn, so that a drift of the machine's speed
meets both. Time is wall time of the whole process; memory is the largest sum over the
process tree, shared pages counted once, sampled by the same code for both. The accuracy is
that of the total offset against the injected one, the survey's constant removed. The rates
of the XP operator are printed as well.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq

import scrframe
from scrframe.run.session import tree_memory
from scrframe.spectra.xp_operator import BASES, PACKED, load_operator

ROOT = Path(__file__).resolve().parent.parent
DESCRIPTION = ROOT / "surveys" / "vphas_u.yaml"
#: Seconds between two looks at the memory.
INTERVAL = 0.1
KEYS = ["file", "ccd", "row"]
#: The paper's ways, which the other script goes too.
PAPER = (
    "offsets.mode=sequential",
    "reddening.order=2",
    "reddening.extinction_order=0",
    "reddening.field_slopes=false",
)


def measure(command: list[str], log: Path) -> tuple[float, float]:
    """Run a command and return its seconds and its peak memory in MB."""
    start, peak = time.perf_counter(), 0
    with log.open("w") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT)
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                peak = max(peak, tree_memory(watched))
            except psutil.NoSuchProcess:
                break
            time.sleep(INTERVAL)
        code = process.wait()
    if code:
        sys.exit(f"{' '.join(command)} ended with exit code {code}:\n{log.read_text()[-2000:]}")
    return time.perf_counter() - start, peak / 1e6


def accuracy(run: Path, reference: Path, truth: Path) -> tuple[dict[str, float], int]:
    """Return the rms error of both total offsets in mag, and on how many detections.

    Only detections that both have are judged; a group of too few stars has no offset here,
    where the peer writes zero.
    """
    joined = _plain(pq.read_table(truth, columns=[*KEYS, "offset_total"]))
    joined = joined.rename_columns([*KEYS, "injected"])
    for file, name, new in (
        (run / "stars.parquet", "offset_total", "scrframe"),
        (reference, "offset", "peer"),
    ):
        table = _plain(pq.read_table(file, columns=[*KEYS, name])).rename_columns([*KEYS, new])
        joined = joined.join(table, keys=KEYS, join_type="inner")
    columns = {name: joined.column(name).to_numpy() for name in ("injected", "scrframe", "peer")}
    both = np.isfinite(columns["scrframe"])
    errors = {
        name: float(np.std((columns[name] - columns["injected"])[both]))
        for name in ("scrframe", "peer")
    }
    return errors, int(both.sum())


def _plain(table):  # type: ignore[no-untyped-def]
    for name in KEYS:
        place = table.column_names.index(name)
        kind = "string" if name == "file" else "int64"
        table = table.set_column(place, name, table.column(name).cast(kind))
    return table


def operator_rates(number: int = 20_000) -> tuple[float, float]:
    """Return spectra a second of fluxes and of exact errors, with two threads."""
    rng = np.random.default_rng(1)
    operator = load_operator("paper")
    bp, rp = rng.normal(size=(2, number, BASES))
    errors = np.abs(rng.normal(size=(2, number, BASES)))
    correlations = rng.uniform(-0.1, 0.1, (2, number, PACKED)).astype(np.float32)
    rates = []
    for task in (
        lambda: operator.flux(bp, rp, threads=2),
        lambda: operator.flux_error_exact(
            errors[0], correlations[0], errors[1], correlations[1], threads=2
        ),
    ):
        task()
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            task()
            seconds.append(time.perf_counter() - start)
        rates.append(number / statistics.median(seconds))
    return rates[0], rates[1]


def main() -> None:
    """Parse the command line, run both, print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--fields", type=int, default=40)
    parser.add_argument("--density", type=float, default=1990.0)
    parser.add_argument("--control-fields", type=int, default=6)
    parser.add_argument("--joint", action="store_true", help="run scrframe in mode joint")
    parser.add_argument("--keep", type=Path, help="keep the simulated survey and runs here")
    arguments = parser.parse_args()
    fluxes, errors = operator_rates()
    print(f"XP operator: {fluxes:,.0f} fluxes/s, {errors:,.0f} exact errors/s", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        compare(arguments, folder)


def compare(arguments: argparse.Namespace, folder: Path) -> None:
    """Simulate the survey, run both in turn, print medians and ratios."""
    tree, out = folder / "tree", folder / "run"
    if not tree.exists():
        changes = [f"simulation.fields={arguments.fields}"]
        changes.append(f"simulation.density={arguments.density}")
        changes.append(f"simulation.control_fields={arguments.control_fields}")
        scrframe.simulate_survey(scrframe.load_survey(DESCRIPTION, overrides=changes), tree)
    ours = [os.fspath(Path(sys.executable).parent / "scrframe"), "calibrate"]
    ours += [os.fspath(DESCRIPTION), "--data", os.fspath(tree), "--out", os.fspath(out), "--quiet"]
    if not arguments.joint:
        ours += [word for change in PAPER for word in ("--set", change)]
    theirs = [sys.executable, os.fspath(arguments.peer.resolve()), os.fspath(tree)]
    measured: dict[str, list[tuple[float, float]]] = {"scrframe": [], "peer": []}
    for number in range(arguments.runs):
        for name, command in (("scrframe", ours), ("peer", theirs)):
            measured[name].append(measure(command, folder / f"{name}.log"))
            seconds, memory = measured[name][-1]
            print(f"run {number + 1}: {name:8} {seconds:7.1f} s {memory:8.0f} MB", flush=True)
    middle = {
        name: [statistics.median(column) for column in zip(*runs, strict=True)]
        for name, runs in measured.items()
    }
    errors, count = accuracy(out, folder / "reference.parquet", tree / "truth.parquet")
    print(f"\nmedian of {arguments.runs}   seconds   memory MB   rms error mmag")
    for name, (seconds, memory) in middle.items():
        print(f"{name:11} {seconds:9.1f} {memory:11.0f} {1000 * errors[name]:16.2f}")
    (a, b), (c, d) = middle["scrframe"], middle["peer"]
    ratio = errors["scrframe"] / errors["peer"]
    print(f"{'ratio':11} {a / c:9.3f} {b / d:11.3f} {ratio:16.3f}   ({count:,} detections)")


if __name__ == "__main__":
    main()
