"""Which control region to train on: the zero points that candidate regions lead to.

Usage, after the sample is built and fitted as for a calibration::

    truth = true_offsets(root, sample.detections)      # None for real data
    comparison = compare_regions(
        chosen, sample, fitted, workers=workers, observer=observer, truth=truth
    )
    comparison.rows()       # best first, one flat dict for each region
    comparison.to_json()

Every region goes through the same steps with the same backend and settings: its stars train
the colour model, the law is fitted anew to the whole sample, and the zero points of the visits
are solved for in the description's mode. What is taken over from the fit with the described
region are the selection and the outliers, which judge no region, the colours by which detections
are sorted into bins, and in mode joint the weights and variances.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scrframe.analysis.compare.offsets import OffsetFinder, TrueOffsets, offset_finder, true_offsets
from scrframe.analysis.compare.region_candidates import (
    CandidateRegion,
    TriedRegion,
    find_candidates,
)
from scrframe.analysis.compare.region_ranking import (
    REGIONS,
    JudgingDetections,
    RegionComparison,
    rank_regions,
    write_regions,
)
from scrframe.analysis.fitted_sample import (
    fit_sample,
    provenance,
    require_training,
    resolve_with_warnings,
)
from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.config import SurveyDescription
from scrframe.errors import CalibrationError
from scrframe.observer import Observer
from scrframe.offsets.joint.mixed_model import correction_values
from scrframe.plugin import Registry, load_registry
from scrframe.products.files import write_text
from scrframe.run.colour_model import FittedModel, Trainer, trend_settings
from scrframe.run.plugins import SelectedPlugins
from scrframe.run.sample.selection import outside_domain
from scrframe.run.session import open_session
from scrframe.scr.iteration import IterationSettings, iterate
from scrframe.scr.observations import Observations
from scrframe.scr.reddening_law import held_order
from scrframe.scr.training import ColourPredictor, plan_training
from scrframe.statistics.robust import robust_sd
from scrframe.tables import MatchedStars

#: Fewest detections of a visit that judges.
MIN_DETECTIONS = 20
#: A detection further from its visit's median than this many sd (by MAD) judges no region.
OUTLIER_SIGMA = 5.0
#: Rounds of the visits, and of the law in each: the zero points then move by less than 1 mmag.
ROUNDS = 2


@dataclass(frozen=True)
class RegionsRun:
    """A finished ranking of control regions.

    Attributes
    ----------
    path : Path
        Its directory.
    regions : RegionComparison
        The content of ``regions.json``.
    """

    path: Path
    regions: RegionComparison


def default_out(survey: SurveyDescription) -> Path:
    """Return where a ranking goes if nothing else is said."""
    return Path("runs") / f"{survey.name}_regions"


def rank_control_regions(
    survey: SurveyDescription,
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    observer: Observer | None = None,
    registry: Registry | None = None,
    executor: Executor | str | None = None,
) -> RegionsRun:
    """Rank candidate control regions by the zero points that they lead to.

    Parameters
    ----------
    survey : SurveyDescription
        From `scrframe.load_survey`; its ``selection.control`` is what others are compared with.
    data : path, optional
        Data root; by default the description's. ``sample`` is the built-in sample survey.
    out : path, optional
        By default ``runs/<survey>_regions``. An earlier ranking is replaced.
    workers : int, optional
        Number of processes and threads; by default as many as there are processors.
    observer : Observer, optional
        Is told of progress.
    registry : Registry, optional
        Plugins; by default all that are installed.
    executor : Executor or str, optional
        As of `scrframe.calibrate`.

    Raises
    ------
    ScrframeError
        If the description or the data do not allow it. Nothing is left behind.
    """
    observer = observer or Observer()
    chosen = resolve_with_warnings(survey, data, registry or load_registry(), observer)
    require_training(chosen, "a comparison of colour models")
    target = Path(out) if out is not None else default_out(survey)
    with open_session(
        chosen, target, mark=REGIONS, workers=workers, observer=observer, executor=executor
    ) as session:
        built, fitted = fit_sample(session)
        sample = built.matched
        with session.monitor.step("compare control regions"):
            truth = true_offsets(session.inputs.root, sample.detections)
            regions = compare_regions(
                chosen,
                sample,
                fitted,
                workers=session.workers,
                observer=observer,
                truth=truth,
                seed=survey.colour_model.seed,
            )
        write_text(session.workspace.run / "description.yaml", chosen.survey.as_yaml())
        write_regions(session.workspace.run, regions, session.data.note, provenance(chosen.survey))
    return RegionsRun(session.workspace.out, regions)


def compare_regions(
    chosen: SelectedPlugins,
    sample: MatchedStars,
    fitted: FittedModel,
    *,
    workers: int,
    observer: Observer,
    truth: TrueOffsets | None = None,
    seed: int = 1,
    finder: OffsetFinder | None = None,
) -> RegionComparison:
    """Rank candidate control regions by the zero points that they lead to.

    Candidates are the described region, its inner parts, the stars of low extinction wherever
    they are, and circles about the fields of least extinction.

    Parameters
    ----------
    fitted : FittedModel
        With the described region.
    workers : int
        Threads of the backend.
    truth : TrueOffsets, optional
        Injected offsets of the sample's detections. Without them zero points are compared
        with the mean of the regions that share few stars, whose own error counts.
    seed : int
        Of the bootstrap over fields.
    finder : OffsetFinder, optional
        Finds the offsets of mode joint, where there is one already; making one takes a fit.

    Returns
    -------
    RegionComparison
        A region on which no model can be trained has a fault, and stops no other.
    """
    if fitted.joint is None:
        finder = None
    elif finder is None:
        finder = offset_finder(chosen, sample, fitted)
    used = _used(fitted, finder)
    candidates = find_candidates(sample, fitted, used)
    reference, judges = None, used
    if truth is not None:
        reference = truth.exposure_mag + truth.map_mag
        judges = used & np.isfinite(reference)
    rows, judging = _judging(sample, fitted, judges)
    work = _RegionTrial(chosen, sample, fitted, finder, workers)
    tried: list[TriedRegion] = []
    with observer.step("Comparing control regions", len(candidates)) as done:
        for each in candidates:
            tried.append(work.tried(each, rows, judging))
            if tried[-1].fault is not None:
                observer.warning(f"control region {each.region.name}: {tried[-1].fault}")
            done(1)
    reference = None if reference is None else reference[rows]
    return rank_regions(tried, judging, reference, chosen.backend.name, seed=seed)


def _judging(
    sample: MatchedStars, fitted: FittedModel, used: BoolArray
) -> tuple[IntArray, JudgingDetections]:
    """Return the rows of the detections that judge, and what is known of them."""
    visit, seen = fitted.observations.visit, fitted.observations
    delta = fitted.model.model_mag - seen.mag
    good = used.copy()
    rows = np.flatnonzero(used)
    order = np.argsort(visit[rows], kind="stable")
    _, first = np.unique(visit[rows][order], return_index=True)
    for inside in np.split(rows[order], first[1:]):
        away = np.abs(delta[inside] - np.median(delta[inside]))
        good[inside[away > OUTLIER_SIGMA * robust_sd(delta[inside])]] = False
    count = np.bincount(visit[good], minlength=int(visit.max()) + 1)
    good &= count[visit] >= MIN_DETECTIONS
    if not good.any():
        raise CalibrationError(
            f"no visit has {MIN_DETECTIONS} detections by which control regions could be judged;"
            " loosen selection.calibration"
        )
    rows = np.flatnonzero(good)
    _, at, code = np.unique(visit[rows], return_index=True, return_inverse=True)
    field = np.arange(len(at))
    if "field" in sample.detections:
        field = np.unique(sample.detections.codes("field")[0][rows[at]], return_inverse=True)[1]
    colour = fitted.model.colour0_mag[sample.star[rows]]
    return rows, JudgingDetections(code.astype(np.int64), field.astype(np.int64), colour)


@dataclass(frozen=True)
class _RegionTrial:
    """What is done for every region; `finder` is None in mode sequential."""

    chosen: SelectedPlugins
    sample: MatchedStars
    fitted: FittedModel
    finder: OffsetFinder | None
    workers: int

    def tried(
        self, candidate: CandidateRegion, rows: IntArray, judging: JudgingDetections
    ) -> TriedRegion:
        """Train on a region; what goes wrong is its fault alone."""
        try:
            delta = self.differences(candidate.inside)
            outside = self.extrapolated(candidate.inside)
        except CalibrationError as error:
            return TriedRegion(candidate.region, fault=str(error), independent=False)
        zero_points = judging.by_visit(self.corrections(delta)[rows])
        return TriedRegion(
            candidate.region, delta[rows], zero_points, outside, independent=candidate.independent
        )

    def differences(self, inside: BoolArray) -> FloatArray:
        """Return model less observed magnitude, shape (n,), NaN of what takes no part.

        Raises CalibrationError if no model, or no law, can be fitted.
        """
        chosen, fitted = self.chosen, self.fitted
        block, trend = chosen.survey.colour_model, trend_settings(chosen)
        rows = np.flatnonzero(_used(fitted, self.finder))
        seen = _only(fitted.observations, rows, inside)
        control = np.unique(seen.star[seen.training_mask])
        plan = plan_training(control, 0.0, block.folds, block.cross_fit, block.seed)
        trainer = Trainer(
            chosen.backend, fitted.settings or block.settings, block.seed, self.workers
        )
        predictor = ColourPredictor(self.sample.features, plan, trainer, trend)
        law = replace(held_order(chosen.survey.reddening, fitted.model.law), max_rounds=ROUNDS)
        tolerance = chosen.survey.offsets.tolerance
        settings = IterationSettings(law, ROUNDS, tolerance, block.regrow_rounds)
        model = iterate(seen, predictor, plan, settings, lambda _: None)
        if not np.isfinite(model.model_mag).all():
            raise CalibrationError("the colour model predicts colours that are not finite")
        delta = np.full(len(self.sample.detections), np.nan)
        delta[rows] = model.model_mag - seen.mag
        return delta

    def corrections(self, delta_mag: FloatArray) -> FloatArray:
        """Return values whose means over visits are the zero points, shape (n,)."""
        if self.finder is None:
            return delta_mag
        finder, found = self.finder, np.full(len(delta_mag), np.nan)
        found[finder.rows] = correction_values(finder.design.model, finder.parameters(delta_mag))
        return found

    def extrapolated(self, inside: BoolArray) -> float:
        """Return the share of the sample's stars unlike any star of a region."""
        block = self.chosen.survey.offsets.joint
        of_region = replace(self.sample, in_control=inside[self.sample.star])
        nobody = np.zeros(len(self.sample.stars), dtype=bool)
        flags = outside_domain(of_region, nobody, block.domain, block.seed)
        return float(np.mean(flags > 0))


def _only(seen: Observations, rows: IntArray, inside: BoolArray) -> Observations:
    """Return some detections, with another Control Sample; no visit is without one."""
    _, visit = np.unique(seen.visit[rows], return_inverse=True)
    return replace(
        seen,
        mag=seen.mag[rows],
        mag_err=seen.mag_err[rows],
        reference_mag=seen.reference_mag[rows],
        extinction=seen.extinction[rows],
        star=seen.star[rows],
        visit=visit,
        in_control=inside[seen.star[rows]],
        used=np.ones(len(rows), dtype=bool),
        fields=None if seen.fields is None else seen.fields.take(rows),
    )


def _used(fitted: FittedModel, finder: OffsetFinder | None) -> BoolArray:
    """Return which detections take part, shape (n,)."""
    return fitted.observations.used if finder is None else finder.law_mask
