"""The iteration of colour model, reddening law and visit offsets (paper, steps i to iii)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scrframe.arrays import FloatArray, IntArray
from scrframe.scr.observations import (
    Observations,
    OffsetState,
    VisitMeans,
    model_magnitudes,
    star_colours,
)
from scrframe.scr.reddening_law import constant_law, fit_law, held_order, largest_change
from scrframe.scr.training import ColourPredictor, Effort, TestScore, TrainingPlan, score
from scrframe.tables import ReddeningLaw
from scrframe.tables.settings import ReddeningSettings

#: Rounds without a smaller change of the visit offsets than before them, after which no more
#: are made: they swing, and will not settle.
PATIENCE = 5


@dataclass(frozen=True)
class IterationSettings:
    """When the iteration stops, and how often a linear model's structure is grown."""

    law: ReddeningSettings
    max_rounds: int
    tolerance_mag: float
    regrow_rounds: int

    def settled(self, changes_mag: Sequence[float]) -> bool | None:
        """Return whether the last of some changes ends the rounds, as settled; None if none does.

        Rounds go on as long as they gain.
        """
        if changes_mag[-1] < self.tolerance_mag:
            return True
        earlier, last = changes_mag[:-PATIENCE], changes_mag[-PATIENCE:]
        return False if earlier and min(last) >= min(earlier) else None


@dataclass(frozen=True)
class Round:
    """One round, for the record; law round 0 is the step that moves the visit offsets."""

    visit_round: int
    law_round: int
    law_change: float | None
    visit_change_mag: float | None


@dataclass(frozen=True)
class ModelMagnitudes:
    """What the iteration ends with."""

    #: Modelled intrinsic colour of each star. Shape (s,).
    colour0_mag: FloatArray
    #: u_mod of each detection (Eq. 2). Shape (n,).
    model_mag: FloatArray
    law: ReddeningLaw
    #: On the test stars, with the final labels.
    test: TestScore
    rounds: tuple[Round, ...]
    #: Whether the visit offsets settled within the tolerance.
    converged: bool
    #: Observed intrinsic colours of the control stars, with the final law and offsets; NaN for
    #: others. Shape (s,).
    label_mag: FloatArray
    #: The offsets of the last round.
    offsets: OffsetState


class Iteration:
    """The state that moves from round to round.

    Parameters
    ----------
    predictor : ColourPredictor
        Predicts all stars from control stars' colours.
    offsets : OffsetState
        What the offsets start from.
    report : callable
        Called with each round.
    """

    def __init__(
        self,
        observations: Observations,
        predictor: ColourPredictor,
        settings: IterationSettings,
        offsets: OffsetState,
        report: Callable[[Round], None],
    ) -> None:
        self._observations, self._predictor, self._settings = observations, predictor, settings
        self.offsets, self._report = offsets, report
        self.law = constant_law(settings.law.start, settings.law.order)
        self.colour0_mag = np.zeros(observations.stars)
        self.offset_mag = np.zeros(len(observations.mag))
        self.rounds: list[Round] = []

    def labels(self) -> FloatArray:
        """Return the control stars' colours with the present law and visit offsets."""
        ratio = self.law.ratio(
            self.colour0_mag[self._observations.star], self._observations.extinction
        )
        corrected = self._observations.mag + self.offset_mag
        return star_colours(corrected, ratio, self._observations)

    def magnitudes(self) -> FloatArray:
        """Return the present model magnitudes by detection."""
        return model_magnitudes(self.colour0_mag, self.law, self._observations)

    def iterate_law(self, number: int) -> None:
        """Alternate steps i and ii until R settles; the structure is grown in the first."""
        settings = self._settings.law
        for law_round in range(1, settings.max_rounds + 1):
            effort: Effort = "trend" if self.only_trend(number) else "hold"
            if effort == "hold" and law_round == 1 and number <= self._settings.regrow_rounds:
                effort = "grow"
            self.colour0_mag = self._predictor.predict(self.labels(), effort)
            change = self._refit_law(effort)
            self._note(Round(number, law_round, change, None))
            if change < settings.tolerance:
                break

    def update_offsets(self, number: int) -> float:
        """Do step iii once and return the largest change of a visit offset."""
        self.offsets = self.offsets.update_offsets(self.magnitudes(), self.colour0_mag)
        self.offset_mag = self.offsets.offset_mag
        self._observations = replace(self._observations, used=self.offsets.used)
        self._note(Round(number, 0, None, self.offsets.change_mag))
        return self.offsets.change_mag

    def only_trend(self, number: int) -> bool:
        """Return whether a round has the trend alone: the visits' errors are still large."""
        return number == 1 and self._predictor.has_trend

    def _refit_law(self, effort: Effort) -> float:
        observations, used = self._observations, self._observations.used
        # An order that is chosen anew each time could swing between two, and never settle.
        settings = self._settings.law
        if effort == "hold" and self.law.scores:
            settings = held_order(settings, self.law)
        colour0 = self.colour0_mag[observations.star]
        excess = observations.mag - observations.reference_mag - colour0
        law = fit_law(
            colour0[used],
            observations.extinction[used],
            excess[used],
            observations.visit[used],
            settings,
            observations.fields.take(used) if observations.fields is not None else None,
            observations.star[used],
        )
        law = replace(law, scores=law.scores or self.law.scores)
        change = largest_change(law, self.law, self.colour0_mag, settings, observations.extinction)
        self.law = law
        return change

    def _note(self, done: Round) -> None:
        self.rounds.append(done)
        self._report(done)


