"""Null tests of structure: what residuals share in a place, beyond the scatter of single stars.

Each unit (a cell of the sky, of a detector, a field) has a sum t of weighted residuals. Were
residuals independent, t squared would be the sum of the single squares; what it has beyond is the
variance that the residuals of a unit share. The difference is zero in the mean whatever the
scatter of stars is and however it depends on their properties (a sum over all pairs of
different stars, Hoeffding 1948, Ann. Math. Stat. 19, 293), so that no noise model enters.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.checks.statistics import bounded
from scrframe.checks.verdict import Limit, NullTest, NullTestResult, judge, untestable
from scrframe.statistics.groups import codes, less_group_mean

#: Stars that a unit needs, and units that a test needs.
LEAST_STARS, LEAST_UNITS = 8, 12
#: Stars in two visits, beyond those that pairs of detectors take.
LEAST_REPEATS = 60
#: Worse conditioned terms cannot be told apart.
WORST_CONDITION = 1e8


@dataclass(frozen=True)
class Excess:
    """A variance that the residuals of units share, beyond their scatter."""

    variance: float
    #: Its standard error, and the skewness of its distribution, if there is no such variance.
    error: float
    skewness: float
    units: int

    @classmethod
    def of_terms(
        cls,
        terms: FloatArray,
        unit: IntArray,
        information: float,
        inflation: FloatArray | float = 1.0,
    ) -> Excess:
        """Return the excess from the terms, shape (n,), of each unit's sum.

        The variance of a sum over pairs of independent terms is twice the sum of the products of
        their squares; its skewness is that of as many chi squared as there are units.

        Parameters
        ----------
        terms : ndarray, shape (n,)
            Weighted residuals.
        unit : ndarray of int64, shape (n,)
            Numbers from 0.
        information : float
            What the sum over pairs is for a shared variance of 1.
        inflation : ndarray, shape (n,)
            By how much the squares of terms are too small, as a mean was taken out of each.
        """
        squares = terms**2 * inflation
        single = np.bincount(unit, squares)
        value = float(np.sum(np.bincount(unit, terms) ** 2 - single))
        spread2 = float(np.sum(2 * (single**2 - np.bincount(unit, squares**2))))
        skewness = float(np.sum(8 * single**3)) / max(spread2, 1e-300) ** 1.5
        error = float(np.sqrt(max(spread2, 0.0)))
        return cls(value / information, error / information, skewness, len(single))

    @classmethod
    def of_units(cls, products: FloatArray, information: float) -> Excess:
        """Return the excess from units (k,) that are independent, each zero in the mean."""
        error = float(np.sqrt(np.sum(products**2)))
        return cls(float(products.sum()) / information, error / information, 0.0, len(products))

    def judged(
        self, test: NullTest, limit: Limit, detail: dict[str, Any], factor: float = 1.0
    ) -> NullTestResult:
        """Return the verdict on the standard deviation times a factor."""
        chance, needed = 1.0, float("inf")
        if self.error > 0:
            law = stats.pearson3(self.skewness)
            chance = float(law.sf(self.variance / self.error))
            needed = float(law.isf(limit.probability))
        size = factor * float(np.sqrt(max(self.variance, 0.0)))
        seen = factor * float(np.sqrt(needed * self.error)) if self.error > 0 else float("inf")
        return judge(test, size, limit, chance, seen, {**detail, "units": self.units})


def shared_means(
    test: NullTest, residual: FloatArray, unit: IntArray, limit: Limit
) -> NullTestResult:
    """Test whether stars of a unit have residuals in common.

    The number is the standard deviation of the units' means beyond the scatter of stars.

    Parameters
    ----------
    residual : ndarray, shape (n,)
        In mag, finite, of zero mean.
    unit : ndarray of int64, shape (n,)
    limit : Limit
        In mag.
    """
    kept, unit = _populated(unit)
    if kept.sum() == 0 or unit.max() + 1 < LEAST_UNITS:
        return untestable(test, limit, _too_few(unit, kept))
    left = residual[kept]
    count = np.bincount(unit)
    total = np.bincount(unit, left)
    information = float(np.sum(count * (count - 1.0)))
    mean = total / count
    worst = int(np.argmax(np.abs(total) / np.sqrt(np.bincount(unit, left**2))))
    detail = {
        "stars": len(left),
        "worst_mag": float(mean[worst]),
        "worst_row": int(np.flatnonzero(kept)[np.argmax(unit == worst)]),
    }
    return Excess.of_terms(left, unit, information).judged(test, limit, detail)


def shared_slopes(
    test: NullTest,
    x: FloatArray,
    residual: FloatArray,
    unit: IntArray,
    limit: Limit,
    within: IntArray | None = None,
    at: float | None = None,
) -> NullTestResult:
    """Test whether the slope of residuals on a quantity changes from unit to unit.

    The number is the standard deviation of the slopes beyond the scatter of stars, times a
    typical value of the quantity.

    Parameters
    ----------
    x, residual : ndarray, shape (n,)
        The quantity and residuals in mag, finite.
    unit : ndarray of int64, shape (n,)
    limit : Limit
        In mag.
    within : ndarray of int64, optional
        Larger groups, such as fields, of which a line is taken out first; by default one line of
        all.
    at : float, optional
        The typical value; by default the median of `x`.
    """
    kept, unit = _populated(unit)
    if kept.sum() == 0 or unit.max() + 1 < LEAST_UNITS:
        return untestable(test, limit, _too_few(unit, kept))
    low, high = np.quantile(x[kept], [0.01, 0.99])
    x, left = np.clip(x[kept], low, high), residual[kept]
    whole = np.zeros(len(x), dtype=np.int64) if within is None else codes(within[kept])
    left = _less_line(x, left, whole)
    centred = less_group_mean(x, unit)
    left = less_group_mean(left, unit)
    count = np.bincount(unit)
    power = np.bincount(unit, centred**2)
    terms, inflation = centred * left, (count / (count - 1))[unit]
    information = float(np.sum(power**2 - np.bincount(unit, centred**4)))
    typical = float(np.median(x)) if at is None else at
    detail = {"stars": len(x), "at": typical}
    excess = Excess.of_terms(terms, unit, information, inflation)
    return excess.judged(test, limit, detail, abs(typical))


def shared_across(
    test: NullTest,
    residual: FloatArray,
    star: IntArray,
    visit: IntArray,
    cell: IntArray,
    cluster: IntArray,
    limit: Limit,
) -> NullTestResult:
    """Test whether a place of the sky has residuals in common in whichever visit sees it.

    What a visit or a detector does by itself is not the same in the other visits; a star of its own
    is left out of the products. The number is the standard deviation over the places.

    Parameters
    ----------
    residual : ndarray, shape (n,)
        In mag, finite, with the offsets of exposures not taken out.
    star, visit, cell : ndarray of int64, shape (n,)
    cluster : ndarray of int64, shape (n,)
        Places that may share detectors, such as those of a field, have a cluster together.
    limit : Limit
        In mag.
    """
    part = codes(cell * (int(visit.max()) + 1) + visit)
    first = np.unique(part, return_index=True)[1]
    sums = np.asarray(np.bincount(part, residual), dtype=np.float64)
    number = np.asarray(np.bincount(part), dtype=np.float64)
    place = codes(cell)[first]
    same = codes(star * (int(cell.max()) + 1) + cell)
    own_place = codes(cell)[np.unique(same, return_index=True)[1]]
    own_sum = np.asarray(np.bincount(same, residual), dtype=np.float64)
    own_count = np.asarray(np.bincount(same), dtype=np.float64)
    size = int(place.max()) + 1

    def pairs(by_part: FloatArray, by_star: FloatArray, squares: FloatArray) -> FloatArray:
        """Return sums over pairs of another star in another visit."""
        total = np.bincount(place, by_part, size)
        each = np.bincount(place, by_part**2, size)
        stars = np.bincount(own_place, by_star**2, size)
        return np.asarray(total**2 - each - stars + np.bincount(codes(cell), squares, size))

    products = pairs(sums, own_sum, residual**2)
    information = pairs(number, own_count, np.ones(len(residual)))
    good = information > 0
    group = cluster[np.unique(codes(cell), return_index=True)[1]][good]
    if not good.any() or len(np.unique(group)) < LEAST_UNITS:
        return untestable(test, limit, "too few places are seen in two visits")
    together = np.asarray(np.bincount(codes(group), products[good]), dtype=np.float64)
    detail = {"places": int(good.sum())}
    return Excess.of_units(together, float(information[good].sum())).judged(test, limit, detail)


def repeat_surfaces(
    test: NullTest,
    difference: FloatArray,
    two: IntArray,
    exposures: IntArray,
    place: FloatArray,
    orders: tuple[int, int],
    limit: Limit,
) -> NullTestResult:
    """Test whether visits change smoothly over the focal plane, as clouds make them.

    From the differences of stars between two visits, which know nothing of the stars or of
    the sky, and within pairs of detectors, whose offsets drop out: what is left is a slope that
    both visits' magnitudes have within detectors. The number is the root mean square over the
    focal plane of the polynomial that has these slopes, of one visit.

    Parameters
    ----------
    difference : ndarray, shape (m,)
        Of the residuals of a star in two visits, in mag, finite.
    two, exposures : ndarray of int64, shape (m,)
        The two visits, and the two exposures.
    place : ndarray, shape (m, 2)
        In the focal plane of one of the visits.
    orders : (int, int)
        Order of the polynomial, and order up to which it does not count.
    limit : Limit
        In mag.
    """
    order, taken = orders
    counted = _terms(order) - _terms(taken)
    difference = bounded(difference) if len(difference) else difference
    terms: list[FloatArray] = []
    inflation: list[FloatArray] = []
    unit: list[IntArray] = []
    pairs: list[int] = []
    information = 0.0
    for key, rows in _groups(two):
        within = codes(exposures[rows])
        left = len(rows) - int(within.max()) - 1
        if left < LEAST_REPEATS:
            continue
        inside = _basis(place[rows], within, order, taken)
        if inside is None:
            continue
        count = np.bincount(within)
        values = less_group_mean(difference[rows], within)
        directions = np.linalg.qr(inside)[0]
        terms.append((directions * values[:, None]).T.ravel())
        inflation.append(np.tile((count / np.maximum(count - 1, 1))[within], counted))
        unit.append(np.repeat(len(pairs) * counted + np.arange(counted), len(rows)))
        pairs.append(key)
        information += float(np.sum(inside**2))
    if len(pairs) < LEAST_UNITS:
        reason = (
            f"{len(pairs)} pairs of visits share {LEAST_REPEATS} stars, {LEAST_UNITS} are needed"
        )
        return untestable(test, limit, reason)
    every, number = np.concatenate(terms), np.concatenate(unit)
    by_pair = (np.bincount(number, every) ** 2).reshape(-1, counted).sum(axis=1)
    by_pair /= np.bincount(number, every**2).reshape(-1, counted).sum(axis=1)
    detail = {"pairs": len(pairs), "worst_pair": pairs[int(np.argmax(by_pair))]}
    excess = Excess.of_terms(every, number, information, np.concatenate(inflation))
    return excess.judged(test, limit, detail, float(np.sqrt(counted / 2)))


def _terms(order: int) -> int:
    """Return the number of terms of a polynomial of two variables."""
    return (order + 1) * (order + 2) // 2


def _groups(key: IntArray) -> Iterator[tuple[int, IntArray]]:
    """Yield each key and its rows."""
    order = np.argsort(key, kind="stable")
    names, first = np.unique(key[order], return_index=True)
    yield from zip(names.tolist(), np.split(order, first[1:]), strict=True)


def _basis(place: FloatArray, within: IntArray, order: int, taken: int) -> FloatArray | None:
    """Return within groups the terms of a polynomial that has unit variance over all places.

    Its terms are uncorrelated, and lower ones are taken out as a fit within groups would; None
    where they are degenerate.
    """
    u, v = ((place - place.mean(axis=0)) / place.std(axis=0).clip(1e-12)).T
    powers = [u**a * v ** (total - a) for total in range(1, order + 1) for a in range(total + 1)]
    whole = np.stack(powers, axis=1)
    whole -= whole.mean(axis=0)
    inside = np.stack([less_group_mean(each, within) for each in whole.T], axis=1)
    lower = _terms(taken) - 1
    if lower:
        share = np.linalg.lstsq(inside[:, :lower], inside[:, lower:], rcond=None)[0]
        inside = inside[:, lower:] - inside[:, :lower] @ share
        whole = whole[:, lower:] - whole[:, :lower] @ share
    spread = whole.T @ whole / len(whole)
    if np.linalg.cond(spread) > WORST_CONDITION:
        return None
    scale = np.linalg.inv(np.linalg.cholesky(spread)).T
    return np.asarray(inside @ scale)


def _populated(unit: IntArray) -> tuple[BoolArray, IntArray]:
    """Return which rows are in units with enough stars, and the numbers of their units."""
    unit = codes(unit)
    kept = np.bincount(unit, minlength=1)[unit] >= LEAST_STARS
    return kept, codes(unit[kept]) if kept.any() else unit[:0]


def _too_few(unit: IntArray, kept: BoolArray) -> str:
    have = int(unit.max()) + 1 if kept.any() else 0
    return f"{have} places with {LEAST_STARS} stars, {LEAST_UNITS} are needed"


def _less_line(x: FloatArray, values: FloatArray, group: IntArray) -> FloatArray:
    """Return values less a line in `x` of each group."""
    centred, values = less_group_mean(x, group), less_group_mean(values, group)
    power = np.bincount(group, centred**2)
    slope = np.bincount(group, centred * values) / np.maximum(power, 1e-30)
    return np.asarray(values - slope[group] * centred)
