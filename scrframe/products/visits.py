"""The facts of visits as an open table: field, date, airmass and place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import Table

from scrframe.errors import DataError
from scrframe.products import columns
from scrframe.products.columns import ecsv_table
from scrframe.products.files import damaged, write_ecsv
from scrframe.tables.derived import season_of

VISITS = "visits.ecsv"
#: Attributes of `VisitSeen` that have another name in the file.
_ATTRIBUTES = {"visit": "key", "ra": "ra_deg", "dec": "dec_deg", "n_detections": "detections"}


def write_visits(folder: Path, visits: Sequence[VisitSeen], note: str) -> None:
    """Write the visits that a run has read, in the order of reading."""
    names = [column.name for column in columns.VISITS if column.name != "season"]
    values = {
        name: [getattr(visit, _ATTRIBUTES.get(name, name)) for visit in visits] for name in names
    }
    season = seasons(np.array(values["mjd"], dtype=np.float64))
    table = ecsv_table(columns.VISITS, {**values, "season": season}, {"data_note": note})
    write_ecsv(table, folder / VISITS)


def read_visits(folder: Path, visits: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """Read back field, mjd, season, airmass, ra_deg and dec_deg.

    Parameters
    ----------
    folder : Path
        The ``solution`` of a run.
    visits : sequence of str, length v
        Keys; the arrays come in their order, shape (v,).

    Raises
    ------
    DataError
        If the table is missing or damaged.
    """
    path = folder / VISITS
    try:
        table = Table.read(path, format="ascii.ecsv")
        row_of = {str(key): row for row, key in enumerate(table["visit"])}
        rows = np.array([row_of[visit] for visit in visits], dtype=np.int64)
        mjd, airmass, ra, dec = (
            np.array(table[name], float)[rows] for name in ("mjd", "airmass", "ra", "dec")
        )
        field = np.ma.filled(table["field"].astype(str), "")[rows]
    except FileNotFoundError:
        raise DataError(f"{path}: not found; is {folder.parent} a run?") from None
    except (KeyError, ValueError, OSError) as error:
        raise damaged(path, error) from None
    facts = {"field": np.asarray(field), "mjd": mjd, "airmass": airmass, "season": seasons(mjd)}
    return {**facts, "ra_deg": ra, "dec_deg": dec}


def seasons(mjd: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return the observing season of each date, -1 for none, same shape."""
    return np.asarray(season_of(mjd).fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)


@dataclass(frozen=True)
class VisitSeen:
    """A visit that was read.

    Attributes
    ----------
    key, file, field : str
    mjd : float
    ra_deg, dec_deg, radius_deg : float
        A disc that holds its detections.
    detections : int
        All of them, before any cut.
    ccds : tuple of int
        Detectors that have any.
    airmass : float
        NaN where the catalogue does not tell it.
    """

    key: str
    file: str
    field: str
    mjd: float
    ra_deg: float
    dec_deg: float
    radius_deg: float
    detections: int
    ccds: tuple[int, ...]
    airmass: float = float("nan")
