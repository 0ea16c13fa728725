"""Anomalies in words: what, where, how large, how significant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray
from scrframe.checks.anomalies.columns import BadPlace
from scrframe.checks.anomalies.jumps import Change
from scrframe.checks.anomalies.outliers import Deviant
from scrframe.checks.anomalies.swaps import Swap
from scrframe.checks.verdict import Anomaly

IntArray = npt.NDArray[Any]
#: Days of a year, for drifts.
YEAR = 365.25
#: Smaller differences of a place are not put into words: mag, and a share of its stars.
WORTH_MAG, WORTH_SHARE = 0.001, 0.1


def bad_place(place: BadPlace, ccds: IntArray) -> Anomaly:
    """Return a bad column, row or region as an anomaly; CCDs by their numbers `ccds`."""
    ccd = int(ccds[place.ccd])
    low, high = round(place.x[0] + 0.5), round(place.x[1] - 0.5)
    bottom, top = round(place.y[0] + 0.5), round(place.y[1] - 0.5)
    name = {"column": "columns", "row": "rows", "region": "the region at columns"}[place.shape]
    first = f"{bottom}-{top}" if place.shape == "row" else f"{low}-{high}"
    second = f"columns {low}-{high}" if place.shape == "row" else f"rows {bottom}-{top}"
    says = _differences(place)
    size = {"offset": place.offset_mag, "scatter": place.scatter_mag, "stars": np.nan}
    return Anomaly(
        kind=f"bad_{place.shape}",
        where={
            "ccd": ccd,
            "x1_pix": low,
            "x2_pix": high,
            "y1_pix": bottom,
            "y2_pix": top,
            "measure": place.measure,
            "detections": place.count,
        },
        size_mag=float(size[place.measure]),
        significance=place.significance,
        text=f"CCD {ccd}, {name} {first} ({second}): {says}, {_sigma(place.significance)}.",
    )


def _differences(place: BadPlace) -> str:
    says = []
    missing = 1 - place.count / place.expected if place.expected > 0 else 0.0
    if place.measure == "stars" or missing > WORTH_SHARE:
        says.append(f"{place.count} detections where {place.expected:.0f} are expected")
    if abs(place.offset_mag) > WORTH_MAG and place.measure != "stars":
        # the residual is model less observed: positive where the magnitudes are too bright
        side = "bright" if place.offset_mag > 0 else "faint"
        says.append(f"magnitudes {_mmag(place.offset_mag)} too {side}")
    if place.scatter_mag > WORTH_MAG:
        says.append(f"{_mmag(place.scatter_mag)} more scatter")
    return ", ".join(says) or "residuals unlike the rest of the detector"


def change(entry: Change, dates: FloatArray, ccd: int) -> Anomaly:
    """Return a jump or drift of a detector as an anomaly; `dates` are those of the series."""
    return _change(entry, dates, f"the offset of CCD {ccd}", {"ccd": ccd}, "")


def visit_change(entry: Change, dates: FloatArray) -> Anomaly:
    """Return a jump or drift of the visits' zero point as an anomaly."""
    return _change(entry, dates, "the zero point of the visits", {}, "zero_point_")


def _change(
    entry: Change, dates: FloatArray, what: str, where: dict[str, Any], prefix: str
) -> Anomaly:
    first, last = float(dates[entry.before]), float(dates[entry.after])
    size = f"{entry.size_mag * 1000:+.1f} +- {entry.error_mag * 1000:.1f} mmag"
    if entry.kind == "jump":
        says = f"jumps by {size} between MJD {first:.2f} and {last:.2f}"
    else:
        rate = entry.size_mag / max(last - first, 1e-9) * YEAR * 1000
        says = f"drifts by {size} from MJD {first:.0f} to {last:.0f} ({rate:+.2f} mmag a year)"
    return Anomaly(
        kind=f"{prefix}{entry.kind}",
        where={**where, "mjd1": first, "mjd2": last},
        size_mag=entry.size_mag,
        significance=entry.significance,
        text=f"{what[0].upper()}{what[1:]} {says}, {_sigma(entry.significance)}.",
    )


def deviant(entry: Deviant, visits: Sequence[str], mjd: FloatArray, ccds: IntArray) -> Anomaly:
    """Return a visit or exposure far from its kin as an anomaly."""
    kin = {
        "season": "the visits of its season",
        "survey": "all visits",
        "field": "the other visits of its field",
        "neighbours": "the visits before and after",
    }[entry.kin]
    where: dict[str, Any] = {"visit": visits[entry.visit], "mjd": float(mjd[entry.visit])}
    what = f"visit {visits[entry.visit]}"
    if entry.ccd >= 0:
        where["ccd"] = int(ccds[entry.ccd])
        what = f"CCD {where['ccd']} in {what}"
    where["kin"] = entry.kin
    return Anomaly(
        kind="deviating_visit" if entry.ccd < 0 else "deviating_ccd",
        where=where,
        size_mag=entry.size_mag,
        significance=entry.significance,
        text=f"The offset of {what} is {entry.size_mag * 1000:+.1f} mmag from that of {kin}, "
        f"{_sigma(entry.significance)}.",
    )


def several_swaps(
    swaps: Sequence[Swap], visits: Sequence[str], mjd: FloatArray, ccds: IntArray
) -> Anomaly:
    """Return one pair of detectors that looks exchanged in some visits as an anomaly."""
    best = max(swaps, key=lambda one: one.significance)
    first, second = int(ccds[best.first]), int(ccds[best.second])
    dates = [float(mjd[one.visit]) for one in swaps]
    place = f"visit {visits[best.visit]}"
    if len(swaps) > 1:
        place = f"{len(swaps)} visits from MJD {min(dates):.2f} to {max(dates):.2f}, as {place}"
    return Anomaly(
        kind="swapped_ccds",
        where={
            "ccd": first,
            "other_ccd": second,
            "visit": visits[best.visit],
            "visits": len(swaps),
            "mjd1": min(dates),
            "mjd2": max(dates),
        },
        size_mag=best.size_mag,
        significance=best.significance,
        text=f"CCDs {first} and {second} look exchanged in {place}: each fits the other's "
        f"pattern, which differs by {_mmag(best.size_mag)}, {_sigma(best.significance)}.",
    )


def variable(
    rank: int,
    stars: int,
    source_id: int,
    sky: tuple[float, float],
    detections: int,
    amplitude: float,
    significance: float,
) -> Anomaly:
    """Return a star that varies as an anomaly, the `rank`-th of so many `stars`."""
    return Anomaly(
        kind="variable_star",
        where={
            "source_id": source_id,
            "ra_deg": sky[0],
            "dec_deg": sky[1],
            "detections": detections,
        },
        size_mag=amplitude,
        significance=significance,
        text=f"Star {source_id} varies by {_mmag(amplitude)} (rms) over {detections} detections, "
        f"{_sigma(significance)}; number {rank} of {stars} such stars.",
    )


def _mmag(value: float) -> str:
    return f"{abs(value) * 1000:.1f} mmag"


def _sigma(value: float) -> str:
    return f"{min(value, 99.0):.1f} sigma"
