"""Rows that are no catalogue's (of stars.parquet, of exposures, of pixels) as levels read them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scrframe.config import SurveyDescription
from scrframe.plugin import OffsetLevel, Registry
from scrframe.products.run_data import RunData
from scrframe.tables import Detections
from scrframe.tables.columns import DETECTION_REQUIRED
from scrframe.tables.table import derive

#: Columns that levels read and that can be worked out from others.
DERIVED = {"season", "gal_l", "gal_b"}


def columns_read(survey: SurveyDescription, registry: Registry) -> dict[str, tuple[str, ...]]:
    """Return the columns that each level of a description reads, by its name."""
    return {
        block.name: tuple(registry.get(OffsetLevel, block.kind).needs(block.settings))
        for block in survey.offsets.active_levels()
    }


def detections_of(
    columns: Mapping[str, Any],
    visit: npt.NDArray[np.integer[Any]],
    data: RunData,
    wanted: Collection[str],
) -> Detections:
    """Return rows as detections: what their visits tell is added, what is not known is NaN.

    Parameters
    ----------
    columns : mapping of str to array_like, shape (n,)
        Columns of the vocabulary; ``ccd`` at least.
    visit : ndarray of int, shape (n,)
        Row of the run's visits, -1 for a visit that is none of them.
    data : RunData
        The run.
    wanted : collection of str
        Names of columns that follow from others, of `DERIVED`, are made if they are here.
    """
    visits, number = data.visit_table, len(visit)
    facts: dict[str, Any] = {
        "visit": _labels(visits.visit, visit),
        "field": _labels(visits.field.tolist(), visit),
        "mjd": np.append(visits.mjd, np.nan)[visit],
        "airmass": np.append(visits.airmass, np.nan)[visit],
        "band": _labels((data.band,), np.zeros_like(visit)),
        # Levels read none of these, but every table of detections has them.
        "file": _labels(("",), np.zeros_like(visit)),
        "extension": columns["ccd"],
        "row": np.arange(number),
    }
    missing = {name: np.full(number, np.nan) for name in DETECTION_REQUIRED if name not in facts}
    whole = {**facts, **missing, **columns}
    return derive(Detections.from_columns(whole), "detection", set(wanted) & DERIVED)


def _labels(names: Sequence[str], code: npt.NDArray[np.integer[Any]]) -> pa.Array:
    """Return names by their numbers; -1 is an empty text."""
    labels, place = np.unique(np.array([*names, ""], dtype=np.str_), return_inverse=True)
    return pa.DictionaryArray.from_arrays(
        pa.array(place[code].astype(np.int32)), pa.array(labels.tolist(), pa.string())
    )
