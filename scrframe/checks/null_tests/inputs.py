"""What null tests look at: detections, visits and limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.checks.verdict import Limit
from scrframe.statistics.covariance import Covariance

#: What residuals are tested against: key, words, unit.
STAR_QUANTITIES = (
    ("magnitude", "the reference magnitude", "mag"),
    ("colour", "intrinsic colour", "mag"),
    ("extinction", "extinction E", "mag"),
    ("distance", "distance to the training stars", ""),
)
#: What visit offsets are tested against.
VISIT_QUANTITIES = (
    ("extinction", "mean extinction E of the field", "mag"),
    ("colour", "mean colour of the field", "mag"),
    ("metallicity", "mean [Fe/H] of the field", "dex"),
    ("latitude", "Galactic latitude", "deg"),
    ("longitude", "Galactic longitude", "deg"),
    ("airmass", "airmass", ""),
    ("time", "time", "d"),
    ("control", "share of control stars", ""),
)


@dataclass(frozen=True)
class StarSample:
    """The detections that null tests look at, n rows."""

    #: Model less calibrated magnitude, and the calibrated magnitude. Shape (n,).
    residual_mag: FloatArray
    mag: FloatArray
    #: See `scrframe.checks.null_tests.pairs.Calibrated`; None where the run states no errors.
    #: Shape (n,), or None.
    photometric_err: FloatArray | None
    exposure_err: FloatArray | None
    #: Right ascension and declination in deg. Shape (n,).
    position: tuple[FloatArray, FloatArray]
    #: Identifier of the star, number of the CCD, numbers from 0 of visit, of field, and of fields
    #: that lie together: what a model has wrong is alike within degrees. Shape (n,).
    source: IntArray
    ccd: IntArray
    visit: IntArray
    field: IntArray
    region: IntArray
    #: Detections whose residuals are honest: fitted neither by model nor offsets. Shape (n,).
    judges: BoolArray
    #: Detections that took part in the solve. Shape (n,).
    solved: BoolArray
    #: By the keys of `STAR_QUANTITIES`; what is not known is missing. Arrays of shape (n,).
    quantities: Mapping[str, FloatArray]
    #: Residuals without what random nuisance terms put down to the model. Shape (n,).
    left_mag: FloatArray
    #: Colour as the model has it, reddened. Shape (n,).
    apparent_colour: FloatArray
    #: Place on the CCD, 0 to 1 along both axes. Shape (n,).
    detector_place: tuple[FloatArray, FloatArray]
    #: Offset of the CCD in the visit, if the run has such a level. Shape (n,), or None.
    ccd_offset_mag: FloatArray | None = None
    #: Whether the judges are reserved stars; else they are only outside the control region.
    reserved: bool = True


@dataclass(frozen=True)
class VisitSample:
    """The visits, v rows."""

    #: Shape (v,).
    offset_mag: FloatArray
    #: In mag squared. Shape (v, v).
    covariance: Covariance
    #: Numbers from 0. Shape (v,).
    field: IntArray
    region: IntArray
    night: IntArray
    #: Modified Julian date, and how far the year has gone, 0 to 1, from the observing season's
    #: beginning; instruments change with both. Shape (v,).
    date: FloatArray
    phase: FloatArray
    #: Of the observing, -1 where not known. Shape (v,).
    season: IntArray
    #: By the keys of `VISIT_QUANTITIES` and of quantities of overlaps; what is not known is
    #: missing. Arrays of shape (v,).
    quantities: Mapping[str, FloatArray]


@dataclass(frozen=True)
class NullTestLimits:
    """The limits of all tests."""

    #: Of residuals, in mag: curve, spread of CCDs, difference of kinds of stars.
    trend: Limit
    ccd: Limit
    kinds: Limit
    #: In mag: what residuals share on the sky or over the focal plane, and on the detectors;
    #: the former also of the model against overlaps.
    structure: Limit
    detector: Limit
    #: Range of a trend of visit offsets, in mag.
    visit: Limit
    #: Departure of the repeats' standard deviation from 1.
    pull: Limit
    #: Root mean square difference beyond the errors, in mag.
    repeats: Limit
    overlap: Limit
    #: Step of a CCD's offset in time, in mag.
    step: Limit
    #: Distance of a CCD from its usual place over that to the next CCD.
    place: Limit
    #: Slope of residuals on the reference magnitude that clean data have, in mag per mag.
    magnitude_slope: float = 0.0
