#!/usr/bin/env python
"""How long `scrframe report` takes on a run of millions of detections, and how much memory.

A finished run is laid side by side until it has so many detections: each copy is elsewhere on
the sky, at other dates, with visits and stars of its own, and with its residuals drawn anew by
turning the signs of stars. The report is made in a process of its own:

    python scripts/benchmark_report.py runs/vphas_u --detections 3e6

Without a run, the built-in sample survey is calibrated first, which takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table, vstack

ROOT = Path(__file__).parents[1]
#: What a report of 3 million detections may take.
SECONDS, GIGABYTES, PAGE_MB, MOST_DETECTIONS = 60.0, 2.0, 15.0, 3e6
#: Copies are apart by so much in right ascension and in time.
STEP_DEG, STEP_DAYS = 14.9, 2.0
#: What is a copy's own in the tables of the solution.
OWN = ("visit", "field")


def main() -> int:
    """Build a large run, report on it, and hold the figures against the bounds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("run", nargs="?", type=Path, help="directory of a finished run")
    parser.add_argument("--detections", type=float, default=3e6, help="rows of stars.parquet")
    parser.add_argument("--keep", type=Path, help="folder for the large run; reused if it is there")
    parser.add_argument("--profile", type=Path, help="file for a profile (cProfile) of the report")
    args = parser.parse_args()
    with folder(args.keep) as large:
        if not (large / "summary.json").exists():
            repeat(finished_run(args.run, large), large, args.detections)
        found = measured(large, args.profile)
        found["detections"] = pq.read_metadata(large / "stars.parquet").num_rows
    print(json.dumps(found, indent=1))
    bounds = {"seconds": SECONDS, "peak_gb": GIGABYTES, "page_mb": PAGE_MB}
    above = [name for name, bound in bounds.items() if found[name] > bound]
    return int(bool(above) and found["detections"] <= 1.01 * MOST_DETECTIONS)


