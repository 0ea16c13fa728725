"""The iteration of colour model, reddening law and visit offsets (paper, steps i to iii)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray, IntArray
from scrframe.scr.law_design import Fields
from scrframe.scr.reddening_law import constant_law, fit_law, held_order, largest_change
from scrframe.scr.training import ColourPredictor, Effort, TestScore, TrainingPlan, score
from scrframe.tables import ReddeningLaw
from scrframe.tables.settings import ReddeningSettings


@dataclass(frozen=True)
class Observations:
    """The Calibration Sample as plain arrays.

    Attributes
    ----------
    mag, mag_err, reference_mag, extinction : ndarray, shape (n,)
        Per detection, in mag.
    star, visit : ndarray of int, shape (n,)
        Row of the star, and code of the visit.
    in_control : ndarray of bool, shape (n,)
        Detections of the Control Sample.
    stars : int
        Number of stars.
    used : ndarray of bool, shape (n,)
        Detections that train, fit the law and settle the offsets; the others are predicted.
    fields : Fields, optional
        Fields of the detections, over which the law may vary.
    """

    mag: FloatArray
    mag_err: FloatArray
    reference_mag: FloatArray
    extinction: FloatArray
    star: IntArray
    visit: npt.NDArray[np.integer]
    in_control: npt.NDArray[np.bool_]
    stars: int
    used: npt.NDArray[np.bool_]
    fields: Fields | None = None

    @property
    def teaching(self) -> npt.NDArray[np.bool_]:
        """Return which detections the colours of control stars come from, shape (n,)."""
        return np.asarray(self.in_control & self.used)


@dataclass(frozen=True)
class IterationSettings:
    """When the iteration stops, and how often a linear model's structure is grown."""

    law: ReddeningSettings
    max_rounds: int
    tolerance_mag: float
    regrow_rounds: int


@dataclass(frozen=True)
class Round:
    """One round, for the record; law round 0 is the step that moves the visit offsets."""

    visit_round: int
    law_round: int
    law_change: float | None
    visit_change_mag: float | None


@dataclass(frozen=True)
class ModelMagnitudes:
    """What the iteration ends with.

    Attributes
    ----------
    colour0_mag : ndarray, shape (s,)
        Modelled intrinsic colour of each star.
    model_mag : ndarray, shape (n,)
        u_mod of each detection (Eq. 2).
    law : ReddeningLaw
    test : TestScore
        On the test stars, with the final labels.
    rounds : tuple of Round
    converged : bool
        Whether the visit offsets settled within the tolerance.
    label_mag : ndarray, shape (s,)
        Observed intrinsic colours of the control stars, with the final law and offsets; NaN
        for others.
    offsets : OffsetState
        The offsets of the last round.
    """

    colour0_mag: FloatArray
    model_mag: FloatArray
    law: ReddeningLaw
    test: TestScore
    rounds: tuple[Round, ...]
    converged: bool
    label_mag: FloatArray
    offsets: OffsetState


def model_magnitudes(colour0_mag: FloatArray, law: ReddeningLaw, seen: Observations) -> FloatArray:
    """Return u_mod = G_BP + C0 + R E by detection (Eq. 2); `colour0_mag` is by star."""
    colour0 = colour0_mag[seen.star]
    return np.asarray(
        seen.reference_mag + colour0 + law.ratio(colour0, seen.extinction) * seen.extinction
    )


def star_colours(corrected_mag: FloatArray, ratio: FloatArray, seen: Observations) -> FloatArray:
    """Return the intrinsic colour of each control star, NaN for the others, shape (s,).

    The mean over a star's control detections of (mag - G_BP) - R E, weighted by the
    inverse square of the photometric errors: stars are trained on, not detections. A star
    none of whose detections is used any more keeps a colour, from all that it has.

    Parameters
    ----------
    corrected_mag, ratio : ndarray, shape (n,)
        Magnitudes with preliminary visit offsets, and R, by detection.
    """
    value = corrected_mag - seen.reference_mag - ratio * seen.extinction
    colour = _weighted_means(value, seen.teaching, seen)
    missing = np.isnan(colour)
    if missing.any():
        colour[missing] = _weighted_means(value, seen.in_control, seen)[missing]
    return colour


def _weighted_means(
    value: FloatArray, kept: npt.NDArray[np.bool_], seen: Observations
) -> FloatArray:
    weight = seen.mag_err[kept] ** -2.0
    total = np.bincount(seen.star[kept], weights=weight * value[kept], minlength=seen.stars)
    with np.errstate(invalid="ignore"):
        return total / np.bincount(seen.star[kept], weights=weight, minlength=seen.stars)


