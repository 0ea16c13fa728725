"""An offset for every exposure of every known visit: CCD, visit, field, season, survey.

Below the CCD the same rule holds by itself: a map's bin without stars has the mean of its
prior, zero, so that the bin's detections take the offset of their CCD.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray, IntArray
from scrframe.errors import CalibrationError
from scrframe.offsets.visit_prediction import KnownVisits, predict_from_kin
from scrframe.tables.solution import ExposureTable


@dataclass(frozen=True)
class SolvedExposures:
    """Exposures with an offset of their own, x rows.

    Attributes
    ----------
    visit : ndarray of int64, shape (x,)
        Row of its visit among the known visits.
    ccd : ndarray of int64, shape (x,)
        Number of its detector.
    offset_mag, err_mag : ndarray, shape (x,)
        Total offset of the exposure and its error, in mag.
    count : ndarray of int64, shape (x,)
        Number of detections used; an exposure with none is not taken for solved.
    """

    visit: IntArray
    ccd: IntArray
    offset_mag: FloatArray
    err_mag: FloatArray
    count: IntArray


@dataclass(frozen=True)
class CcdParts:
    """What a CCD is expected to add to its visit's offset, for v known visits on c CCDs.

    Attributes
    ----------
    ccd : ndarray of int64, shape (c,)
        Numbers of the known detectors.
    offset_mag, err_mag : ndarray, shape (v, c)
        Static part and drift, predicted for the visit, and the error of that prediction
        without the jitter, in mag.
    jitter_sd_mag : float
        Standard deviation of what a CCD differs from this in one visit, in mag.
    """

    ccd: IntArray
    offset_mag: FloatArray
    err_mag: FloatArray
    jitter_sd_mag: float


def complete_exposures(
    known: KnownVisits,
    visit_mag: FloatArray,
    visit_err_mag: FloatArray,
    exposures: SolvedExposures,
    ccds: CcdParts,
    visit_sd_mag: float,
) -> ExposureTable:
    """Return an offset for every known visit and CCD, from the nearest level that has one.

    - "ccd": the exposure has calibration stars, and its own offset.
    - "visit": the visit has, on other CCDs: its offset and the CCD's part; the error holds
      the jitter.
    - "field", "season", "survey": the visit has none: what its kin say (`predict_from_kin`)
      and the CCD's part; the error holds the spread of the visits too.

    Parameters
    ----------
    known : KnownVisits
        v visits.
    visit_mag, visit_err_mag : ndarray, shape (v,)
        Solved visit offsets, without any CCD's part, and errors, in mag; NaN for none.
    exposures : SolvedExposures
    ccds : CcdParts
    visit_sd_mag : float
        Standard deviation of the visit term, for surveys of too few visits to have a spread.

    Returns
    -------
    ExposureTable
        v * c rows, by visit in the order of `known`, then by CCD.

    Raises
    ------
    CalibrationError
        If no visit is solved, or an exposure is of no known visit or CCD.
    """
    kin = predict_from_kin(known, visit_mag, visit_err_mag, visit_sd_mag)
    own = np.isfinite(visit_mag)
    offset = np.where(own, visit_mag, kin.offset_mag)[:, None] + ccds.offset_mag
    error = np.where(own, visit_err_mag, kin.err_mag)[:, None]
    error = np.sqrt(error**2 + ccds.err_mag**2 + ccds.jitter_sd_mag**2).ravel()
    shape = len(known.name), len(ccds.ccd)
    level = np.repeat(np.where(own, "visit", kin.level), shape[1])
    offset, count = offset.ravel(), np.zeros(offset.size, dtype=np.int64)
    row, used = _rows(shape, exposures, ccds.ccd)
    offset[row], error[row] = exposures.offset_mag[used], exposures.err_mag[used]
    level[row], count[row] = "ccd", exposures.count[used]
    return ExposureTable(
        visit=np.repeat(np.array(known.name, dtype=np.str_), shape[1]),
        ccd=np.tile(ccds.ccd, shape[0]),
        offset_mag=offset,
        err_mag=error,
        sys_mag=np.full(offset.size, np.nan),
        level=level,
        count=count,
    )


def _rows(
    shape: tuple[int, int], exposures: SolvedExposures, ccd: IntArray
) -> tuple[IntArray, npt.NDArray[np.intp]]:
    """Return the table's rows of exposures with an offset of their own, and which these are."""
    order = np.argsort(ccd)
    place = order[np.minimum(np.searchsorted(ccd, exposures.ccd, sorter=order), len(ccd) - 1)]
    strange = (ccd[place] != exposures.ccd) | (exposures.visit < 0) | (exposures.visit >= shape[0])
    if strange.any():
        row = int(np.argmax(strange))
        raise CalibrationError(
            f"solved exposure {row} (visit number {exposures.visit[row]}, ccd"
            f" {exposures.ccd[row]}) belongs to no known visit and CCD; read its file as well"
        )
    used = np.flatnonzero((exposures.count > 0) & np.isfinite(exposures.offset_mag))
    return exposures.visit[used] * shape[1] + place[used], used
