"""The terms of a joint solution that the data choose: from a description's candidates to levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit

from scrframe.arrays import BoolArray, FloatArray
from scrframe.config.plugin_blocks import LevelBlock
from scrframe.errors import ConfigError, DataError
from scrframe.observer import Observer
from scrframe.offsets.joint.problem import Estimate, JointFit, JointProblem
from scrframe.offsets.joint.results import JointResults
from scrframe.offsets.terms.coherent import (
    CoherentScatter,
    coherent_scatter,
    with_free_visits,
)
from scrframe.offsets.terms.likelihood import Fixed, WeightedData, extended
from scrframe.offsets.terms.selection import (
    SAID_BETTER,
    CandidateTerm,
    Trial,
    patches,
    select_terms,
)
from scrframe.plugin import OffsetLevel
from scrframe.run.plugins import SelectedPlugins
from scrframe.tables import Detections, FittedLevel, MatchedStars
from scrframe.tables.table import derive

#: Terms are tried on about so many visits: memory grows with the square of a term's columns.
MOST_VISITS = 800
#: Trials that gain less are told in one line together.
FEW = 5.0
#: Terms of less support than this are no part of the errors.
LEAST_SUPPORT = 0.5
#: Scales of what stars may have in common over a field or more, and most nodes of each.
COHERENT_SCALES, COHERENT_NODES = ("0.8 deg", "1.6 deg", "3.2 deg"), 600
#: Standard deviation in mag from which that of maps beside it is searched.
START_MAG = 0.005
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
    doubtful : tuple of (LevelBlock, float)
        Terms that gained less than was asked, and the probability by which they are there all
        the same: their part in the errors.
    estimate : Estimate or None
        Variances and noise with what was kept, where all detections were asked.
    """

    blocks: tuple[LevelBlock, ...]
    trials: tuple[Trial, ...]
    skipped: dict[str, str]
    doubtful: tuple[tuple[LevelBlock, float], ...] = ()
    estimate: Estimate | None = None

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
    visits = len(np.unique(table.codes("visit")[0][rows]))
    most = min(rules.rules.detections, len(rows) * MOST_VISITS // max(visits, MOST_VISITS))
    inside = patches(table["star_ra"][rows], table["star_dec"][rows], most)
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
        lambda trial: observer.message(describe_trial(trial)) if _worth_a_line(trial) else None,
        start,
    )
    little = [f"{each.name} {each.gain:.1f}" for each in found.trials if not _worth_a_line(each)]
    if little:
        observer.message(f"  terms that gain next to nothing: {', '.join(little)}")
    kept = tuple(
        _chosen_block(blocks[level.name], level, found.sd_mag[level.name]) for level in found.levels
    )
    doubtful = tuple(
        (_chosen_block(blocks[each.name], found.best[each.name], each.sd_mag), support(each.gain))
        for each in found.trials
        if not each.kept and each.verdict is None and support(each.gain) > LEAST_SUPPORT
    )
    estimate = found.estimate if inside.all() else None
    return ChosenTerms(kept, found.trials, skipped, doubtful, estimate)


def _worth_a_line(trial: Trial) -> bool:
    return trial.gain > FEW or trial.reason == SAID_BETTER


def support(gain: float) -> float:
    """Return the probability of a term of a gain: even odds, less one for its own variance.

    The penalty of 2 in twice the log likelihood is Akaike's, of one more parameter.
    """
    return float(expit((gain - 2) / 2)) if gain > 0 else 0.0