@contextmanager
def folder(keep: Path | None) -> Iterator[Path]:
    """Give the folder to keep, or a temporary one."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "large"


def finished_run(run: Path | None, large: Path) -> Path:
    """Return a finished run; of the sample survey where none is given."""
    if run is not None:
        return run
    out = large.with_name(f"{large.name}_sample")
    survey = str(ROOT / "surveys" / "vphas_u.yaml")
    scrframe("calibrate", survey, "--data", "sample", "--out", str(out), "--no-report", "--quiet")
    return out


def scrframe(*words: str, profile: Path | None = None) -> resource.struct_rusage:
    """Run scrframe in a process of its own, and return what it used."""
    run = "import sys; from scrframe.cli import main; sys.exit(main())"
    if profile is not None:
        run = f"import cProfile; cProfile.run({run!r}, {str(profile)!r})"
    process = subprocess.Popen([sys.executable, "-c", run, *words])
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"scrframe {words[0]} failed")
    return used


def repeat(run: Path, large: Path, detections: float) -> None:
    """Write a run that is so many copies of another as reach a number of detections."""
    stars = pq.read_table(run / "stars.parquet")
    catalogue = pq.read_table(run / "star_catalogue.parquet")
    copies = max(1, round(detections / stars.num_rows))
    sign = np.random.default_rng(1).choice([-1.0, 1.0], (copies, catalogue.num_rows))
    sign[0] = 1.0
    ids = catalogue.column("source_id").to_numpy()
    star = np.searchsorted(ids, stars.column("source_id").to_numpy())
    large.mkdir(parents=True, exist_ok=True)
    parts = [moved_stars(stars, copy, star, sign[copy][star]) for copy in range(copies)]
    pq.write_table(
        pa.concat_tables(parts).unify_dictionaries(), large / "stars.parquet", compression="zstd"
    )
    parts = [moved_stars(catalogue, copy, np.arange(len(ids)), None) for copy in range(copies)]
    pq.write_table(pa.concat_tables(parts), large / "star_catalogue.parquet", compression="zstd")
    repeat_solution(run / "solution", large / "solution", copies)
    shutil.copy(run / "summary.json", large)


def moved_stars(table: pa.Table, copy: int, star: np.ndarray, sign: np.ndarray | None) -> pa.Table:
    """Return one copy of a table of detections or stars."""
    stars = int(star.max()) + 1
    changed = {
        "source_id": star.astype(np.int64) + copy * stars,
        "ra_deg": (table.column("ra_deg").to_numpy() + copy * STEP_DEG) % 360,
    }
    if "visit" in table.column_names:
        changed["mjd"] = table.column("mjd").to_numpy() + copy * STEP_DAYS
        names = table.column("visit").dictionary_encode().combine_chunks()
        own = pa.array([named(name, copy) for name in names.dictionary.to_pylist()])
        changed["visit"] = pa.DictionaryArray.from_arrays(names.indices, own).cast(pa.string())
    if sign is not None:
        total, model, delta = (
            table.column(name).to_numpy() for name in ("offset_total", "mag_model", "delta")
        )
        changed["delta"] = total + sign * (delta - total)
        changed["mag_cal"] = model - sign * (delta - total)
        changed["mag_obs"] = changed["mag_cal"] - total
    for name, values in changed.items():
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(place), pa.chunked_array([values]))
    return table


def named(name: str, copy: int) -> str:
    """Return the name of a visit or field of a copy."""
    return f"{name}_{copy:02d}" if name else name


def repeat_solution(solution: Path, large: Path, copies: int) -> None:
    """Write the tables of a solution with rows for each copy where a copy has its own."""
    large.mkdir()
    for path in sorted(solution.iterdir()):
        if path.suffix == ".ecsv":
            table = Table.read(path, format="ascii.ecsv")
            if set(OWN) & set(table.colnames):
                meta, parts = table.meta, [moved_rows(table, copy) for copy in range(copies)]
                table = vstack(parts, metadata_conflicts="silent")
                table.meta = meta  # else lists in it would be joined
                if path.name.startswith("offsets_"):
                    table.sort(table.colnames[: table.colnames.index("offset")])
            table.write(large / path.name, format="ascii.ecsv")
        elif path.suffix == ".fits":
            repeat_covariance(path, large / path.name, copies)
        else:
            shutil.copy(path, large)
    provenance = json.loads((large / "provenance.json").read_text(encoding="utf-8"))
    visits = provenance["visits"]
    provenance["visits"] = [named(one, copy) for copy in range(copies) for one in visits]
    (large / "provenance.json").write_text(json.dumps(provenance), encoding="utf-8")


def moved_rows(table: Table, copy: int) -> Table:
    """Return the rows of one copy."""
    out = table.copy()
    for name in set(OWN) & set(table.colnames):
        names = np.ma.filled(table[name].astype(str), "")
        out[name] = [named(str(one), copy) for one in names]
    if "mjd" in table.colnames:
        out["mjd"] = table["mjd"] + copy * STEP_DAYS
        out["ra"] = (table["ra"] + copy * STEP_DEG) % 360
    return out


def repeat_covariance(path: Path, large: Path, copies: int) -> None:
    """Write the covariance of visits with one block for each copy."""
    with fits.open(path) as hdus:
        block = np.asarray(hdus[0].data, dtype=np.float64)
        names = [str(one).strip() for one in hdus["VISITS"].data["visit"]]
    visits = [named(one, copy) for copy in range(copies) for one in names]
    table = fits.BinTableHDU(Table({"visit": visits}), name="VISITS")
    image = fits.PrimaryHDU(np.kron(np.eye(copies), block))
    fits.HDUList([image, table]).writeto(large, overwrite=True)


def measured(run: Path, profile: Path | None) -> dict[str, float]:
    """Return what the report of a run takes: wall clock and CPU, in s, memory and size."""
    start = time.perf_counter()
    used = scrframe("report", str(run), "--quiet", profile=profile)
    seconds = time.perf_counter() - start
    kilobyte = 1 if sys.platform == "darwin" else 1024
    return {
        "seconds": round(seconds, 1),
        "user_seconds": round(used.ru_utime, 1),
        "system_seconds": round(used.ru_stime, 1),
        "peak_gb": round(used.ru_maxrss * kilobyte / 1e9, 3),
        "page_mb": round((run / "report" / "index.html").stat().st_size / 1e6, 2),
    }


if __name__ == "__main__":
    sys.exit(main())
