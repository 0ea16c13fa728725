"""The terms of a joint solution that the data choose: from a description's candidates to levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from scrframe.arrays import BoolArray
from scrframe.config.plugin_blocks import LevelBlock
from scrframe.errors import ConfigError, DataError
from scrframe.observer import Observer
from scrframe.offsets.joint.problem import Estimate, JointProblem
from scrframe.offsets.terms.selection import (
    CandidateTerm,
    Selection,
    Trial,
    patches,
    select_terms,
)
from scrframe.plugin import OffsetLevel
from scrframe.run.plugins import SelectedPlugins
from scrframe.tables import Detections, FittedLevel, MatchedStars

#: Makes the problem of some of the detections, shape (n,), with levels prepared on these.
MakeProblem = Callable[[BoolArray], JointProblem]


@dataclass(frozen=True)
class ChosenTerms:
    """What the data chose among a description's candidates.

    Attributes
    ----------
    blocks : tuple of LevelBlock
        The terms that were kept, at their scales, as a description would name them.
    trials : tuple of Trial
    skipped : mapping of str to str
        Candidates that could not be tried, and why.
    """

    blocks: tuple[LevelBlock, ...]
    trials: tuple[Trial, ...]
    skipped: dict[str, str]

    def record(self) -> dict[str, Any]:
        """Return what summary.json says of the choice."""
        return {
            "kept": [block.name for block in self.blocks],
            "tried": [asdict(trial) for trial in self.trials],
            "skipped": self.skipped,
        }


def choose_terms(
    plugins: SelectedPlugins,
    sample: MatchedStars,
    table: Detections,
    used: BoolArray,
    make: MakeProblem,
    start: Estimate | None,
    observer: Observer,
) -> ChosenTerms:
    """Try the candidates of a description on a sample.

    Parameters
    ----------
    plugins : SelectedPlugins
    sample : MatchedStars
    table : Detections
        Its n detections, with every column that a candidate reads where the survey has it.
    used : ndarray of bool, shape (n,)
        Who takes part.
    make : callable
    start : Estimate or None
        Variances and noise without the candidates.
    observer : Observer
        Is notified of each trial.
    """
    rules = plugins.survey.offsets.terms
    blocks = {block.name: block for block in plugins.survey.offsets.candidates()}
    if rules is None or not blocks:
        return ChosenTerms((), (), {})
    rows = np.flatnonzero(used)
    inside = patches(table["star_ra"][rows], table["star_dec"][rows], rules.rules.detections)
    part = np.zeros(len(used), dtype=bool)
    part[rows[inside]] = True
    seen = replace(sample, detections=table.filter(part), star=sample.star[part])
    candidates, skipped = _prepare(plugins, tuple(blocks.values()), seen)
    problem = make(part)
    found = select_terms(
        problem,
        _fields(problem.table),
        candidates,
        rules.rules,
        lambda trial: observer.message(describe_trial(trial)),
        start,
    )
    kept = tuple(_chosen_block(blocks[level.name], level, found) for level in found.levels)
    return ChosenTerms(kept, found.trials, skipped)


def _prepare(
    plugins: SelectedPlugins, blocks: Sequence[LevelBlock], sample: MatchedStars
) -> tuple[list[CandidateTerm], dict[str, str]]:
    """Prepare what the data have the columns for."""
    candidates, skipped = [], {}
    for block in blocks:
        kind = plugins.registry.get(OffsetLevel, block.kind)
        missing = [name for name in kind.needs(block.settings) if name not in sample.detections]
        if missing:
            skipped[block.name] = f"the survey has no column {', '.join(missing)}"
            continue
        try:
            level = kind.prepare(block.name, sample, block.settings)
        except (ConfigError, DataError) as error:
            skipped[block.name] = str(error)
            continue
        if level.precision() is None:
            raise ConfigError(
                f"offsets.terms.candidates: {block.name} has no prior; a term that may be left"
                " out needs one (prior: random)"
            )
        candidates.append(CandidateTerm(level, block.sd))
    return candidates, skipped


def _fields(table: Detections) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the code of each detection's field, or of its visit where fields have no names."""
    codes, labels = table.codes("field" if "field" in table else "visit")
    if not any(labels):
        codes = table.codes("visit")[0]
    return np.asarray(codes, dtype=np.int64)


def _chosen_block(block: LevelBlock, level: FittedLevel, found: Selection) -> LevelBlock:
    """Return a candidate's block at the chosen scale, with the standard deviation found."""
    settings = type(block.settings).model_validate(
        {**block.settings.model_dump(mode="json"), **level.own_settings()}
    )
    plugins = {**block.plugins, block.kind: settings}
    return block.model_copy(
        update={"plugins": plugins, "sd": found.sd_mag[block.name], "mode": "joint"}
    )


def describe_trial(trial: Trial) -> str:
    """Return one line about a trial."""
    name = f"{trial.name} ({trial.variant})" if trial.variant else trial.name
    line = f"  term {name}: gain {trial.gain:.1f} of {trial.threshold:.1f} asked"
    if trial.verdict is not None:
        before, after = 1000 * trial.verdict.before_mag, 1000 * trial.verdict.after_mag
        line += (
            f", {trial.verdict.overlaps} held-out overlaps predicted within {after:.1f} mmag"
            f" ({before:.1f} without)"
        )
    return f"{line}: {trial.reason}"
