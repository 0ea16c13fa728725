"""The facts of visits as an open table: field, date, airmass and place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.table import Table

from scrframe.errors import DataError
from scrframe.products import columns
from scrframe.products.columns import ecsv_table
from scrframe.products.files import write_ecsv
from scrframe.tables import unit_vectors
from scrframe.tables.derived import season_of

VISITS = "visits.ecsv"
Facts = dict[str, npt.NDArray[Any]]
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


def read_visits(folder: Path, visits: Sequence[str]) -> Facts | None:
    """Read back field, mjd, season, airmass, ra_deg and dec_deg; None if there is no table.

    Parameters
    ----------
    folder : Path
        The ``solution`` of a run.
    visits : sequence of str, length v
        Keys; the arrays come in their order, shape (v,).

    Raises
    ------
    DataError
        If the table is damaged.
    """
    path = folder / VISITS
    if not path.exists():
        return None
    try:
        table = Table.read(path, format="ascii.ecsv")
        keys = {str(key): row for row, key in enumerate(table["visit"])}
        rows = np.array([keys[visit] for visit in visits], dtype=np.int64)
        plain = {name: np.array(table[name], float)[rows] for name in ("mjd", "airmass")}
        place = {f"{name}_deg": np.array(table[name], float)[rows] for name in ("ra", "dec")}
        field = np.ma.filled(table["field"].astype(str), "")[rows]
    except (KeyError, ValueError, OSError) as error:
        raise DataError(f"{path}: is damaged: {error}") from None
    return {"field": np.asarray(field), **plain, **place, "season": seasons(plain["mjd"])}


def visits_of_stars(stars: Mapping[str, npt.NDArray[Any]], visits: int) -> Facts:
    """Return what the detections tell of their visits: no field and no airmass.

    Parameters
    ----------
    stars : mapping of str to ndarray, shape (n,)
        ``visit_code``, ``mjd``, ``ra_deg`` and ``dec_deg``.
    visits : int
        Their number; one without detections gets NaN.
    """
    code = stars["visit_code"]
    count = np.bincount(code, minlength=visits)
    vectors = unit_vectors(stars["ra_deg"], stars["dec_deg"])
    with np.errstate(invalid="ignore"):
        mjd = np.bincount(code, stars["mjd"], minlength=visits) / count
        x, y, z = (np.bincount(code, axis, minlength=visits) / count for axis in vectors.T)
    return {
        "field": np.full(visits, "", dtype=np.str_),
        "mjd": mjd,
        "season": seasons(mjd),
        "airmass": np.full(visits, np.nan),
        "ra_deg": np.rad2deg(np.arctan2(y, x)) % 360,
        "dec_deg": np.rad2deg(np.arctan2(z, np.hypot(x, y))),
    }


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