class OffsetState(Protocol):
    """Offsets of the visits as they stand; frozen, so that each round gives a new one."""

    @property
    def offset_mag(self) -> FloatArray:
        """Offset of each detection, less the mean over the training detections, shape (n,)."""

    @property
    def change_mag(self) -> float:
        """Largest change of a visit's offset since the round before."""

    @property
    def used(self) -> npt.NDArray[np.bool_]:
        """Detections that the next round uses, shape (n,)."""

    def update_offsets(self, model_mag: FloatArray, colour0_mag: FloatArray) -> OffsetState:
        """Return the offsets found with model magnitudes (n,) and colours of stars (s,)."""


@dataclass(frozen=True)
class VisitMeans:
    """The mean difference of each visit less that of the control detections (paper, step iii).

    Attributes
    ----------
    observations : Observations
    visit_mag : ndarray, shape (v,)
    change_mag : float
    """

    observations: Observations
    visit_mag: FloatArray
    change_mag: float = float("inf")

    @classmethod
    def start(cls, observations: Observations) -> VisitMeans:
        """Return offsets of zero."""
        return cls(observations, np.zeros(int(observations.visit.max()) + 1))

    @property
    def offset_mag(self) -> FloatArray:
        """Offset of each detection, shape (n,)."""
        return np.asarray(self.visit_mag[self.observations.visit])

    @property
    def used(self) -> npt.NDArray[np.bool_]:
        """All detections that the observations name, shape (n,)."""
        return self.observations.used

    def update_offsets(self, model_mag: FloatArray, colour0_mag: FloatArray) -> VisitMeans:
        """Return the means with other model magnitudes, shape (n,); colours play no part."""
        observations = self.observations
        delta = model_mag - observations.mag
        count = np.bincount(observations.visit)
        mean = np.bincount(observations.visit, weights=delta) / np.maximum(count, 1)
        moved = mean - delta[observations.teaching].mean()
        change = float(np.max(np.abs(moved - self.visit_mag)))
        return replace(self, visit_mag=moved, change_mag=change)


class Iteration:
    """The state that moves from round to round.

    Parameters
    ----------
    seen : Observations
    predictor : ColourPredictor
        Predicts all stars from control stars' colours.
    settings : IterationSettings
    offsets : OffsetState
        What the offsets start from.
    report : callable
        Called with each round.
    """

    def __init__(
        self,
        seen: Observations,
        predictor: ColourPredictor,
        settings: IterationSettings,
        offsets: OffsetState,
        report: Callable[[Round], None],
    ) -> None:
        self._seen, self._predictor, self._settings = seen, predictor, settings
        self.offsets, self._report = offsets, report
        self.law = constant_law(settings.law.start, settings.law.order)
        self.colour0_mag = np.zeros(seen.stars)
        self.offset_mag = np.zeros(len(seen.mag))
        self.rounds: list[Round] = []

    def labels(self) -> FloatArray:
        """Return the control stars' colours with the present law and visit offsets."""
        ratio = self.law.ratio(self.colour0_mag[self._seen.star], self._seen.extinction)
        corrected = self._seen.mag + self.offset_mag
        return star_colours(corrected, ratio, self._seen)

    def magnitudes(self) -> FloatArray:
        """Return the present model magnitudes by detection."""
        return model_magnitudes(self.colour0_mag, self.law, self._seen)

    def settle_law(self, number: int) -> None:
        """Alternate steps i and ii until R settles; the structure is grown in the first."""
        settings = self._settings.law
        for law_round in range(1, settings.max_rounds + 1):
            effort = self._effort(number, law_round)
            self.colour0_mag = self._predictor.predict(self.labels(), effort)
            change = self._refit_law(effort)
            self._note(Round(number, law_round, change, None))
            if change < settings.tolerance:
                break

    def settle_visits(self, number: int) -> float:
        """Do step iii once and return the largest change of a visit offset."""
        self.offsets = self.offsets.update_offsets(self.magnitudes(), self.colour0_mag)
        self.offset_mag = self.offsets.offset_mag
        self._seen = replace(self._seen, used=self.offsets.used)
        self._note(Round(number, 0, None, self.offsets.change_mag))
        return self.offsets.change_mag

    def only_trend(self, number: int) -> bool:
        """Return whether a round has the trend alone: the visits' errors are still large."""
        return number == 1 and self._predictor.has_trend

    def _effort(self, number: int, law_round: int) -> Effort:
        if self.only_trend(number):
            return "trend"
        return "grow" if law_round == 1 and number <= self._settings.regrow_rounds else "hold"

    def _refit_law(self, effort: Effort) -> float:
        seen, used = self._seen, self._seen.used
        # An order that is chosen anew each time could swing between two, and never settle.
        settings = self._settings.law
        if effort == "hold" and self.law.scores:
            settings = held_order(settings, self.law)
        colour0 = self.colour0_mag[seen.star]
        excess = seen.mag - seen.reference_mag - colour0
        law = fit_law(
            colour0[used],
            seen.extinction[used],
            excess[used],
            seen.visit[used],
            settings,
            seen.fields.take(used) if seen.fields is not None else None,
            seen.star[used],
        )
        law = replace(law, scores=law.scores or self.law.scores)
        change = largest_change(law, self.law, self.colour0_mag, settings, seen.extinction)
        self.law = law
        return change

    def _note(self, done: Round) -> None:
        self.rounds.append(done)
        self._report(done)


