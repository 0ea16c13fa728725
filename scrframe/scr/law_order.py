"""The order of the reddening law, chosen by cross-validation over fields."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from scrframe.arrays import BoolArray, FloatArray
from scrframe.errors import CalibrationError
from scrframe.scr.law_design import (
    Codes,
    Fields,
    LawData,
    Sums,
    group_means,
    is_determined,
    terms_of,
)
from scrframe.tables import OrderScore
from scrframe.tables.settings import ReddeningSettings

#: Candidates of `auto`.
ORDERS, EXTINCTION_ORDERS = (0, 1, 2, 3), (0, 1)
FOLDS = 5
#: With fewer fields, visits are held out instead: a standard error wants some groups.
LEAST_FIELDS = 4


@dataclass(frozen=True)
class Candidate:
    """Orders in C0 and E, with the squared residuals of each held-out group, shape (g,)."""

    order: int
    extinction_order: int
    loss: FloatArray

    @property
    def width(self) -> int:
        """Return the number of terms."""
        return self.order + 1 + self.extinction_order


def candidates(settings: ReddeningSettings) -> list[tuple[int, int]]:
    """Return the pairs (order, extinction order) that settings leave open."""
    orders = ORDERS if settings.order == "auto" else (settings.order,)
    of_extinction = (
        EXTINCTION_ORDERS if settings.extinction_order == "auto" else (settings.extinction_order,)
    )
    return list(product(orders, of_extinction))


def choose_order(
    colour0_mag: FloatArray,
    extinction: FloatArray,
    excess_mag: FloatArray,
    visit: Codes,
    settings: ReddeningSettings,
    fields: Fields | None = None,
) -> tuple[OrderScore, ...]:
    """Judge the candidates by K-fold cross-validation, whole fields being held out.

    A candidate's score is the mean squared residual of held-out detections about their
    visit's own mean. Outliers of the richest candidate are left out for all. Chosen is the
    candidate of fewest terms whose score is within one standard error of the best; the
    error is that of the difference, from its scatter over fields, so that noise and law
    variations that all candidates share do not count.

    Parameters
    ----------
    colour0_mag, extinction, excess_mag : ndarray, shape (n,)
    visit : ndarray of int, shape (n,)
    settings : ReddeningSettings
    fields : Fields, optional
        Without, or with fewer than four, visits are held out.

    Raises
    ------
    CalibrationError
        If there are too few visits, or no candidate is determined.
    """
    pairs = candidates(settings)
    richest = terms_of(max(order for order, _ in pairs), max(power for _, power in pairs))
    data = LawData.of(colour0_mag, extinction, excess_mag, visit, richest)
    kept = without_outliers(data, settings)
    held_out = _groups(visit, fields)[kept]
    names, block = np.unique(held_out, return_inverse=True)
    if len(names) < 2:
        raise CalibrationError(
            "reddening.order: auto needs at least two visits to judge by; name the order"
        )
    sums = Sums.over(*data.centred(kept), block, len(names))
    fold = _folds(sums.count)
    judged = []
    for order, power in pairs:
        columns = np.array([richest.index(term) for term in terms_of(order, power)])
        loss = held_out_loss(sums.of_terms(columns), fold)
        if loss is not None:
            judged.append(Candidate(order, power, loss))
    if not judged:
        raise CalibrationError(
            "the reddening law is not determined in any order: the extinctions of the"
            " Calibration Sample hardly differ within visits"
        )
    return scores(judged, sums.count)


def without_outliers(data: LawData, settings: ReddeningSettings) -> BoolArray:
    """Return which detections are within `clip_sigma` of the law, shape (n,)."""
    kept = data.finite
    for _ in range(settings.clip_rounds):
        design, excess = data.centred(kept)
        # Of least norm: a candidate may be too rich for the data.
        found = np.linalg.lstsq(design.T @ design, design.T @ excess)[0]
        coefficients = np.asarray(found, dtype=np.float64)
        misfit = data.misfit(coefficients)
        residual = misfit - group_means(misfit, data.group, kept)[data.group]
        sigma = np.sqrt(np.sum(residual[kept] ** 2) / data.freedom(kept))
        kept = np.abs(residual) <= settings.clip_sigma * sigma
    return kept


def _groups(visit: Codes, fields: Fields | None) -> Codes:
    if fields is None or len(np.unique(fields.code)) < LEAST_FIELDS:
        return visit
    return fields.code


def _folds(count: FloatArray) -> npt.NDArray[np.intp]:
    """Deal groups out to folds, the largest first."""
    fold = np.empty(len(count), dtype=np.intp)
    fold[np.argsort(-count, kind="stable")] = np.arange(len(count)) % min(FOLDS, len(count))
    return fold


def held_out_loss(sums: Sums, fold: npt.NDArray[np.intp]) -> FloatArray | None:
    """Return each group's sum of squares (g,) under the fit to the other folds.

    None where the other folds do not determine a fit.
    """
    loss = np.empty(len(fold))
    for number in np.unique(fold):
        inside = fold == number
        normal = sums.normal[~inside].sum(axis=0)
        if not is_determined(normal):
            return None
        found = np.linalg.solve(normal, sums.right[~inside].sum(axis=0))
        explained = sums.normal[inside] @ found @ found - 2 * sums.right[inside] @ found
        loss[inside] = sums.square[inside] + explained
    return loss


def scores(judged: list[Candidate], count: FloatArray) -> tuple[OrderScore, ...]:
    """Compare the candidates with the best and choose, by the rule of one standard error."""
    total, groups = count.sum(), len(count)
    best = min(judged, key=lambda candidate: candidate.loss.sum())
    excess, err = [], []
    for candidate in judged:
        difference = candidate.loss - best.loss
        mean = difference.sum() / total
        scatter = np.sum((difference - mean * count) ** 2)
        excess.append(float(mean))
        err.append(float(np.sqrt(groups / (groups - 1) * scatter) / total))
    good = [number for number in range(len(judged)) if excess[number] <= err[number]]
    chosen = min(good, key=lambda number: (judged[number].width, excess[number]))
    return tuple(
        OrderScore(
            candidate.order,
            candidate.extinction_order,
            float(np.sqrt(candidate.loss.sum() / total)),
            excess[number],
            err[number],
            number == chosen,
        )
        for number, candidate in enumerate(judged)
    )
