"""Who takes part in a joint solve: cuts on what was observed would bias mean differences.

A cut on the observed magnitude keeps, near its limit, the detections whose noise made them
pass. The sample therefore reaches a margin beyond the limits of all cuts on magnitudes, and
the solve keeps what is predicted to lie a margin inside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scrframe.arrays import BoolArray, FloatArray
from scrframe.config.survey import JointSettings
from scrframe.scr.domain import (
    OUTSIDE_SHAPE,
    OUTSIDE_SNR,
    OUTSIDE_SPECTRUM,
    Domain,
    DomainGuard,
    DomainGuardSettings,
)
from scrframe.statistics.groups import group_medians
from scrframe.tables import FLAG_BITS, ColumnTable, MatchedStars
from scrframe.tables.cuts import Cut
from scrframe.tables.settings import DomainSettings

#: How the columns that depend on the observed magnitude go with it. The error of a faint
#: star grows with the inverse of its flux.
SHIFTS: Mapping[str, Callable[[FloatArray, float], FloatArray]] = {
    "mag": lambda values, by_mag: values + by_mag,
    "colour": lambda values, by_mag: values + by_mag,
    "mag_err": lambda values, by_mag: values * 10 ** (0.4 * by_mag),
}


def depends_on_magnitude(cut: Cut) -> bool:
    """Return whether a cut looks at the observed magnitude."""
    return any(name in SHIFTS for name in cut.names)


def _places(margin_mag: float) -> tuple[float, float, float]:
    """Return by how much magnitudes are shifted: to both ends of the margin, and not at all.

    The ends alone would miss windows and gaps that are narrower than the margin.
    """
    return -margin_mag, 0.0, margin_mag


def _shifted(table: ColumnTable, names: Sequence[str], by_mag: float) -> ColumnTable:
    moved = {name: SHIFTS[name](table[name], by_mag) for name in names if name in SHIFTS}
    return ColumnTable(table.arrow.select(list(names))).with_columns(moved)


@dataclass(frozen=True)
class LooseCut(Cut):
    """A cut that also passes what would pass if it were brighter or fainter by a margin."""

    margin_mag: float = 0.0

    def evaluate(self, table: ColumnTable) -> BoolArray:
        """Return which rows pass as they are or at either end of the margin, shape (n,)."""
        places = _places(self.margin_mag)
        passed = [Cut.evaluate(self, _shifted(table, self.names, by_mag)) for by_mag in places]
        return np.asarray(np.any(passed, axis=0))


def loosen(cut: Cut, margin_mag: float) -> Cut:
    """Return a cut that reaches beyond its limit, if it looks at the observed magnitude."""
    if margin_mag > 0 and depends_on_magnitude(cut):
        return LooseCut(cut.text, margin_mag)
    return cut


def predicted_inside(
    cuts: Sequence[Cut], table: ColumnTable, predicted: Mapping[str, FloatArray], margin_mag: float
) -> BoolArray:
    """Return which rows pass all cuts on magnitudes by a margin, shape (n,).

    Parameters
    ----------
    cuts : sequence of Cut
        As written; those that do not look at the magnitude are left out.
    table : ColumnTable
        n rows.
    predicted : mapping of str to ndarray, shape (n,)
        Predicted values of the columns in `SHIFTS`.
    """
    looking = [cut for cut in cuts if depends_on_magnitude(cut)]
    names = sorted({name for cut in looking for name in cut.names})
    replaced = {name: values for name, values in predicted.items() if name in names}
    kept = ColumnTable(
        table.arrow.select([name for name in names if name not in replaced])
    ).with_columns(replaced)
    inside = np.ones(len(table), dtype=bool)
    for cut in looking:
        for by_mag in _places(margin_mag):
            inside &= cut.evaluate(_shifted(kept, cut.names, by_mag))
    return inside


def reserved_stars(source_id: npt.NDArray[np.int64], share: float, seed: int) -> BoolArray:
    """Return which stars are reserved, shape (s,): by a hash of the identifier.

    The same star is reserved in every run with the seed, whatever else is in the sample.
    """
    mixed = source_id.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15) % 2**64)
    # The finaliser of SplitMix64 spreads neighbouring identifiers evenly.
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return np.asarray((mixed >> np.uint64(11)) * 2.0**-53 < share)


def predicted_errors(
    mag_err: FloatArray, mag: FloatArray, predicted_mag: FloatArray, visit: npt.NDArray[np.integer]
) -> FloatArray:
    """Return the catalogued error that goes with the predicted magnitude, shape (n,).

    The median error as a function of magnitude, times a factor for the depth of each visit.
    An error taken at the observed magnitude would weight up what noise made brighter.
    """
    edges = np.arange(np.floor(mag.min() * 4), np.ceil(mag.max() * 4) + 1) / 4
    log_error = np.log(mag_err)
    middle, level = _running_median(mag, log_error, edges)
    curve = np.interp(mag, middle, level)
    shift = group_medians(log_error - curve, visit, int(visit.max()) + 1)
    return np.asarray(np.exp(np.interp(predicted_mag, middle, level) + shift[visit]))


def _running_median(
    x: FloatArray, y: FloatArray, edges: FloatArray
) -> tuple[FloatArray, FloatArray]:
    bins = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 1)
    number = np.bincount(bins, minlength=len(edges))
    good = np.flatnonzero(number >= min(20, number.max()))
    middle, level = (group_medians(values, bins, len(edges)) for values in (x, y))
    return middle[good], level[good]


@dataclass(frozen=True)
class StarSelection:
    """Who of the stars may take part."""

    #: Neither train nor solve; they judge the result. Shape (s,).
    reserved: BoolArray
    #: Flags of stars unlike any training star; 0 for those inside. Shape (s,).
    outside: npt.NDArray[np.int32]
    #: From the training stars; above 1 a star is outside. None where nobody asked. Shape (s,).
    distance: npt.NDArray[np.float32] | None = None

    @property
    def eligible(self) -> BoolArray:
        """Return who may take part, shape (s,)."""
        return np.asarray(~self.reserved & (self.outside == 0))


def select_stars(settings: JointSettings, sample: MatchedStars, *, trained: bool) -> StarSelection:
    """Reserve stars, and find those that the control stars do not represent.

    Where no colour model is `trained`, no star is unlike training stars.
    """
    reserved = reserved_stars(sample.stars["source_id"], settings.reserved, settings.seed)
    if not settings.domain.enabled or not trained:
        return StarSelection(reserved, np.zeros(len(sample.stars), dtype=np.int32))
    domain = star_domain(sample, reserved, settings.domain, settings.seed)
    known = np.where(np.isfinite(domain.distance), domain.distance, np.nan)
    return StarSelection(reserved, domain_flags(domain), known.astype(np.float32))


_FLAGS = {
    OUTSIDE_SPECTRUM: "outside_spectrum",
    OUTSIDE_SHAPE: "outside_shape",
    OUTSIDE_SNR: "outside_snr",
}


def outside_domain(
    sample: MatchedStars, reserved: npt.NDArray[np.bool_], settings: DomainSettings, seed: int
) -> npt.NDArray[np.int32]:
    """Return flags of stars unlike the control stars, shape (s,), 0 for those alike.

    Parameters are those of `star_domain`.
    """
    return domain_flags(star_domain(sample, reserved, settings, seed))


def star_domain(
    sample: MatchedStars, reserved: npt.NDArray[np.bool_], settings: DomainSettings, seed: int
) -> Domain:
    """Return how far stars are from the control stars, s rows, and in what respect.

    Those `reserved`, shape (s,), do not stand for the training stars.
    """
    snr = np.ones(len(sample.stars))  # for all, if the catalogue gives none
    for name in ("xp_snr", "snr"):
        if name in sample.detections and np.isfinite(sample.detections[name]).any():
            snr[sample.star] = sample.detections[name]
    training = np.zeros(len(sample.stars), dtype=bool)
    training[sample.star[sample.in_control]] = True
    training &= ~reserved
    drawn = DomainGuardSettings(**vars(settings), seed=seed)
    guard = DomainGuard.fit(sample.features[training], snr[training], drawn)
    return guard.judge(sample.features, snr)


def domain_flags(domain: Domain) -> npt.NDArray[np.int32]:
    """Return what a domain says of stars as flags of products, shape (s,)."""
    flags = np.zeros(len(domain.reason), dtype=np.int32)
    for bit, name in _FLAGS.items():
        flags[(domain.reason & bit) > 0] |= FLAG_BITS[name]
    return flags
