"""What the random nuisance terms of a run say of its detections: a part of no correction.

Residuals are model less calibrated magnitudes, and hold what a solution puts down to the model.
Tests of what is left are made without it; free terms, such as the law's, are left in: what they
take is an error of the law.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from scrframe.arrays import FloatArray
from scrframe.errors import ScrframeError
from scrframe.products.run_data import RunData
from scrframe.tables import Detections, SolvedLevel

#: Detections at a time, so that memory stays small.
ROWS = 200_000


def nuisance_mag(data: RunData, levels: tuple[SolvedLevel, ...]) -> FloatArray:
    """Return the sum of the random nuisance terms of each detection in mag, shape (n,).

    Terms in quantities that a run does not keep by detection are left out.
    """
    total = np.zeros(len(data.visit_code))
    taken = [
        level
        for level in levels
        if level.fitted.role == "nuisance" and level.fitted.precision() is not None
    ]
    if not taken:
        return total
    columns = _columns(data)
    for start in range(0, len(total), ROWS):
        part = slice(start, start + ROWS)
        table = Detections.from_columns({name: each[part] for name, each in columns.items()})
        for level in taken:
            try:
                design = level.fitted.design(table)
            except (ScrframeError, KeyError):
                continue
            total[part] += design.weights @ np.nan_to_num(level.offsets.offset_mag)
    return total


def _columns(data: RunData) -> Mapping[str, Any]:
    """Return the columns of the vocabulary that a run keeps, by their names there."""
    visit = data.visit_code
    table = data.visit_table
    names = {
        "ccd": "ccd",
        "x": "x_pix",
        "y": "y_pix",
        "ra": "ra_deg",
        "dec": "dec_deg",
        "star_ra": "ra_deg",
        "star_dec": "dec_deg",
        "mag": "mag_obs",
        "mag_err": "mag_err",
        "mjd": "mjd",
        "colour0": "colour0",
        "extinction": "extinction",
        "r_v_slope": "r_v_slope",
        "row": "row",
        "source_id": "source_id",
    }
    nothing = np.zeros(len(visit), dtype=np.int64)
    return {
        **{name: data.star(column) for name, column in names.items() if data.has(column)},
        "band": np.full(len(visit), data.band, dtype=object),
        "file": np.full(len(visit), "", dtype=object),
        "extension": nothing,
        "visit": np.asarray(data.visits, dtype=object)[visit],
        "field": np.asarray(table.field, dtype=object)[visit],
        "airmass": table.airmass[visit],
    }
