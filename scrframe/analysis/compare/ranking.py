"""Scores of backends, differences of two on the same stars, and the ranking of many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import numpy as np
from scipy import stats

from scrframe.analysis.compare.evaluation import BackendEvaluation
from scrframe.analysis.compare.offsets import LevelErrors
from scrframe.analysis.compare.result import (
    FOLD_KINDS,
    BackendResult,
    BackendScores,
    Difference,
    OffsetError,
    Pair,
    ResidualTable,
)
from scrframe.analysis.compare.scores import binned, conformal_errors, coverage, disperse
from scrframe.analysis.compare.training_set import ControlStars, TrainingSet
from scrframe.arrays import FloatArray, IntArray
from scrframe.statistics.robust import Statistic, drawn, statistic_of

#: Statistics of the residuals that backends are compared by.
STATISTICS: tuple[Statistic, ...] = ("sd", "mad")
#: Whose value decides the ranking: blocked folds ask what a new field would.
RANKED = "blocked"
Ranking = tuple[tuple[str, ...], ...]
PairDifferences = dict[tuple[str, str], Difference]


def paired(
    first: FloatArray,
    second: FloatArray,
    group: IntArray,
    statistic: Statistic = "sd",
    draws: int = 1000,
    seed: int = 1,
    level: float = 0.95,
) -> Difference:
    """Compare the residuals of two backends.

    The statistic is taken by seed and averaged. Its variance is that over draws of groups, plus
    the scatter of the difference between seeds over their number; the interval is Student's,
    with Welch and Satterthwaite's degrees of freedom. The scatter within groups counts in both,
    which errs to the safe side. With one seed, what other seeds would give is not known.

    Parameters
    ----------
    first, second : ndarray, shape (n,) or (seeds, n)
        Residuals of the same stars (or visits ...) in the same order; all finite.
    group : ndarray of int64, shape (n,)
        Sky cell or visit: what is drawn as a whole, the same for both backends.
    statistic : {"sd", "mad", "rms"}
    draws : int
        Of the bootstrap, which gives the variance.
    seed : int
        Of the draws; nothing else decides them, so that further backends change nothing.
    level : float
        Of the interval.
    """
    one, two = (_Sample.of(residual, group, statistic, draws, seed) for residual in (first, second))
    estimate = one.less(two)
    low, high = estimate.interval(level)
    return Difference.of(estimate.value, low, high, low > 0 or high < 0)


def rank(
    residuals: Mapping[str, FloatArray],
    group: IntArray,
    statistic: Statistic = "sd",
    draws: int = 1000,
    seed: int = 1,
    level: float = 0.95,
) -> tuple[Ranking, PairDifferences]:
    """Rank backends as far as the data tell them apart.

    Parameters
    ----------
    residuals : mapping of str to ndarray, shape (n,) or (seeds, n)
        By name of backend.
    group, statistic, draws, seed :
        As for `paired`.
    level : float
        Chance that, of backends that are all alike, no pair is told apart (Holm 1979).

    Returns
    -------
    ranking : tuple of tuple of str
        Best first. Each backend of a group is told apart from each of every other group; within
        a group they stand in the order of their statistic.
    pairs : dict of (str, str) to Difference
        Each pair once, the one with the smaller statistic first; the verdict is Holm's, the
        interval that of a single pair.
    """
    samples = {
        name: _Sample.of(residual, group, statistic, draws, seed)
        for name, residual in residuals.items()
    }
    order = sorted(samples, key=lambda name: (float(samples[name].by_seed.mean()), name))
    estimates = {(one, two): samples[one].less(samples[two]) for one, two in combinations(order, 2)}
    # A chance below 1 - level of any by mistake (Holm 1979).
    chances = {pair: one.chance() for pair, one in estimates.items()}
    by_chance = sorted(chances, key=lambda pair: chances[pair])
    apart: set[tuple[str, str]] = set()
    for tested, pair in enumerate(by_chance):
        if chances[pair] > (1 - level) / (len(by_chance) - tested):
            break
        apart.add(pair)
    pairs = {
        pair: Difference.of(one.value, *one.interval(level), pair in apart)
        for pair, one in estimates.items()
    }
    return _groups(order, apart), pairs


@dataclass(frozen=True)
class _Sample:
    """A statistic by seed, shape (seeds,), and under the draws, shape (draws,)."""

    by_seed: FloatArray
    by_draw: FloatArray
    groups: int

    @classmethod
    def of(
        cls, residual: FloatArray, group: IntArray, statistic: Statistic, draws: int, seed: int
    ) -> _Sample:
        residual = np.atleast_2d(np.asarray(residual, dtype=np.float64))
        if not np.all(np.isfinite(residual)):
            raise ValueError("residuals to compare must be finite")
        found, index = np.unique(group, return_inverse=True)
        by_draw = drawn(residual, index, statistic, draws, seed)
        return cls(statistic_of(residual, statistic), by_draw, len(found))

    def less(self, other: _Sample) -> _Estimate:
        """Return the difference of the statistics with its error."""
        by_seed = self.by_seed - other.by_seed
        value, seeds = float(by_seed.mean()), len(by_seed)
        if self.groups < 2:
            return _Estimate(value, np.nan, 1.0)
        of_groups = float(np.var(self.by_draw - other.by_draw, ddof=1))
        of_groups *= self.groups / (self.groups - 1)
        of_seeds = float(np.var(by_seed, ddof=1)) / seeds if seeds > 1 else 0.0
        total = of_groups + of_seeds
        if not total > 0:
            return _Estimate(value, 0.0, 1.0)
        share = of_seeds / total
        inverse = (1 - share) ** 2 / (self.groups - 1) + share**2 / max(seeds - 1, 1)
        return _Estimate(value, float(np.sqrt(total)), 1 / inverse)


@dataclass(frozen=True)
class _Estimate:
    """A difference, its standard error, and the degrees of freedom of the error."""

    value: float
    err: float
    freedom: float

    def interval(self, level: float) -> tuple[float, float]:
        """Return the limits of the interval of a level."""
        half = float(stats.t.ppf(0.5 + level / 2, self.freedom)) * self.err
        return self.value - half, self.value + half

    def chance(self) -> float:
        """Return the chance of a difference as large, either way, where there is none."""
        if self.err == 0:
            return float(self.value == 0)
        if not self.err > 0:
            return 1.0
        return float(2 * stats.t.sf(abs(self.value) / self.err, self.freedom))


def _groups(order: list[str], apart: set[tuple[str, str]]) -> Ranking:
    """Cut an order where every backend before is told apart from every one after."""
    cuts = [
        i
        for i in range(1, len(order))
        if all((one, two) in apart for one in order[:i] for two in order[i:])
    ]
    bounds = [0, *cuts, len(order)]
    return tuple(tuple(order[i:j]) for i, j in pairwise(bounds) if i < j)


@dataclass(frozen=True)
class Evaluations:
    """The backends without fault, and what their scores follow from."""

    by_name: Mapping[str, BackendEvaluation]
    training: TrainingSet
    stars: ControlStars
    #: By backend and level.
    offset_errors: Mapping[str, Mapping[str, LevelErrors]]
    #: The backend that differences are taken against, which may itself be at fault.
    reference: str

    def predicted_mag(self, name: str, kind: str) -> FloatArray:
        """Return a backend's predictions held out in one kind of folds, shape (seeds, n)."""
        held_out = self.by_name[name].held_out
        return np.stack([colour for (each, _), colour in held_out.items() if each == kind])

    def residual_mag(self, name: str, kind: str) -> FloatArray:
        """Return these predictions less what was observed, shape (seeds, n)."""
        return self.predicted_mag(name, kind) - self.training.colour_mag

    def err_mag(self, name: str, kind: str) -> FloatArray:
        """Return conformal errors of the first seed's predictions, shape (n,)."""
        predicted, fold = self.predicted_mag(name, kind)[0], self.training.folds[0].of(kind)
        residual = predicted - self.training.colour_mag
        return conformal_errors(residual, fold, self.stars.likeness(predicted))

    def with_scores(self, result: BackendResult) -> BackendResult:
        """Return a result with the scores of its backend, as it is if that is at fault."""
        name, reference = result.name, self.reference
        if name not in self.by_name:
            return result
        result = replace(
            result,
            folds={kind: self._scores(name, kind) for kind in FOLD_KINDS},
            offsets={
                level: OffsetError(level, float(np.sqrt(np.mean(error**2))), len(error))
                for level, each in self.offset_errors[name].items()
                if len(error := each.error_mag)
            },
        )
        if name == reference or reference not in self.by_name:
            return result
        return replace(result, against_reference=self._against_reference(name))

    def _scores(self, name: str, kind: str) -> BackendScores:
        predicted, observed = self.predicted_mag(name, kind), self.training.colour_mag
        residual = predicted - observed
        variables = {"predicted_colour": predicted.mean(axis=0), **self.stars.columns}
        own = self.by_name[name].err_mag if kind == RANKED else None
        return BackendScores(
            dispersion=disperse(predicted, observed),
            by_seed=tuple(disperse(each, observed) for each in predicted),
            trends={
                variable: binned(residual, value, variable, block=self.stars.block)
                for variable, value in variables.items()
            },
            coverage=coverage(residual[0], self.err_mag(name, kind)),
            own_coverage=None if own is None else coverage(residual[0], own),
        )

    def _against_reference(self, name: str) -> dict[str, Difference]:
        """Return the differences of one backend against the reference, by figure."""
        seed, found = self.training.seed, {}
        for kind in FOLD_KINDS:
            pair = self.residual_mag(name, kind), self.residual_mag(self.reference, kind)
            for statistic in STATISTICS:
                found[f"{kind}_{statistic}"] = paired(*pair, self.stars.block, statistic, seed=seed)
        for level, mine in self.offset_errors[name].items():
            theirs = self.offset_errors[self.reference][level].error_mag
            found[f"offset_{level}"] = paired(mine.error_mag, theirs, mine.group, "rms", seed=seed)
        return found

    def ranked(self) -> tuple[Ranking, tuple[Pair, ...]]:
        """Return groups of backends that are not told apart, best first, and the differences."""
        residuals = {name: self.residual_mag(name, RANKED) for name in self.by_name}
        groups, pairs = rank(residuals, self.stars.block, seed=self.training.seed)
        return groups, tuple(Pair(*names, difference) for names, difference in pairs.items())

    def residual_tables(self) -> dict[str, ResidualTable]:
        """Return the control stars as each backend predicts them, by the first blocked folds."""
        known = self.reference in self.by_name
        binned_by = self.reference if known else next(iter(self.by_name))
        colour, columns = self.predicted_mag(binned_by, RANKED)[0], self.stars.columns
        return {
            name: ResidualTable(
                self.training.colour_mag,
                self.predicted_mag(name, RANKED)[0],
                self.err_mag(name, RANKED),
                columns["reference_mag"],
                columns["extinction"],
                colour,
                columns["ra"],
                columns["dec"],
            )
            for name in self.by_name
        }
