"""Products of a comparison, and the work of finished backends kept for going on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from astropy.table import Table

from scrframe.analysis.compare.backend import Judged, from_record, to_record
from scrframe.analysis.compare.regions import RegionComparison
from scrframe.analysis.compare.result import Comparison, Costs
from scrframe.products.files import load_arrow, save_arrow, write_ecsv, write_json

#: A directory that holds this file is a comparison.
COMPARISON = "comparison.json"
TABLE = "comparison.ecsv"
COSTS = "costs.json"
#: A directory that holds this file is a comparison of control regions.
REGIONS = "regions.json"
REGION_TABLE = "regions.ecsv"


def write_comparison(folder: Path, comparison: Comparison, provenance: Mapping[str, Any]) -> None:
    """Write comparison.json and comparison.ecsv, which a rerun repeats to the bit."""
    plain = {**comparison.to_json(), "provenance": dict(provenance)}
    write_json(folder / COMPARISON, plain)
    about = {"reference": comparison.reference, "data_note": comparison.data_note}
    _write_table(folder / TABLE, comparison.rows(), about)


def write_regions(
    folder: Path, regions: RegionComparison, note: str, provenance: Mapping[str, Any]
) -> None:
    """Write regions.json and regions.ecsv, which a rerun repeats to the bit."""
    plain = {"data_note": note, **regions.to_json(), "provenance": dict(provenance)}
    write_json(folder / REGIONS, plain)
    about = {"judged_by": regions.judged_by, "data_note": note}
    _write_table(folder / REGION_TABLE, regions.rows(), about)


def _write_table(path: Path, rows: Sequence[Mapping[str, Any]], about: Mapping[str, str]) -> None:
    """Write rows as a table whose names tell the units."""
    table = Table(rows=list(rows))
    for name in table.colnames:
        unit = next((unit for unit in ("mag", "deg") if name.endswith(f"_{unit}")), None)
        table[name].unit = unit
    table.meta = dict(about)
    write_ecsv(table, path)


def write_costs(folder: Path, costs: Sequence[Costs], threads: int) -> None:
    """Write costs.json, which is not the same in a rerun."""
    write_json(folder / COSTS, {"threads": threads, "backends": [each.to_json() for each in costs]})


def costs_of(name: str, judged: Judged) -> Costs | None:
    """Return the costs of a backend, None where it has none."""
    if not judged.costs:
        return None
    fit, rate, memory, size = (
        np.nan if value is None else float(value)
        for value in (
            judged.costs[key] for key in ("fit_s", "predictions_per_s", "peak_memory_mb", "size_mb")
        )
    )
    return Costs(name, fit, rate, memory, size)


def keep_judged(path: Path, judged: Judged) -> None:
    """Keep what a backend predicted; the file appears whole or not at all."""
    control = {f"{kind}_{seed}": held for (kind, seed), held in judged.held_out.items()}
    if judged.err_mag is not None:
        control["err"] = judged.err_mag
    every = {} if judged.colour_mag is None else {"colour": judged.colour_mag}
    save_arrow(path.with_suffix(".stars.arrow"), pa.table(every))
    save_arrow(path, pa.table(control), to_record(judged))


def kept_judged(path: Path) -> Judged | None:
    """Return what a backend predicted before an interruption, None if it was not done."""
    if not path.exists():
        return None
    table, record = load_arrow(path)
    every, _ = load_arrow(path.with_suffix(".stars.arrow"))
    control = {name: np.array(table.column(name)) for name in table.column_names}
    colour = np.array(every.column("colour")) if every.column_names else None
    return from_record(record, control, colour)
