"""Field by field, what repeats, dithers and overlaps allow to tell apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from scrframe.arrays import FloatArray, IntArray
from scrframe.errors import number_of
from scrframe.statistics.sky import unit_vectors

#: Stars in common that tie two fields to each other.
LEAST_SHARED = 10
#: Shifts between visits that tell the places on a detector from the stars that lie there, in deg.
DITHER_DEG = 0.01


@dataclass(frozen=True)
class FieldTies:
    """What ties the visits of a field to each other and to other fields.

    Attributes
    ----------
    field : str
    visits : int
    repeated_stars : int
        Stars that two of its visits have, or more.
    dither_deg : float
        Largest distance of a visit's middle from that of all.
    overlapping_fields : int
        Other fields with at least `LEAST_SHARED` stars of it.
    shared_stars : int
        Its stars that any other field has.
    group : int
        Fields that overlaps tie together share a number, the largest group having 0.
    message : str
        What follows, in words.
    """

    field: str
    visits: int
    repeated_stars: int
    dither_deg: float
    overlapping_fields: int
    shared_stars: int
    group: int
    message: str


def field_ties(
    star: IntArray,
    visit: IntArray,
    field_of_visit: npt.NDArray[np.str_],
    ra_deg: FloatArray,
    dec_deg: FloatArray,
) -> tuple[FieldTies, ...]:
    """Return what ties each field, in the order of their names.

    Parameters
    ----------
    star, visit : ndarray of int64, shape (n,)
        Of each detection that takes part, from 0.
    field_of_visit : ndarray of str, shape (v,)
        A visit without one is a field of its own.
    ra_deg, dec_deg : ndarray, shape (n,)
        Positions.
    """
    names, of_visit = np.unique(field_of_visit, return_inverse=True)
    fields, stars = len(names), int(star.max(initial=-1)) + 1
    pairs = np.unique(np.stack([star, visit]), axis=1)
    visits_of = sparse.csr_array(
        (np.ones(pairs.shape[1]), (pairs[0], of_visit[pairs[1]])), shape=(stars, fields)
    )
    seen = visits_of.copy()
    seen.data[:] = 1.0
    several = np.asarray(seen.sum(axis=1)).ravel() > 1
    repeated = np.bincount(visits_of.indices[visits_of.data > 1], minlength=fields)
    shared = np.asarray(seen.T @ several.astype(np.float64))
    common = sparse.csr_array(seen.T @ seen)
    common.setdiag(0)
    common.data[common.data < LEAST_SHARED] = 0
    common.eliminate_zeros()
    overlapping = np.diff(common.indptr)
    group = _by_size(connected_components(common, directed=False)[1])
    dither = _dithers(visit, of_visit, ra_deg, dec_deg)
    visits = np.bincount(of_visit, minlength=fields)
    return tuple(
        FieldTies(
            str(names[k]),
            int(visits[k]),
            int(repeated[k]),
            round(float(dither[k]), 4),
            int(overlapping[k]),
            int(shared[k]),
            int(group[k]),
            _said(int(visits[k]), int(repeated[k]), float(dither[k]), int(overlapping[k])),
        )
        for k in range(fields)
    )


def _by_size(label: npt.NDArray[np.integer]) -> IntArray:
    """Return the numbers of groups, counted from the largest on."""
    count = np.bincount(label)
    place = np.empty(len(count), dtype=np.int64)
    place[np.argsort(-count, kind="stable")] = np.arange(len(count))
    return np.asarray(place[label])


def _dithers(
    visit: IntArray, of_visit: npt.NDArray[np.integer], ra_deg: FloatArray, dec_deg: FloatArray
) -> FloatArray:
    """Return the largest distance of a visit's middle from that of its field, in deg."""
    place = unit_vectors(ra_deg, dec_deg)
    visits, fields = len(of_visit), int(of_visit.max(initial=-1)) + 1
    count = np.maximum(np.bincount(visit, minlength=visits), 1)
    middle = np.stack([np.bincount(visit, axis, visits) / count for axis in place.T], axis=1)
    there = np.bincount(visit, minlength=visits) > 0
    number = np.maximum(np.bincount(of_visit[there], minlength=fields), 1)
    whole = np.stack(
        [np.bincount(of_visit[there], axis[there], fields) / number for axis in middle.T], axis=1
    )
    away = np.where(there, np.linalg.norm(middle - whole[of_visit], axis=1), 0.0)
    largest = np.zeros(fields)
    np.maximum.at(largest, of_visit, away)
    return np.rad2deg(largest)


def _said(visits: int, repeated: int, dither_deg: float, overlapping: int) -> str:
    """Return what a field's ties allow, in words."""
    parts = []
    if visits < 2:
        parts.append("one visit: its zero point rests on the model and on overlaps alone")
    elif repeated < LEAST_SHARED:
        parts.append("its visits share hardly a star")
    elif dither_deg < DITHER_DEG:
        parts.append("repeats tie its visits; without dithers they do not tell CCDs from the sky")
    else:
        parts.append("repeats and dithers tie its visits, and tell CCDs from the sky")
    if overlapping:
        parts.append(f"{number_of(overlapping, 'overlapping field')} tie it to the others")
    else:
        parts.append("no field overlaps: what the model has wrong here is in its zero point")
    return "; ".join(parts)