def no_law() -> ReddeningLaw:
    """Return the law of colours that are reddened already: R = 0, without an error."""
    return ReddeningLaw(np.zeros(1), np.zeros((1, 1)), 0.0)


def settle_known(
    seen: Observations,
    colour_mag: FloatArray,
    test: IntArray,
    settings: IterationSettings,
    report: Callable[[Round], None],
    offsets: OffsetState | None = None,
) -> ModelMagnitudes:
    """Settle visit offsets where the stars' observed colours are known: nothing is trained.

    Model magnitudes are the reference magnitude plus the colour; the law is held at zero.

    Parameters
    ----------
    seen : Observations
    colour_mag : ndarray, shape (s,)
        Observed colours, reddened as the stars are.
    test : ndarray of int
        Stars that judge the colours.
    settings : IterationSettings
    report : callable
        Called with each round.
    offsets : OffsetState, optional
        What the offsets start from; by default the paper's means by visit.
    """
    law, rounds, converged = no_law(), [], False
    offsets = offsets or VisitMeans.start(seen)
    model_mag = model_magnitudes(colour_mag, law, seen)
    offset_mag = np.zeros(len(seen.mag))
    for number in range(1, settings.max_rounds + 1):
        offsets = offsets.update_offsets(model_mag, colour_mag)
        offset_mag = offsets.offset_mag
        seen = replace(seen, used=offsets.used)
        rounds.append(Round(number, 0, None, offsets.change_mag))
        report(rounds[-1])
        if offsets.change_mag < settings.tolerance_mag:
            converged = True
            break
    labels = star_colours(seen.mag + offset_mag, np.zeros(len(seen.mag)), seen)
    judged = test[np.isfinite(labels[test])]
    return ModelMagnitudes(
        colour0_mag=colour_mag,
        model_mag=model_mag,
        law=law,
        test=score(colour_mag[judged], labels[judged]),
        rounds=tuple(rounds),
        converged=converged,
        label_mag=labels,
        offsets=offsets,
    )


def iterate(
    seen: Observations,
    predictor: ColourPredictor,
    plan: TrainingPlan,
    settings: IterationSettings,
    report: Callable[[Round], None],
    offsets: OffsetState | None = None,
) -> ModelMagnitudes:
    """Alternate colour model, reddening law and visit offsets until they settle.

    Parameters
    ----------
    seen : Observations
    predictor : ColourPredictor
        Predicts all stars from control stars' colours.
    plan : TrainingPlan
        Names the test stars.
    settings : IterationSettings
    report : callable
        Called with each round.
    offsets : OffsetState, optional
        What the offsets start from; by default the paper's means by visit.

    Raises
    ------
    CalibrationError
        If the reddening law cannot be fitted.
    """
    state = Iteration(seen, predictor, settings, offsets or VisitMeans.start(seen), report)
    converged = False
    for number in range(1, settings.max_rounds + 1):
        state.settle_law(number)
        change = state.settle_visits(number)
        if change < settings.tolerance_mag and not state.only_trend(number):
            converged = True
            break
    labels = state.labels()
    return ModelMagnitudes(
        colour0_mag=state.colour0_mag,
        model_mag=state.magnitudes(),
        law=state.law,
        test=score(state.colour0_mag[plan.test], labels[plan.test]),
        rounds=tuple(state.rounds),
        converged=converged,
        label_mag=labels,
        offsets=state.offsets,
    )
