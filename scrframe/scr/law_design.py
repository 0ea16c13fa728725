"""What a fit of the reddening law works on: terms, free constants, sums by group; their order.

The order is chosen by cross-validation, whole fields being held out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from scrframe.arrays import BoolArray, FloatArray
from scrframe.errors import CalibrationError
from scrframe.tables import LawTerm, OrderScore, law_terms
from scrframe.tables.settings import ReddeningSettings

Codes = npt.NDArray[np.integer]
#: Normal equations whose condition number, of the scaled matrix, is larger have no solution.
WORST_CONDITION = 1e12
#: Candidates of `auto`.
ORDERS, EXTINCTION_ORDERS = (0, 1, 2, 3), (0, 1)
FOLDS = 5
#: With fewer fields, visits are held out instead: a standard error wants some groups.
LEAST_FIELDS = 4


@dataclass(frozen=True)
class Fields:
    """Which field each detection belongs to; a visit lies in one field."""

    #: Shape (n,).
    code: Codes
    #: Name of each code.
    name: tuple[str, ...]

    def take(self, rows: npt.NDArray[np.generic]) -> Fields:
        """Return the fields of some rows: indices, or a mask of shape (n,)."""
        return Fields(self.code[rows], self.name)


def terms_of(order: int, extinction_order: int) -> tuple[LawTerm, ...]:
    """Return powers of C0 from the highest to 0, then E, E^2, ... up to `extinction_order`."""
    of_colour = [(power, 0) for power in range(order, -1, -1)]
    return (*of_colour, *((0, power) for power in range(1, extinction_order + 1)))


@dataclass(frozen=True)
class LawData:
    """Detections of a fit, with each term times E: E(colour) = design @ coefficients."""

    terms: tuple[LawTerm, ...]
    #: Shape (n, k).
    design: FloatArray
    #: Observed less modelled intrinsic colour. Shape (n,).
    excess_mag: FloatArray
    #: Detections of one group share a free constant. Shape (n,).
    group: Codes

    @classmethod
    def of(
        cls,
        colour0_mag: FloatArray,
        extinction: FloatArray,
        excess_mag: FloatArray,
        group: Codes,
        terms: tuple[LawTerm, ...],
    ) -> LawData:
        """Evaluate the terms at intrinsic colours and extinctions of shape (n,)."""
        design = law_terms(colour0_mag, extinction, terms) * extinction[:, None]
        return cls(terms, design, excess_mag, group)

    @property
    def finite(self) -> BoolArray:
        """Return which detections can be used, shape (n,)."""
        return np.asarray(np.isfinite(self.excess_mag) & np.isfinite(self.design).all(axis=1))

    def misfit(self, coefficients: FloatArray) -> FloatArray:
        """Return excess less law, shape (n,): constants and noise."""
        return np.asarray(self.excess_mag - self.design @ coefficients)

    def centred(self, kept: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Return design (n', k) and excess (n',) of the kept rows, less their group's means.

        Raises CalibrationError if there are no more detections than unknowns.
        """
        design, excess, group = self.design[kept], self.excess_mag[kept], self.group[kept]
        if len(design) <= design.shape[1] + np.count_nonzero(np.bincount(group)):
            raise CalibrationError(f"{len(design)} detections are too few to fit the reddening law")
        everything = np.ones(len(group), dtype=bool)
        columns = [column - group_means(column, group, everything)[group] for column in design.T]
        return np.column_stack(columns), excess - group_means(excess, group, everything)[group]

    def freedom(self, kept: BoolArray) -> int:
        """Return the number of kept detections less that of coefficients and constants."""
        constants = int(np.count_nonzero(np.bincount(self.group[kept])))
        return max(int(kept.sum()) - len(self.terms) - constants, 1)


def group_means(values: FloatArray, group: Codes, kept: BoolArray) -> FloatArray:
    """Return the mean of the kept values of each group; 0 for a group without any."""
    width = int(group.max()) + 1 if len(group) else 0
    total = np.bincount(group[kept], weights=values[kept], minlength=width)
    count = np.bincount(group[kept], minlength=width)
    return total / np.maximum(count, 1)


def is_determined(normal: FloatArray) -> bool:
    """Return whether normal equations, shape (k, k), have one solution."""
    scale = np.sqrt(np.diag(normal))
    if not np.all(scale > 0):
        return False
    return bool(np.linalg.cond(normal / np.outer(scale, scale)) <= WORST_CONDITION)


def check_determined(normal: FloatArray) -> None:
    """Refuse normal equations, shape (k, k), without one solution; raises CalibrationError."""
    if not is_determined(normal):
        raise CalibrationError(
            "the reddening law is not determined: the extinctions (or colours) of the"
            " Calibration Sample hardly differ within visits; lower `reddening.order` or"
            " `reddening.extinction_order`"
        )


@dataclass(frozen=True)
class Sums:
    """Sums of products of centred design and excess over blocks of detections."""

    #: Shape (b, k, k).
    normal: FloatArray
    #: Shape (b, k).
    right: FloatArray
    #: Shape (b,).
    square: FloatArray
    #: Shape (b,).
    count: FloatArray

    @classmethod
    def over(cls, design: FloatArray, excess: FloatArray, block: Codes, blocks: int) -> Sums:
        """Sum over `blocks` blocks with codes `block`, shape (n,)."""

        def total(values: FloatArray) -> FloatArray:
            return np.asarray(np.bincount(block, values, minlength=blocks), dtype=np.float64)

        width = design.shape[1]
        normal, right = np.empty((blocks, width, width)), np.empty((blocks, width))
        for i in range(width):
            right[:, i] = total(design[:, i] * excess)
            for j in range(i + 1):
                normal[:, i, j] = normal[:, j, i] = total(design[:, i] * design[:, j])
        count = np.bincount(block, minlength=blocks).astype(np.float64)
        return cls(normal, right, total(excess**2), count)

    def of_terms(self, columns: npt.NDArray[np.intp]) -> Sums:
        """Return the sums of some columns of the design alone."""
        normal = self.normal[:, columns[:, None], columns]
        return Sums(normal, self.right[:, columns], self.square, self.count)

    def scaled(self, factor: float) -> Sums:
        """Return all sums times a factor, as if that share of detections were independent."""
        parts = self.normal, self.right, self.square, self.count
        return Sums(*(factor * part for part in parts))


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
    few = fields is None or len(np.unique(fields.code)) < LEAST_FIELDS
    held_out = (visit if fields is None or few else fields.code)[kept]
    names, block = np.unique(held_out, return_inverse=True)
    if len(names) < 2:
        raise CalibrationError(
            "reddening.order: auto needs at least two visits to judge by; name the order"
        )
    sums = Sums.over(*data.centred(kept), block, len(names))
    # Groups are dealt out to folds, the largest first.
    fold = np.empty(len(sums.count), dtype=np.intp)
    fold[np.argsort(-sums.count, kind="stable")] = np.arange(len(sums.count)) % min(
        FOLDS, len(sums.count)
    )
    judged = []
    for order, power in pairs:
        columns = np.array([richest.index(term) for term in terms_of(order, power)])
        loss = held_out_loss(sums.of_terms(columns), fold)
        if loss is not None:
            judged.append(LawCandidate(order, power, loss))
    if not judged:
        raise CalibrationError(
            "the reddening law is not determined in any order: the extinctions of the"
            " Calibration Sample hardly differ within visits"
        )
    return scores(judged, sums.count)


@dataclass(frozen=True)
class LawCandidate:
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


def scores(judged: list[LawCandidate], count: FloatArray) -> tuple[OrderScore, ...]:
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
