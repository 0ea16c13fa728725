"""The reddening law R(C0, E) = E(colour) / E, fitted to the Calibration Sample (paper, Eq. 1).

With a random slope on E by field it is a mixed model,

    y = X a + constant(visit) + b_field E + noise,   b ~ N(0, sd^2)

Fields are independent once the visits' constants are taken out, so that sums of products
by field are all that is needed (Harville 1977, JASA 72, 320; Robinson 1991, Stat. Sci. 6, 15).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.optimize import minimize_scalar

from scrframe.arrays import BoolArray, FloatArray
from scrframe.errors import CalibrationError
from scrframe.scr.law_design import (
    Codes,
    Fields,
    LawData,
    Sums,
    check_determined,
    choose_order,
    group_means,
    terms_of,
)
from scrframe.tables import FieldSlopes, OrderScore, ReddeningLaw
from scrframe.tables.settings import ReddeningSettings

#: Points at which the likelihood is looked at before it is refined.
GRID = 60
#: Gains in twice the log likelihood below this share of it are rounding.
ROUNDING = 1e-12


def constant_law(ratio: float, order: int | Literal["auto"]) -> ReddeningLaw:
    """Return the law that an iteration starts from: R the same for all colours."""
    order = 0 if order == "auto" else order
    coefficients = np.zeros(order + 1)
    coefficients[-1] = ratio
    return ReddeningLaw(coefficients, np.zeros((order + 1, order + 1)), 0.0)


def held_order(settings: ReddeningSettings, law: ReddeningLaw) -> ReddeningSettings:
    """Return settings that name the order of a law, for the rounds that follow its choice."""
    return replace(settings, order=law.order, extinction_order=law.extinction_order)


def fit_law(
    colour0_mag: FloatArray,
    extinction: FloatArray,
    excess_mag: FloatArray,
    visit: Codes,
    settings: ReddeningSettings,
    fields: Fields | None = None,
    star: Codes | None = None,
) -> ReddeningLaw:
    """Fit E(colour) = R(C0, E) E + constant by clipped least squares.

    R has the powers of C0 up to `order` and of E up to `extinction_order`; ``auto`` chooses
    by cross-validation over fields (`choose_order`). With `visit_constants` each visit has a
    constant of its own, and dM is their mean over detections; a single constant confounds
    the law with the visits' zero points. With `field_slopes` each field's slope on E departs
    from the law at random (`SlopeModel`), and the covariance has the variation between
    fields in it.

    Parameters
    ----------
    colour0_mag, extinction, excess_mag : ndarray, shape (n,)
        Modelled intrinsic colour, E, and observed colour less modelled, by detection.
    visit : ndarray of int, shape (n,)
        Code of the visit of each detection.
    fields : Fields, optional
        Needed for `field_slopes`.
    star : ndarray of int, shape (n,), optional
        Star of each detection: repeats of a star share its own deviation, and the
        covariance counts them accordingly.

    Raises
    ------
    CalibrationError
        If the detections do not determine the law (too few, or no spread in E), or fields
        are missing.
    """
    chosen: tuple[OrderScore, ...] = ()
    if settings.automatic:
        chosen = choose_order(colour0_mag, extinction, excess_mag, visit, settings, fields)
        best = next(score for score in chosen if score.chosen)
        settings = replace(settings, order=best.order, extinction_order=best.extinction_order)
    assert settings.order != "auto"
    assert settings.extinction_order != "auto"
    group = visit if settings.visit_constants else np.zeros(len(visit), dtype=np.int64)
    terms = terms_of(settings.order, settings.extinction_order)
    data = LawData.of(colour0_mag, extinction, excess_mag, group, terms)
    if settings.field_slopes:
        if fields is None:
            raise CalibrationError(
                "reddening.field_slopes needs the field of each visit, which the catalogues do not"
                " give; leave it out, or let the loader supply the column `field`"
            )
        if not settings.visit_constants:
            raise CalibrationError(
                "reddening.field_slopes needs a constant for each visit; set"
                " `reddening.visit_constants: true`"
            )
        home = np.zeros(int(visit.max()) + 1, dtype=np.int64)
        home[visit] = fields.code
        many = len(np.unique(visit[fields.code != home[visit]]))
        if many:
            raise CalibrationError(
                f"reddening.field_slopes: {many} visits have detections in more than one field;"
                " the column `field` must be the same all over a visit"
            )
        law = _with_slopes(data, settings, fields, star)
    else:
        law = _plain(data, settings, star)
    return replace(law, scores=chosen)


def _plain(data: LawData, settings: ReddeningSettings, star: Codes | None) -> ReddeningLaw:
    kept = data.finite
    for _ in range(settings.clip_rounds):
        design, excess = data.centred(kept)
        normal = design.T @ design
        check_determined(normal)
        inverse = np.asarray(np.linalg.inv(normal), dtype=np.float64)
        coefficients = inverse @ (design.T @ excess)
        misfit = data.misfit(coefficients)
        residual = misfit - group_means(misfit, data.group, kept)[data.group]
        sigma = float(np.sqrt(np.sum(residual[kept] ** 2) / data.freedom(kept)))
        used, kept = kept, np.abs(residual) <= settings.clip_sigma * sigma
        if np.array_equal(used, kept):
            break
    shared = repeat_factor(data, residual, used, star)
    covariance = inverse * sigma**2 * shared
    return ReddeningLaw(coefficients, covariance, float(np.mean(misfit[used])), data.terms)


def _with_slopes(
    data: LawData, settings: ReddeningSettings, fields: Fields, star: Codes | None
) -> ReddeningLaw:
    kept, blocks, shared = data.finite, len(fields.name), 1.0
    column = data.terms.index((0, 0))
    for _ in range(settings.clip_rounds):
        sums = Sums.over(*data.centred(kept), fields.code[kept], blocks)
        # The second time with the repeats of stars counted for what they are worth.
        for _ in range(2):
            model = SlopeModel(sums.scaled(1 / shared), column, data.freedom(kept) / shared)
            fit = model.solve()
            misfit = data.misfit(fit.coefficients) - fit.slope[fields.code] * data.design[:, column]
            residual = misfit - group_means(misfit, data.group, kept)[data.group]
            before, shared = shared, repeat_factor(data, residual, kept, star)
            if shared == before:
                break
        used, kept = kept, np.abs(residual) <= settings.clip_sigma * fit.noise_mag
        if np.array_equal(used, kept):
            break
    seen = sums.count > 0
    names = tuple(name for name, there in zip(fields.name, seen, strict=True) if there)
    slope, err, free, free_err = (
        part[seen] for part in (fit.slope, fit.err, fit.free, fit.free_err)
    )
    slopes = FieldSlopes(names, slope, err, free, free_err, fit.sd)
    offset = float(np.mean(misfit[used]))
    return ReddeningLaw(fit.coefficients, fit.covariance, offset, data.terms, slopes=slopes)


def repeat_factor(
    data: LawData, residual_mag: FloatArray, kept: BoolArray, star: Codes | None
) -> float:
    """Return by how much repeats of stars raise the variance of a slope on E, at least 1.

    The score of a slope is the sum of E (less its visit's mean) times residual; its variance
    is that of independent stars, not of independent detections.
    """
    if star is None:
        return 1.0
    column = data.design[kept][:, data.terms.index((0, 0))]
    group, everything = data.group[kept], np.ones(int(kept.sum()), dtype=bool)
    score = (column - group_means(column, group, everything)[group]) * residual_mag[kept]
    by_star = np.bincount(star[kept], score)
    alone = float(score @ score)
    return max(float(by_star @ by_star) / alone, 1.0) if alone > 0 else 1.0


def largest_change(
    new: ReddeningLaw,
    old: ReddeningLaw,
    colour0_mag: FloatArray,
    settings: ReddeningSettings,
    extinction: FloatArray | None = None,
) -> float:
    """Return the largest change of R over the central range of C0, at the median E.

    `colour0_mag` is by star; `extinction`, by star or detection, may be left out where
    neither law depends on E.
    """
    low, high = np.percentile(colour0_mag, settings.colour_percentiles)
    grid = np.linspace(low, high, 21)
    middle = None if extinction is None else np.full(len(grid), np.median(extinction))
    return float(np.max(np.abs(new.ratio(grid, middle) - old.ratio(grid, middle))))


@dataclass(frozen=True)
class SlopeFit:
    """The mixed model's solution."""

    #: Generalised least squares. Shape (k,).
    coefficients: FloatArray
    #: Given the variances; the variation between fields is in it. Shape (k, k).
    covariance: FloatArray
    #: See `scrframe.tables.FieldSlopes`. Shape (f,).
    slope: FloatArray
    err: FloatArray
    free: FloatArray
    free_err: FloatArray
    #: Standard deviations of the slopes and of the noise.
    sd: float
    noise_mag: float


class SlopeModel:
    """The likelihood of the ratio sd / noise, given the sums by field.

    Parameters
    ----------
    sums : Sums
        By field, shape (f, k, k) and so on.
    column : int
        Column of the design that is E itself.
    freedom : float
        Detections less coefficients and constants.
    """

    def __init__(self, sums: Sums, column: int, freedom: float) -> None:
        self._sums, self._freedom = sums, freedom
        self.spread = sums.normal[:, column, column]
        self.shared = sums.normal[:, column, :]
        self.pull = sums.right[:, column]

    def equations(self, ratio: float) -> tuple[FloatArray, FloatArray, float]:
        """Return normal matrix, right side and sum of squares with the slopes integrated out."""
        weight = ratio**2 / (1 + ratio**2 * self.spread)
        normal = self._sums.normal.sum(axis=0) - (self.shared.T * weight) @ self.shared
        right = self._sums.right.sum(axis=0) - self.shared.T @ (weight * self.pull)
        square = self._sums.square.sum() - weight @ self.pull**2
        return normal, right, float(square)

    def noise_variance(self, ratio: float) -> float:
        """Return the variance of the noise that is most likely at a ratio."""
        normal, right, square = self.equations(ratio)
        return float((square - right @ np.linalg.solve(normal, right)) / self._freedom)

    def deviance(self, ratio: float) -> float:
        """Return -2 log of the restricted likelihood, up to a constant."""
        log_noise = np.log(self.noise_variance(ratio))
        log_normal = np.linalg.slogdet(self.equations(ratio)[0])[1]
        spread = np.log1p(ratio**2 * self.spread).sum()
        return float(self._freedom * log_noise + log_normal + spread)

    def best_ratio(self) -> float:
        """Return the ratio of the largest restricted likelihood; 0 if slopes do not differ."""
        usual = 1 / np.sqrt(self.spread.mean())
        grid = np.concatenate([[0.0], usual * np.geomspace(1e-2, 1e4, GRID)])
        deviance = [self.deviance(ratio) for ratio in grid]
        place = int(np.argmin(deviance))
        bounds = grid[max(place - 1, 0)], grid[min(place + 1, GRID)]
        refined = minimize_scalar(
            self.deviance, bounds=bounds, method="bounded", options={"xatol": 1e-6 * bounds[1]}
        )
        # A gain that is rounding is none: near 0 the likelihood is flat.
        gained = deviance[0] - refined.fun > ROUNDING * abs(deviance[0])
        return float(refined.x) if gained else 0.0

    def solve(self) -> SlopeFit:
        """Estimate the variances, then coefficients and slopes.

        Raises CalibrationError if the law is not determined.
        """
        check_determined(self._sums.normal.sum(axis=0))
        ratio = self.best_ratio()
        normal, right, _ = self.equations(ratio)
        noise = self.noise_variance(ratio)
        inverse = np.asarray(np.linalg.inv(normal), dtype=np.float64)
        coefficients = inverse @ right
        left = self.pull - self.shared @ coefficients
        weight = ratio**2 / (1 + ratio**2 * self.spread)
        of_law = np.einsum("fi,ij,fj->f", self.shared, inverse, self.shared)
        with np.errstate(divide="ignore", invalid="ignore"):
            free = np.where(self.spread > 0, left / self.spread, np.nan)
            free_err = np.where(self.spread > 0, np.sqrt(noise / self.spread), np.nan)
        return SlopeFit(
            coefficients,
            inverse * noise,
            weight * left,
            np.sqrt(noise * (weight + weight**2 * of_law)),
            free,
            free_err,
            float(ratio * np.sqrt(noise)),
            float(np.sqrt(noise)),
        )
