"""From what backends predicted to figures, differences and a ranking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from scrframe.analysis.compare.backend import Judged, Lesson
from scrframe.analysis.compare.figures.data import ResidualTable
from scrframe.analysis.compare.offsets import LevelErrors
from scrframe.analysis.compare.paired import Difference, paired, rank
from scrframe.analysis.compare.result import (
    FOLD_KINDS,
    BackendResult,
    BackendScores,
    OffsetError,
    Pair,
)
from scrframe.analysis.compare.scores import binned, conformal_errors, coverage, disperse
from scrframe.arrays import FloatArray, IntArray
from scrframe.statistics.bootstrap import Statistic
from scrframe.tables import MatchedStars

#: Statistics of the residuals that backends are compared by.
STATISTICS: tuple[Statistic, ...] = ("sd", "mad")
#: Whose value decides the ranking: blocked folds ask what a new field would.
RANKED = "blocked"


@dataclass(frozen=True)
class ControlStars:
    """What is known of the n control stars besides their colour.

    Attributes
    ----------
    columns : mapping of str to ndarray, shape (n,)
        Variables that residuals are plotted against: ``reference_mag``, ``extinction``,
        ``ra``, ``dec`` and, where the catalogue has it, ``xp_snr``.
    block : ndarray of int64, shape (n,)
        Cell of the sky of each star.
    """

    columns: Mapping[str, FloatArray]
    block: IntArray

    def likeness(self, predicted_mag: FloatArray) -> FloatArray:
        """Return what a star's error may depend on, shape (n, k)."""
        known = [self.columns[name] for name in ("reference_mag", "xp_snr") if name in self.columns]
        return np.column_stack([*known, predicted_mag])


def control_columns(sample: MatchedStars, control: IntArray) -> dict[str, FloatArray]:
    """Return the variables of control stars, by rows of the stars."""
    stars = sample.stars
    names = {"reference_mag": "reference_mag", "extinction": "extinction"}
    names |= {"ra": "ref_ra", "dec": "ref_dec"}
    found = {
        name: np.asarray(stars[source], dtype=float)[control] for name, source in names.items()
    }
    if "xp_snr" in sample.detections:
        seen, first = np.unique(sample.star, return_index=True)
        place = first[np.searchsorted(seen, control)]
        found["xp_snr"] = np.asarray(sample.detections["xp_snr"], dtype=float)[place]
    return found


def all_seeds(judged: Judged, kind: str) -> FloatArray:
    """Return the held-out predictions of one kind of folds, shape (seeds, n)."""
    return np.stack([held for (each, _), held in judged.held_out.items() if each == kind])


def first_errors(judged: Judged, lesson: Lesson, stars: ControlStars, kind: str) -> FloatArray:
    """Return conformal errors of the first seed's predictions, shape (n,), in mag."""
    predicted = judged.held_out[kind, 0]
    return conformal_errors(
        predicted - lesson.colour_mag, lesson.folds[0].of(kind), stars.likeness(predicted)
    )


def figures(judged: Judged, lesson: Lesson, stars: ControlStars) -> dict[str, BackendScores]:
    """Return the figures of one backend by kind of folds."""
    return {kind: _figures(judged, lesson, stars, kind) for kind in FOLD_KINDS}


def _figures(judged: Judged, lesson: Lesson, stars: ControlStars, kind: str) -> BackendScores:
    predicted = all_seeds(judged, kind)
    residual = predicted - lesson.colour_mag
    variables = {"predicted_colour": predicted.mean(axis=0), **stars.columns}
    own = judged.err_mag if kind == RANKED else None
    return BackendScores(
        dispersion=disperse(predicted, lesson.colour_mag),
        by_seed=tuple(disperse(each, lesson.colour_mag) for each in predicted),
        trends={
            name: binned(residual, value, name, block=stars.block)
            for name, value in variables.items()
        },
        coverage=coverage(residual[0], first_errors(judged, lesson, stars, kind)),
        own_coverage=None if own is None else coverage(residual[0], own),
    )


