"""One mean magnitude a star, from its calibrated detections, and whether it varies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import chdtrc

from scrframe.arrays import BoolArray, FloatArray, IntArray

#: Probability of chi2 below which a star counts as variable.
VARIABLE_LIMIT = 1e-4


@dataclass(frozen=True)
class StarDetections:
    """Calibrated detections of stars; magnitudes and errors in mag, all of shape (n,)."""

    #: Codes from 0. One detector in one visit is an exposure.
    star: IntArray
    visit: IntArray
    ccd: IntArray
    #: Calibrated magnitude.
    mag: FloatArray
    #: Photometric error, independent from detection to detection.
    photometric_err: FloatArray
    #: Error of the correction, common to a star's detections in one exposure and independent
    #: between exposures. NaN where it is not known.
    offset_err: FloatArray
    #: Error of the calibrated magnitude, by which chi2 judges.
    total_err: FloatArray
    #: Systematic error, common to all detections. NaN where it is not known.
    systematic_err: FloatArray
    #: Robust weight, from 0 to 1: a detection counts as if its photometric variance were larger by
    #: its inverse.
    weight: FloatArray

    def usable(self) -> BoolArray:
        """Return which detections have a magnitude and positive errors, shape (n,)."""
        fine = np.isfinite(self.mag)
        for error in (self.photometric_err, self.total_err):
            fine &= np.isfinite(error) & (error > 0)
        return fine

    def take(self, index: IntArray) -> StarDetections:
        """Return the detections of the given indices."""
        return StarDetections(*(getattr(self, name)[index] for name in self.__match_args__))


@dataclass(frozen=True)
class StarMeans:
    """Means by star, all of shape (s,); NaN and 0 where a star has no usable detection."""

    #: Weighted mean of the calibrated magnitudes, mag.
    mag: FloatArray
    #: Its errors, mag: from photometry, from the corrections, and systematic. NaN where those of
    #: the detections are not known.
    photometric_err: FloatArray
    offset_err: FloatArray
    systematic_err: FloatArray
    #: Usable detections, and the visits that they are in.
    count: IntArray
    visits: IntArray
    #: About the mean, without robust weights; NaN for fewer than two detections.
    chi2: FloatArray
    #: Its degrees of freedom, ``count - 1``; 0 where there are none.
    dof: IntArray
    #: Probability of a larger chi2 for a constant star.
    probability: FloatArray
    #: chi2 is improbable, and not by one detection of several alone.
    variable: BoolArray
    #: chi2 is improbable, but not without the detection that deviates most.
    one_outlier: BoolArray


def star_means(seen: StarDetections, stars: int, limit: float = VARIABLE_LIMIT) -> StarMeans:
    """Return each star's mean magnitude, its errors, and whether it varies.

    The mean has weights ``weight / photometric_err**2``. A star whose detections all have a
    weight of 0 (it was left out of a solve as a whole) gets weights of 1. Chi2 is taken
    about the mean of weights ``total_err**-2``, so that for constant stars it follows the
    chi2 distribution; robust weights do not enter it, for they would hide what varies. It
    needs two visits to call a star variable. Of three detections and more one may be wrong:
    such a star is told apart. Of two it cannot be said which is wrong, and whether.

    Parameters
    ----------
    seen : StarDetections
        In any order.
    stars : int
        Number of stars, s.
    limit : float
        Probability of chi2 below which a star is called variable.
    """
    fine = seen.usable()
    if not fine.all():
        seen = seen.take(np.flatnonzero(fine))
    count = np.bincount(seen.star, minlength=stars)
    none = np.bincount(seen.star, seen.weight, stars) <= 0
    robust = np.where(none[seen.star], 1.0, seen.weight)
    weight = np.asarray(robust / seen.photometric_err**2)
    total = np.bincount(seen.star, weight, stars)
    share = weight / total[seen.star]
    known = count > 0
    visits, offset_err = _by_exposure(seen, share, stars)
    chi2, largest = _chi2(seen, stars)
    probability = _where(count > 1, chdtrc(np.maximum(count - 1, 1), chi2))
    suspect = (visits > 1) & (probability < limit)
    rest = chdtrc(np.maximum(count - 2, 1), np.maximum(chi2 - largest, 0.0))
    one_outlier = suspect & (count > 2) & (rest >= limit)
    variable = suspect & ~one_outlier
    return StarMeans(
        mag=_where(known, np.bincount(seen.star, share * seen.mag, stars)),
        photometric_err=_where(known, np.maximum(total, np.finfo(float).tiny) ** -0.5),
        offset_err=_where(known, offset_err),
        systematic_err=_where(known, np.bincount(seen.star, share * seen.systematic_err, stars)),
        count=count,
        visits=visits,
        chi2=_where(count > 1, chi2),
        dof=np.maximum(count - 1, 0),
        probability=probability,
        variable=variable,
        one_outlier=one_outlier,
    )


def _by_exposure(
    seen: StarDetections, share: FloatArray, stars: int
) -> tuple[IntArray, FloatArray]:
    """Return each star's number of visits, and the corrections' part of its mean's error.

    Errors of corrections add linearly within an exposure, in squares between exposures.
    """
    visits, ccds = (int(codes.max(initial=0)) + 1 for codes in (seen.visit, seen.ccd))
    key = (seen.star * visits + seen.visit) * ccds + seen.ccd
    order = np.argsort(key, kind="stable")
    key, part = key[order], (share * seen.offset_err)[order]
    new = np.ones(len(key), dtype=bool)
    new[1:] = key[1:] != key[:-1]
    exposure = key[new]
    sums = np.bincount(np.cumsum(new) - 1, part)
    error = np.sqrt(np.bincount(exposure // (visits * ccds), sums**2, stars))
    in_visit = exposure // ccds
    new_visit = np.ones(len(in_visit), dtype=bool)
    new_visit[1:] = in_visit[1:] != in_visit[:-1]
    return np.bincount(in_visit[new_visit] // visits, minlength=stars), error


def _chi2(seen: StarDetections, stars: int) -> tuple[FloatArray, FloatArray]:
    """Return chi2 by star, and by how much it falls without its most deviant detection."""
    weight = seen.total_err**-2.0
    total = np.bincount(seen.star, weight, stars)
    share = weight / total[seen.star]
    mean = np.bincount(seen.star, share * seen.mag, stars)
    part = weight * (seen.mag - mean[seen.star]) ** 2
    # Without detection d the mean moves too, and chi2 falls by its part over 1 - share.
    alone = share >= 1
    fall = np.where(alone, 0.0, part / np.where(alone, 1.0, 1.0 - share))
    largest = np.zeros(stars)
    np.maximum.at(largest, seen.star, fall)
    return np.asarray(np.bincount(seen.star, part, stars)), largest


def _where(known: BoolArray, values: npt.ArrayLike) -> FloatArray:
    return np.where(known, values, np.nan)