def doubt_shifts(
    plugins: SelectedPlugins,
    sample: MatchedStars,
    chosen: ChosenTerms | None,
    fit: JointFit,
    used: BoolArray,
    results: JointResults,
    delta_mag: FloatArray,
) -> dict[str, FloatArray]:
    """Return what terms that the data do not rule out add to the errors of exposures.

    A term that was left out for want of evidence may be there. With its probability w the
    variance of an offset is larger by w times what the solve with it has more in variance, and
    the square of what it moves (Hoeting et al. 1999, Stat. Sci. 14, 382).

    Parameters
    ----------
    sample : MatchedStars
        Its n detections have every column that a term reads.
    fit : JointFit
        Of the detections where `used`, shape (n,), is true.
    delta_mag : ndarray, shape (n,)
        Model less observed magnitude of all detections.

    Returns
    -------
    dict of str to ndarray, shape (x,)
        Standard deviations by term, in mag.
    """
    found: dict[str, FloatArray] = {}
    if chosen is None:
        return found
    needed = {
        name
        for block, _ in chosen.doubtful
        for name in plugins.registry.get(OffsetLevel, block.kind).needs(block.settings)
    }
    sample = replace(sample, detections=derive(sample.detections, "detection", needed))
    own, table = results.exposures, sample.detections.filter(used)
    data = WeightedData(delta_mag[used], fit.weights)
    coherent = plugins.survey.offsets.joint.systematics.coherent > 0
    for block, probability in chosen.doubtful:
        if coherent and block.kind == "sky_field" and getattr(block.settings, "of", None) is None:
            continue  # what stars of a place have in common is a cause by itself
        kind = plugins.registry.get(OffsetLevel, block.kind)
        level = kind.prepare(block.name, sample, block.settings)
        model = extended(fit.design.model, level, table)
        sd_mag = {**fit.prior_sd_mag, block.name: block.sd}
        fixed = Fixed.of(model, data, sd_mag)
        estimate = replace(fit.estimate, parameters=fixed.parameters, sd_mag=sd_mag)
        other = replace(
            fit,
            design=replace(fit.design, model=model),
            estimate=estimate,
            prior_sd_mag=sd_mag,
            factor=fixed.factor,
            residual_mag=data.delta_mag - model.values(fixed.parameters),
        )
        there = JointResults(other).exposures
        more = np.maximum(there.err_mag**2 - own.err_mag**2, 0.0)
        moved = there.offset_mag - own.offset_mag
        found[f"term_{block.name}"] = np.sqrt(probability * (more + moved**2))
    return found


def coherent_shifts(
    plugins: SelectedPlugins,
    sample: MatchedStars,
    chosen: ChosenTerms | None,
    fit: JointFit,
    used: BoolArray,
    results: JointResults,
    delta_mag: FloatArray,
) -> tuple[dict[str, FloatArray], CoherentScatter | None]:
    """Return what stars of a place may have in common, by exposure; arguments of `doubt_shifts`.

    Where the data were not asked for further terms, maps of the detectors stand beside it here,
    for without them flat fields look like it.

    Returns
    -------
    dict of str to ndarray, shape (x,)
        Standard deviations of the cause, in mag; empty where it is switched off.
    CoherentScatter or None
        What the data say of it.
    """
    prior_mag = plugins.survey.offsets.joint.systematics.coherent
    if not prior_mag > 0:
        return {}, None

    def prepare(name: str, kind: str, **settings: object) -> Sequence[FittedLevel]:
        found = plugins.registry.get(OffsetLevel, kind)
        return found.prepare(name, sample, found.config.model_validate(settings)).alternatives()

    table, data = sample.detections.filter(used), WeightedData(delta_mag[used], fit.weights)
    width, base = fit.design.model.width, with_free_visits(fit.design, data, fit.prior_sd_mag)
    if chosen is None:
        maps = prepare("own_map", "polynomial", by=["ccd"], order=4)
        base = base.beside(maps, table, START_MAG)
    scales = prepare("coherent", "sky_field", scale=COHERENT_SCALES, nodes=COHERENT_NODES)
    found = coherent_scatter(
        base, scales, table, lambda every: results.of_visits(every[:width]), prior_mag
    )
    return {"coherent": found.visit_mag[fit.design.exposures.visit]}, found


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


def _chosen_block(block: LevelBlock, level: FittedLevel, sd_mag: float) -> LevelBlock:
    """Return a candidate's block at the chosen scale, with the standard deviation found."""
    settings = type(block.settings).model_validate(
        {**block.settings.model_dump(mode="json"), **level.own_settings()}
    )
    plugins = {**block.plugins, block.kind: settings}
    return block.model_copy(update={"plugins": plugins, "sd": sd_mag, "mode": "joint"})


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