def offset_errors(errors: Mapping[str, LevelErrors]) -> dict[str, OffsetError]:
    """Return the root mean square errors by level."""
    return {
        level: OffsetError(level, float(np.sqrt(np.mean(each.error_mag**2))), len(each.error_mag))
        for level, each in errors.items()
        if len(each.error_mag)
    }


def against(
    judged: Judged,
    reference: Judged,
    lesson: Lesson,
    stars: ControlStars,
    offsets: tuple[Mapping[str, LevelErrors], Mapping[str, LevelErrors]],
    seed: int,
) -> dict[str, Difference]:
    """Return the differences of one backend against the reference, by figure.

    Parameters
    ----------
    judged, reference : Judged
    lesson : Lesson
    stars : ControlStars
    offsets : pair of mappings of str to LevelErrors
        Of the backend and of the reference.
    seed : int
        Of the bootstrap.
    """
    found: dict[str, Difference] = {}
    for kind in FOLD_KINDS:
        first = all_seeds(judged, kind) - lesson.colour_mag
        second = all_seeds(reference, kind) - lesson.colour_mag
        for statistic in STATISTICS:
            found[f"{kind}_{statistic}"] = paired(
                first, second, stars.block, statistic=statistic, seed=seed
            )
    mine, theirs = offsets
    for level in mine:
        one, other = mine[level], theirs[level]
        found[f"offset_{level}"] = paired(
            one.error_mag, other.error_mag, one.group, statistic="rms", seed=seed
        )
    return found


def ranked(
    judged: Mapping[str, Judged], lesson: Lesson, stars: ControlStars, seed: int
) -> tuple[tuple[tuple[str, ...], ...], tuple[Pair, ...]]:
    """Return groups of backends that are not told apart, best first, and the differences."""
    residuals = {name: all_seeds(each, RANKED) - lesson.colour_mag for name, each in judged.items()}
    groups, pairs = rank(residuals, stars.block, seed=seed)
    named = (Pair(first, second, found) for (first, second), found in pairs.items())
    return groups, tuple(named)


@dataclass(frozen=True)
class Found:
    """What was found of the backends without fault.

    Attributes
    ----------
    good : mapping of str to Judged
    lesson : Lesson
    stars : ControlStars
    errors : mapping of str to mapping of str to LevelErrors
        Of the offsets, by backend and level.
    reference : str
        The backend that differences are taken against, which may itself be at fault.
    """

    good: Mapping[str, Judged]
    lesson: Lesson
    stars: ControlStars
    errors: Mapping[str, Mapping[str, LevelErrors]]
    reference: str

    def with_figures(self, result: BackendResult) -> BackendResult:
        """Return a result with the figures of its backend, as it is if that is at fault."""
        name, reference = result.name, self.reference
        if name not in self.good:
            return result
        mine = self.good[name]
        result = replace(
            result,
            folds=figures(mine, self.lesson, self.stars),
            offsets=offset_errors(self.errors[name]),
        )
        if name == reference or reference not in self.good:
            return result
        offsets = self.errors[name], self.errors[reference]
        found = against(
            mine, self.good[reference], self.lesson, self.stars, offsets, self.lesson.seed
        )
        return replace(result, against_reference=found)


def residual_tables(
    good: Mapping[str, Judged], lesson: Lesson, stars: ControlStars, reference: str
) -> dict[str, ResidualTable]:
    """Return the control stars as each backend predicts them, by the first blocked folds."""
    middle = good[reference] if reference in good else next(iter(good.values()))
    colour = all_seeds(middle, RANKED)[0]
    columns = stars.columns
    return {
        name: ResidualTable(
            lesson.colour_mag,
            all_seeds(each, RANKED)[0],
            first_errors(each, lesson, stars, RANKED),
            columns["reference_mag"],
            columns["extinction"],
            colour,
            columns["ra"],
            columns["dec"],
        )
        for name, each in good.items()
    }
