"""Visits as they were read: parts of one put together, and what cannot be one survey refused."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from scrframe.errors import DataError
from scrframe.products.solution import VisitSeen
from scrframe.statistics.sky import chord
from scrframe.tables import Detections, unit_vectors

#: The parts of one exposure differ in date by less, and lie within what any camera sees.
VISIT_DAYS, CAMERA_DEG = 1.0, 15.0
#: One exposure has one time, and its stars one place on the sky and on a detector.
_SAME_SECONDS, _SAME_ARCSEC, _SAME_PIXELS = 1.0, 1.0, 2.0
#: Share of the fewer detections that two visits of one exposure have in common.
_SHARED = 0.2


def visits_of(detections: Detections) -> list[VisitSeen]:
    """Describe the visits in a table of detections."""
    codes, labels = detections.codes("visit")
    vectors = unit_vectors(detections["ra"], detections["dec"])
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(labels) + 1))
    seen = []
    for code in np.flatnonzero(np.diff(bounds)):
        rows = order[bounds[code] : bounds[code + 1]]
        placed = rows[np.isfinite(vectors[rows]).all(axis=1)]
        if not len(placed):
            raise DataError(f"visit {labels[code]} has no detection with a position")
        centre = vectors[placed].mean(axis=0)
        centre /= np.linalg.norm(centre)
        reach = np.arccos(np.clip((vectors[placed] @ centre).min(), -1, 1))
        first = rows[0]
        if np.rad2deg(reach) > CAMERA_DEG:
            raise DataError(
                f"visit {labels[code]} has detections {np.rad2deg(reach):.0f} deg from its middle"
                f" in {detections['file'][first]}: the key of a visit must name a single exposure,"
                " and every row a place on the sky"
            )
        fields = np.unique(detections["field"][rows].astype(str)) if "field" in detections else [""]
        if len(fields) > 1:
            raise DataError(
                f"visit {labels[code]} is in the fields {fields[0]} and {fields[1]}; a visit is a"
                " single exposure, of one field"
            )
        if not np.isfinite(detections["mjd"][first]):
            raise DataError(f"visit {labels[code]} has no date (mjd)")
        seen.append(
            VisitSeen(
                key=labels[code],
                file=str(detections["file"][first]),
                field=str(fields[0]),
                mjd=float(detections["mjd"][first]),
                ra_deg=float(np.rad2deg(np.arctan2(centre[1], centre[0])) % 360),
                dec_deg=float(np.rad2deg(np.arcsin(centre[2]))),
                radius_deg=float(np.rad2deg(reach)),
                detections=len(rows),
                ccds=tuple(np.unique(detections["ccd"][rows]).tolist()),
                airmass=_mean(detections["airmass"][rows]) if "airmass" in detections else np.nan,
            )
        )
    return seen


def merge_visits(visits: Iterable[VisitSeen]) -> list[VisitSeen]:
    """Return each visit once, in the order of their first parts.

    What a visit has one of is its first part's; its disc holds those of all parts.

    Raises DataError if parts differ in the date or field of a visit, or lie further apart than
    any camera sees.
    """
    found: dict[str, list[VisitSeen]] = {}
    for visit in visits:
        found.setdefault(visit.key, []).append(visit)
    return [pieces[0] if len(pieces) == 1 else _merged(pieces) for pieces in found.values()]


def _merged(pieces: Sequence[VisitSeen]) -> VisitSeen:
    first = pieces[0]
    for piece in pieces[1:]:
        if abs(piece.mjd - first.mjd) > VISIT_DAYS:
            differs = f"has the date {first.mjd:.5f} in {first.file} and {piece.mjd:.5f} in"
        elif piece.field != first.field:
            differs = f"is in the field '{first.field}' in {first.file} and '{piece.field}' in"
        elif _apart_deg(piece, first) > CAMERA_DEG:
            differs = f"is {_apart_deg(piece, first):.0f} deg from where it is in {first.file} in"
        else:
            continue
        raise DataError(
            f"visit {first.key} {differs} {piece.file}: the key of a visit must name a single"
            " exposure"
        )
    count = np.array([piece.detections for piece in pieces], dtype=np.float64)
    vectors = unit_vectors(
        np.array([piece.ra_deg for piece in pieces]), np.array([piece.dec_deg for piece in pieces])
    )
    centre = count @ vectors
    centre /= np.linalg.norm(centre)
    apart = np.rad2deg(np.arccos(np.clip(vectors @ centre, -1, 1)))
    airmass = np.array([piece.airmass for piece in pieces])
    known = np.isfinite(airmass)
    return replace(
        pieces[0],
        ra_deg=float(np.rad2deg(np.arctan2(centre[1], centre[0])) % 360),
        dec_deg=float(np.rad2deg(np.arcsin(centre[2]))),
        radius_deg=float(np.max(apart + [piece.radius_deg for piece in pieces])),
        detections=int(count.sum()),
        ccds=tuple(sorted({ccd for piece in pieces for ccd in piece.ccds})),
        airmass=float(np.average(airmass[known], weights=count[known]))
        if known.any()
        else float("nan"),
    )


def _apart_deg(one: VisitSeen, other: VisitSeen) -> float:
    ends = unit_vectors(
        np.array([one.ra_deg, other.ra_deg]), np.array([one.dec_deg, other.dec_deg])
    )
    return float(np.rad2deg(np.arccos(np.clip(ends[0] @ ends[1], -1, 1))))


def _mean(values: np.ndarray[Any, Any]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def bands_of(detections: Detections) -> list[str]:
    """Return the bands that detections name, sorted."""
    codes, labels = detections.codes("band")
    return sorted({labels[code].strip() for code in np.unique(codes)} - {""})


def refuse_mixed_bands(bands: Mapping[str, Sequence[str]]) -> None:
    """Refuse detections of several bands; `bands` are those of each part."""
    found = {band: key for key, several in bands.items() for band in several}
    if len(found) > 1:
        one, other = sorted(found)[:2]
        raise DataError(
            f"there are detections of the bands {', '.join(sorted(found))} ({one} in {found[one]},"
            f" {other} in {found[other]}); keep one of them by a cut of the loader, such as"
            " rows: [\"filter == 'u'\"]"
        )


def refuse_doubles(found: Sequence[VisitSeen], of_visit: Callable[[str], Detections]) -> None:
    """Refuse one exposure under two keys.

    It has the same stars at one time at the same pixels, or the same rows at any time.
    `of_visit` returns detections of a visit by its key.
    """
    visits = sorted(found, key=lambda visit: visit.mjd)
    mjd, ra, dec, radius = (
        np.array([getattr(visit, name) for visit in visits])
        for name in ("mjd", "ra_deg", "dec_deg", "radius_deg")
    )
    last = np.searchsorted(mjd, mjd + _SAME_SECONDS / 86400, side="right")
    for number, visit in enumerate(visits):
        at = slice(number + 1, last[number])
        apart = np.cos(np.deg2rad(np.minimum(radius[at] + visit.radius_deg, 180)))
        near = unit_vectors(ra[at], dec[at]) @ unit_vectors(ra[[number]], dec[[number]])[0] > apart
        for other in np.flatnonzero(near):
            keys = visit.key, visits[number + 1 + other].key
            _refuse_double(keys, [of_visit(key) for key in keys], _SAME_PIXELS)
    same: dict[tuple[int, float, float], VisitSeen] = {}
    for visit in visits:  # whatever its date, a copy has the same rows
        rows = visit.detections, round(visit.ra_deg, 9), round(visit.dec_deg, 9)
        twin = same.setdefault(rows, visit)
        if twin is not visit:
            _refuse_double((twin.key, visit.key), [of_visit(twin.key), of_visit(visit.key)], 0.0)


def _refuse_double(keys: tuple[str, str], found: Sequence[Detections], pixels: float) -> None:
    sky = [unit_vectors(table["ra"], table["dec"]) for table in found]
    fewer, more = np.argsort([len(each) for each in sky])
    if not len(sky[fewer]):
        return
    limit = chord(_SAME_ARCSEC / 3600)
    distance, row = cKDTree(sky[more]).query(sky[fewer], distance_upper_bound=limit)
    row = np.where(np.isfinite(distance), row, 0)
    same = np.isfinite(distance)
    for name, slack in (("ccd", 0.0), ("x", pixels), ("y", pixels), *[("mag", 0.0)] * (not pixels)):
        same &= abs(found[fewer][name] - found[more][name][row]) <= slack
    if same.mean() > _SHARED:
        files = [str(table["file"][0]) for table in found]
        raise DataError(
            f"visits {keys[0]} ({files[0]}) and {keys[1]} ({files[1]}) are one exposure under two"
            " keys: the same stars at the same pixels; remove one of them"
        )


def refuse_twins(parts: Mapping[str, Sequence[VisitSeen]]) -> None:
    """Refuse a visit that two parts hold, by their keys."""
    owner: dict[str, str] = {}
    for key, visits in parts.items():
        for visit in visits:
            other = owner.setdefault(visit.key, key)
            if other != key:
                raise DataError(
                    f"visit {visit.key} is in two catalogues, {other} and {key}; remove one of them"
                )
