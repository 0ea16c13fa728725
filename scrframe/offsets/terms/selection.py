"""Terms are tried in a fixed order, and kept only if they earn it.

The model without any candidate is fitted until its variances have settled, those of the
stars' scatter among them: a scatter that is taken to be constant supports terms that are not
there. Each candidate is then tried on top of what was kept so far.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import stats

from scrframe.arrays import BoolArray, FloatArray
from scrframe.offsets.joint.fit import fit_design
from scrframe.offsets.joint.mixed_model import Design, MixedModel, build_design
from scrframe.offsets.joint.problem import Estimate, JointFit, JointProblem
from scrframe.offsets.terms.heldout import (
    MIN_OVERLAPS,
    Overlaps,
    Verdict,
    find_overlaps,
    judge,
    without_held,
)
from scrframe.offsets.terms.likelihood import (
    Fixed,
    Gain,
    WeightedData,
    extended,
    kept_gain,
    solved_with,
    term_gain,
)
from scrframe.statistics.sky import kd_partition
from scrframe.tables import FittedLevel, unit_vectors
from scrframe.tables.settings import TermRules

#: Compact parts of the sky of which a part of a large survey is made.
PATCHES = 8
#: Rounds of weights and variances once a term is kept: the final fit has as many as it takes.
REFIT_ROUNDS = 1
#: A kept term that gains so many times what is asked stays without a solve of the others alone.
CLEAR = 3.0
#: Scales beyond two that gain so much less than the best are not tried: they have no support.
UNLIKELY = 20.0
#: A term whose overlaps get worse by more standard deviations is left out.
WORSE = -1.0


@dataclass(frozen=True)
class CandidateTerm:
    """A term that may be kept.

    Attributes
    ----------
    level : FittedLevel
        At its middle scale, where it has several.
    start_mag : float
        Standard deviation from which the search begins.
    """

    level: FittedLevel
    start_mag: float


@dataclass(frozen=True)
class Trial:
    """What became of a candidate.

    Attributes
    ----------
    name : str
    variant : str
        What the best alternative is, such as its scale; else empty.
    gain, threshold : float
        Of twice the restricted log likelihood, and what was asked.
    sd_mag : float
        The best standard deviation.
    gains : mapping of str to float
        Gain by alternative that was tried.
    verdict : Verdict or None
        Of the overlaps; None where the gain decided, or overlaps are too few.
    kept : bool
    reason : str
        In words.
    """

    name: str
    variant: str
    gain: float
    threshold: float
    sd_mag: float
    gains: Mapping[str, float]
    verdict: Verdict | None
    kept: bool
    reason: str

    @property
    def refused(self) -> bool:
        """Whether the gain would do, and overlaps that were held out decided against it."""
        return self.gain > self.threshold and not self.kept


@dataclass(frozen=True)
class Selection:
    """Which candidates were kept.

    Attributes
    ----------
    levels : tuple of FittedLevel
        Those kept, in the order of their trial.
    sd_mag : mapping of str to float
        Their standard deviations.
    trials : tuple of Trial
        Of all.
    """

    levels: tuple[FittedLevel, ...] = ()
    sd_mag: Mapping[str, float] = field(default_factory=dict)
    trials: tuple[Trial, ...] = ()
    #: Each candidate at the best of its scales, by name.
    best: Mapping[str, FittedLevel] = field(default_factory=dict)
    #: Variances and noise with those kept; None without candidates.
    estimate: Estimate | None = None


#: Why a term that was kept is left out in the end.
SAID_BETTER = "the terms that were kept after it say it better"


def threshold(gain: float, tries: int) -> float:
    """Return the gain that one of several tries must show.

    A variance of 0 lies on the edge of what is allowed, so that twice the gain by chance is 0
    half of the time, and else distributed as chi^2 with one degree of freedom (Self & Liang
    1987, J. Am. Stat. Assoc. 82, 605). The chance of one of k tries is at most k times that.
    """
    chance = 0.5 * stats.chi2.sf(gain, 1)
    return float(stats.chi2.isf(2 * chance / max(tries, 1), 1))


def select_terms(
    problem: JointProblem,
    field_code: npt.NDArray[np.integer],
    candidates: Sequence[CandidateTerm],
    settings: TermRules,
    report: Callable[[Trial], None] | None = None,
    start: Estimate | None = None,
) -> Selection:
    """Try candidates in their order.

    Parameters
    ----------
    problem : JointProblem
        With the levels that are always there, and every column that a candidate reads.
    field_code : ndarray of int, shape (n,)
        Field of each detection, or its visit, from 0.
    candidates : sequence of CandidateTerm
    settings : TermRules
    report : callable, optional
        Told of each.
    start : Estimate, optional
        Variances and noise of an earlier fit without candidates.

    Raises
    ------
    CalibrationError
        As `fit_joint` does.
    """
    if not candidates:
        return Selection()
    search = _Search.begin(problem, field_code, start)
    trials: list[Trial] = []
    best: dict[str, FittedLevel] = {}
    for candidate in candidates:
        trial, best[candidate.level.name], search = search.try_candidate(candidate, settings)
        trials.append(trial)
        if report is not None:
            report(trial)
    for number, candidate in enumerate(candidates):
        # What lacked then may have spoilt the overlaps.
        if trials[number].refused and any(trial.kept for trial in trials[number + 1 :]):
            trials[number], best[candidate.level.name], search = search.try_candidate(
                candidate, settings
            )
            if report is not None:
                report(trials[number])
    for number, trial in enumerate(trials):
        if trial.kept and number < len(trials) - 1:
            trials[number], search = search.look_again(trial)
            if report is not None and not trials[number].kept:
                report(trials[number])
    sd_mag = {each.name: search.sd_mag[each.name] for each in search.kept}
    return Selection(search.kept, sd_mag, tuple(trials), best, search.fit.estimate)


def patches(star_ra_deg: FloatArray, star_dec_deg: FloatArray, most: int) -> BoolArray:
    """Return which detections lie in few compact patches of the sky, about `most` in all.

    Parameters
    ----------
    star_ra_deg, star_dec_deg : ndarray, shape (n,)
        Positions of the stars, so that all detections of a star are in or out.
    most : int
    """
    number = len(star_ra_deg)
    one_in = -(-number // most)
    if one_in <= 1:
        return np.ones(number, dtype=bool)
    place = unit_vectors(star_ra_deg, star_dec_deg)
    stars, of_star = np.unique(place, axis=0, return_inverse=True)
    part = kd_partition(stars, min(PATCHES * one_in, len(stars)))
    return np.asarray((part % one_in == 0)[of_star.ravel()])


@dataclass(frozen=True)
class _Search:
    """Where the search stands: the present fit, and what was kept."""

    problem: JointProblem
    overlaps: Overlaps
    design: Design
    fit: JointFit
    kept: tuple[FittedLevel, ...] = ()

    @classmethod
    def begin(
        cls, problem: JointProblem, field_code: npt.NDArray[np.integer], start: Estimate | None
    ) -> _Search:
        """Fit the model without candidates, until its variances settle."""
        settings = replace(problem.settings, exact_rounds=0)
        problem = replace(problem, settings=settings)
        design = _design(problem, ())
        if start is not None:
            start = replace(start, parameters=np.zeros(0))
        fit = fit_design(design, problem, start)
        overlaps = find_overlaps(problem.star, field_code, len(problem.covariates))
        return cls(problem, overlaps, design, fit)

    @property
    def sd_mag(self) -> Mapping[str, float]:
        """Standard deviations of all random terms so far."""
        return self.fit.estimate.sd_mag

    @property
    def _data(self) -> WeightedData:
        return WeightedData(self.problem.delta_mag, self.fit.weights, self.problem.settings.threads)

    @cached_property
    def _fixed(self) -> Fixed:
        """The present model, solved."""
        return Fixed.of_fit(self.fit, self._data)

    @cached_property
    def _cut(self) -> Fixed:
        """The same without the stars that are held out."""
        model, data = self.design.model, self._data
        cut = replace(data, weights=without_held(model, data.weights, self.overlaps))
        return Fixed.of(model, cut, self.sd_mag)

    def try_candidate(
        self, candidate: CandidateTerm, settings: TermRules
    ) -> tuple[Trial, FittedLevel, _Search]:
        """Return what became of a candidate, its best alternative, and the search after it."""
        levels = tuple(candidate.level.alternatives())
        found = gains_by_scale(
            levels,
            candidate.start_mag,
            lambda level, sd_mag: term_gain(self._fixed, level, self.problem.table, sd_mag),
        )
        limit = threshold(settings.gain, len(levels))
        gains = {variant(level): each.gain for level, each in found}
        level, gain = max(found, key=lambda tried: tried[1].gain)
        trial = Trial(
            level.name, variant(level), gain.gain, limit, gain.sd_mag, gains, None, False, ""
        )
        if not gain.gain > limit:
            return replace(trial, reason="the data do not ask for it"), level, self
        verdict = self._verdict(level, gain)
        if verdict is not None and verdict.significance < WORSE:
            reason = "overlaps that were held out are predicted worse with it"
            return replace(trial, verdict=verdict, reason=reason), level, self
        reason = "kept" if verdict is not None else "kept; too few overlaps to check it"
        kept = replace(trial, verdict=verdict, kept=True, reason=reason)
        return kept, level, self._with(level, gain)

    def look_again(self, trial: Trial) -> tuple[Trial, _Search]:
        """Drop a term that stood for others, which were kept after it."""
        level = next(each for each in self.kept if each.name == trial.name)
        if level is self.kept[-1]:
            return trial, self
        limit = trial.threshold
        # At the variances of the last solve; a narrow verdict waits for those that it has found.
        if kept_gain(self.fit, level.name) > CLEAR * limit:
            return trial, self
        rest = tuple(each for each in self.kept if each is not level)
        without = _design(self.problem, rest)
        fixed = Fixed.of(without.model, self._data, self.sd_mag)
        gain = term_gain(fixed, level, self.problem.table, self.sd_mag[level.name]).gain
        if gain > limit:
            return trial, self
        start = replace(self.fit.estimate, parameters=fixed.parameters)
        fit = fit_design(without, self.problem, start)
        return (
            replace(trial, gain=gain, kept=False, reason=SAID_BETTER),
            replace(self, design=without, fit=fit, kept=rest),
        )

    def _verdict(self, level: FittedLevel, gain: Gain) -> Verdict | None:
        """Cut the overlaps, solve with and without the term, and predict them."""
        if self.overlaps.number < MIN_OVERLAPS:
            return None
        data, cut = self._data, self._cut
        after = solved_with(cut, level, self.problem.table, gain.sd_mag)
        models = (
            (cut.model, cut.parameters),
            (extended(cut.model, level, self.problem.table), after),
        )
        return judge(self.overlaps, data.weights, data.delta_mag, *models)

    def _with(self, level: FittedLevel, gain: Gain) -> _Search:
        """Keep a term: weights, noise and variances follow."""
        kept = (*self.kept, level)
        design = _design(self.problem, kept)
        settings = replace(
            self.problem.settings,
            max_rounds=REFIT_ROUNDS,
            start_mag={**self.problem.settings.start_mag, level.name: gain.sd_mag},
        )
        problem = replace(self.problem, settings=settings)
        before = self.fit.estimate
        start = replace(
            before,
            parameters=_carried(
                gain.parameters,
                extended(self.design.model, level, self.problem.table),
                design.model,
            ),
            sd_mag={**before.sd_mag, level.name: gain.sd_mag},
        )
        return replace(
            self, problem=problem, design=design, fit=fit_design(design, problem, start), kept=kept
        )


def gains_by_scale(
    levels: Sequence[FittedLevel],
    start_mag: float,
    gain_of: Callable[[FittedLevel, float], Gain],
) -> list[tuple[FittedLevel, Gain]]:
    """Try alternatives from the coarsest, which cost least, to the finest that may be.

    Parameters
    ----------
    levels : sequence of FittedLevel
        The more columns one has, the finer it is.
    start_mag : float
        Where the search for the first one's standard deviation begins.
    gain_of : callable
        The gain of a level, from where the search for its standard deviation begins.
    """
    found: list[tuple[FittedLevel, Gain]] = []
    for level in sorted(levels, key=lambda each: each.labels().num_rows):
        gain = gain_of(level, start_mag)
        found.append((level, gain))
        start_mag = gain.sd_mag
        likely = max(each.gain for _, each in found) - UNLIKELY
        if len(found) > 2 and all(each.gain < likely for _, each in found[-2:]):
            break
    return found


def variant(level: FittedLevel) -> str:
    """Return in words what sets a level apart from its alternatives."""
    own = level.own_settings().items()
    return ", ".join(f"{key} {' '.join(map(str, np.atleast_1d(value)))}" for key, value in own)


def _design(problem: JointProblem, more: tuple[FittedLevel, ...]) -> Design:
    levels = (*problem.levels, *more)
    return build_design(levels, problem.table, problem.star, len(problem.covariates))


def _carried(parameters: FloatArray, old: MixedModel, new: MixedModel) -> FloatArray:
    """Return parameters of a model in the order of another with the same terms."""
    carried = np.zeros(new.width)
    places = {term.name: term.columns for term in old.terms}
    for term in new.terms:
        carried[term.columns] = parameters[places[term.name]]
    return carried
