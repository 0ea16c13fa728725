"""What offsets are judged by: injected truth, or held-out stars that were seen twice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.errors import DataError
from scrframe.tables import Detections, MatchedStars

#: The truth of a simulated data tree, beside its catalogues.
TRUTH = "truth.parquet"
#: What names a detection in the catalogues and in the truth.
KEYS = {"file": pa.string(), "ccd": pa.int64(), "row": pa.int64()}


@dataclass(frozen=True)
class TrueOffsets:
    """Injected corrections by detection, in mag, shape (n,); NaN where there is no truth.

    Attributes
    ----------
    exposure_mag : ndarray
        Of the visit and the CCD in it.
    map_mag : ndarray
        Of the place on the CCD.
    """

    exposure_mag: FloatArray
    map_mag: FloatArray


def true_offsets(root: Path, detections: Detections) -> TrueOffsets | None:
    """Return the injected offsets of detections, None where the data are not simulated.

    Raises
    ------
    DataError
        If the file of the truth is not what a simulation writes.
    """
    path = root / TRUTH
    if not path.is_file():
        return None
    columns = ["offset_visit", "offset_ccd", "offset_pixel"]
    try:
        truth = _keyed(pq.read_table(path, columns=[*KEYS, *columns]))
    except (OSError, KeyError, ValueError) as error:  # pyarrow's errors are among these
        first = str(error).splitlines()[0]
        raise DataError(f"{path}: is no truth of a simulated survey ({first})") from None
    number = pa.array(np.arange(len(detections)))
    rows = _keyed(detections.arrow.select(list(KEYS))).append_column("number", number)
    joined = rows.join(truth, keys=list(KEYS), join_type="left outer").sort_by("number")
    visit, ccd, pixel = (
        joined.column(name).to_numpy(zero_copy_only=False).astype(np.float64) for name in columns
    )
    return TrueOffsets(visit + ccd, pixel)


def _keyed(table: pa.Table) -> pa.Table:
    """Return a table whose keys have the same types on both sides of a join."""
    for name, kind in KEYS.items():
        place = table.column_names.index(name)
        table = table.set_column(place, name, table.column(name).cast(kind))
    return table


@dataclass(frozen=True)
class Pairs:
    """Successive detections of the same held-out stars.

    Attributes
    ----------
    first, second : ndarray of int64, shape (k,)
        Rows of the detections.
    across : ndarray of bool, shape (k,)
        Whether they belong to different fields.
    group : ndarray of int64, shape (k,)
        Code of the visits that they belong to, both together.
    """

    first: IntArray
    second: IntArray
    across: BoolArray
    group: IntArray


def find_pairs(sample: MatchedStars, held_out: BoolArray) -> Pairs:
    """Return pairs of detections of held-out stars in different visits.

    Parameters
    ----------
    sample : MatchedStars
    held_out : ndarray of bool, shape (s,)
        Stars that took no part in the solve.
    """
    rows = np.flatnonzero(held_out[sample.star])
    rows = rows[np.argsort(sample.star[rows], kind="stable")]
    visit = sample.detections.codes("visit")[0].astype(np.int64)
    first, second = rows[:-1], rows[1:]
    kept = (sample.star[first] == sample.star[second]) & (visit[first] != visit[second])
    first, second = first[kept], second[kept]
    across = np.zeros(len(first), dtype=bool)
    if "field" in sample.detections:
        field = sample.detections.codes("field")[0]
        across = np.asarray(field[first] != field[second])
    both = visit[first] * (int(visit.max(initial=0)) + 1) + visit[second]
    group = np.unique(both, return_inverse=True)[1].astype(np.int64)
    return Pairs(first, second, across, group)