def no_law() -> ReddeningLaw:
    """Return the law of colours that are reddened already: R = 0, without an error."""
    return ReddeningLaw(np.zeros(1), np.zeros((1, 1)), 0.0)


def iterate_known(
    observations: Observations,
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
    colour_mag : ndarray, shape (s,)
        Observed colours, reddened as the stars are.
    test : ndarray of int
        Stars that judge the colours.
    report : callable
        Called with each round.
    offsets : OffsetState, optional
        What the offsets start from; by default the paper's means by visit.
    """
    law, rounds, converged = no_law(), [], False
    changes: list[float] = []
    offsets = offsets or VisitMeans.start(observations)
    model_mag = model_magnitudes(colour_mag, law, observations)
    offset_mag = np.zeros(len(observations.mag))
    for number in range(1, settings.max_rounds + 1):
        offsets = offsets.update_offsets(model_mag, colour_mag)
        offset_mag = offsets.offset_mag
        observations = replace(observations, used=offsets.used)
        rounds.append(Round(number, 0, None, offsets.change_mag))
        report(rounds[-1])
        changes.append(offsets.change_mag)
        if (settled := settings.settled(changes)) is not None:
            converged = settled
            break
    labels = star_colours(
        observations.mag + offset_mag, np.zeros(len(observations.mag)), observations
    )
    judged = test[np.isfinite(labels[test])]
    test_score = score(colour_mag[judged], labels[judged])
    return ModelMagnitudes(
        colour_mag, model_mag, law, test_score, tuple(rounds), converged, labels, offsets
    )


def iterate(
    observations: Observations,
    predictor: ColourPredictor,
    plan: TrainingPlan,
    settings: IterationSettings,
    report: Callable[[Round], None],
    offsets: OffsetState | None = None,
) -> ModelMagnitudes:
    """Alternate colour model, reddening law and visit offsets until they settle.

    Parameters
    ----------
    predictor : ColourPredictor
        Predicts all stars from control stars' colours.
    plan : TrainingPlan
        Names the test stars.
    report : callable
        Called with each round.
    offsets : OffsetState, optional
        What the offsets start from; by default the paper's means by visit.

    Raises
    ------
    CalibrationError
        If the reddening law cannot be fitted.
    """
    state = Iteration(
        observations, predictor, settings, offsets or VisitMeans.start(observations), report
    )
    converged, changes = False, list[float]()
    for number in range(1, settings.max_rounds + 1):
        state.iterate_law(number)
        change = state.update_offsets(number)
        if state.only_trend(number):
            continue
        changes.append(change)
        if (settled := settings.settled(changes)) is not None:
            converged = settled
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
