"""From what backends predicted to the results that are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from scrframe.compare.result import BackendResult
from scrframe.pipeline.compare_backend import Judged, Lesson
from scrframe.pipeline.compare_offsets import LevelErrors
from scrframe.pipeline.compare_scores import (
    RANKED,
    ControlStars,
    against,
    all_seeds,
    figures,
    first_errors,
    offset_errors,
)
from scrframe.report.compare_data import ResidualTable


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
