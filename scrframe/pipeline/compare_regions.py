"""Which control region to train on: the zero points that candidate regions lead to.

Usage, after the sample is built and fitted as for a calibration::

    truth = true_offsets(root, sample.detections)      # None for real data
    comparison = compare_regions(
        chosen, sample, fitted, workers=workers, observer=observer, truth=truth
    )
    comparison.rows()       # best first, one flat dict for each region
    comparison.to_json()

Every region goes through the same steps with the same backend and settings: its stars train
the colour model, the law is fitted anew to the whole sample, and the visits' zero points are
the means of model less observed magnitudes, as in mode sequential. Nothing is taken over from
the fit with the described region but its colours, by which detections are sorted into bins,
and the outliers, which judge no region.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from scrframe.compare.cells import part
from scrframe.compare.regions import (
    Cap,
    Judging,
    Region,
    RegionComparison,
    Tried,
    centre_of,
    directions,
    low_extinction_caps,
    rank_regions,
)
from scrframe.errors import CalibrationError
from scrframe.pipeline.chosen import Chosen
from scrframe.pipeline.compare_truth import TrueOffsets
from scrframe.pipeline.domain import outside_domain
from scrframe.pipeline.model import Trainer
from scrframe.pipeline.observer import Observer
from scrframe.pipeline.solve import FittedModel, law_settings, trend_settings
from scrframe.scr.iteration import IterationSettings, Observations, iterate
from scrframe.scr.reddening_law import held_order
from scrframe.scr.training import ColourPredictor, plan_training
from scrframe.tables import MatchedStars

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

#: Radii of the caps that are tried, in deg, and how many of each.
RADII_DEG, CAPS_PER_RADIUS = (1.0, 2.0, 4.0, 8.0), 3
#: Parts of the described region about its centre, by share of its stars.
PARTS = (0.5, 0.25)
#: Fewest training stars of a candidate, and fewest detections of a visit that judges.
MIN_STARS, MIN_DETECTIONS = 500, 20
#: Cells of the sky that stand for fields where catalogues name none, by stars in each.
STARS_PER_CELL = 2000
#: A detection further from its visit's median than this many sd (by MAD) judges no region.
OUTLIER_SIGMA = 5.0
#: Rounds of the visits, and of the law in each: the zero points then move by less than 1 mmag.
ROUNDS = 2


@dataclass(frozen=True)
class Candidate:
    """A region by its stars.

    Attributes
    ----------
    region : Region
    inside : ndarray of bool, shape (s,)
    """

    region: Region
    inside: BoolArray


def compare_regions(
    chosen: Chosen,
    sample: MatchedStars,
    fitted: FittedModel,
    *,
    workers: int,
    observer: Observer,
    truth: TrueOffsets | None = None,
    seed: int = 1,
) -> RegionComparison:
    """Rank candidate control regions by the zero points that they lead to.

    Candidates are the described region, its inner parts, the stars of low extinction wherever
    they are, and caps about the fields of least extinction.

    Parameters
    ----------
    chosen : Chosen
    sample : MatchedStars
    fitted : FittedModel
        With the described region.
    workers : int
        Threads of the backend.
    observer : Observer
    truth : TrueOffsets, optional
        Injected offsets of the sample's detections. Without them zero points are compared
        with the mean of all regions, which many overlapping candidates draw to themselves.
    seed : int
        Of the bootstrap over fields.

    Returns
    -------
    RegionComparison
        A region on which no model can be trained has a fault, and stops no other.
    """
    used = _used(fitted)
    candidates = find_candidates(sample, fitted, used)
    rows, judging = _judging(sample, fitted, used if truth is None else used & _known(truth))
    tried: list[Tried] = []
    with observer.step("Comparing control regions", len(candidates)) as done:
        for each in candidates:
            tried.append(_tried(chosen, sample, fitted, each, rows, workers))
            if tried[-1].fault is not None:
                observer.warning(f"control region {each.region.name}: {tried[-1].fault}")
            done(1)
    reference = None if truth is None else (truth.exposure_mag + truth.map_mag)[rows]
    return rank_regions(tried, judging, reference, chosen.backend.name, seed=seed)


def find_candidates(sample: MatchedStars, fitted: FittedModel, used: BoolArray) -> list[Candidate]:
    """Return the regions to try; the described one is the first.

    Parameters
    ----------
    sample : MatchedStars
    fitted : FittedModel
    used : ndarray of bool, shape (n,)
        Detections that may train.
    """
    stars = len(sample.stars)
    able = _stars_of(sample, used, stars)
    described = _stars_of(sample, used & sample.in_control, stars)
    ra, dec = _column(sample, "ref_ra"), _column(sample, "ref_dec")
    extinction, colour = _column(sample, "extinction"), fitted.model.colour0_mag

    def candidate(name: str, kind: str, inside: BoolArray, cap: Cap | None = None) -> Candidate:
        median, p90 = np.quantile(extinction[inside], [0.5, 0.9])
        low, high = np.quantile(colour[inside], [0.01, 0.99])
        region = Region(
            name, kind, cap, int(inside.sum()),  # type: ignore[arg-type]
            float(median), float(p90), float(low), float(high),
        )  # fmt: skip
        return Candidate(region, inside)

    found = [candidate("described", "described", described)]
    for share, cap in _inner_caps(ra, dec, described):
        inside = described & cap.holds(ra, dec)
        if inside.sum() >= MIN_STARS:
            name = f"described, inner {cap.radius_deg:.2g} deg ({100 * share:.0f} %)"
            found.append(candidate(name, "part of described", inside, cap))
    limit = found[0].region.extinction_p90
    found.append(
        candidate(f"E < {limit:.2f} anywhere", "low extinction", able & (extinction < limit))
    )
    rows = np.flatnonzero(able)
    for cap in low_extinction_caps(
        ra[rows], dec[rows], extinction[rows], _places(sample, ra, dec)[rows],
        RADII_DEG, CAPS_PER_RADIUS, MIN_STARS,
    ):  # fmt: skip
        name = f"{cap.radius_deg:g} deg about RA {cap.ra_deg:.1f}, Dec {cap.dec_deg:+.1f}"
        found.append(candidate(name, "cap", able & cap.holds(ra, dec), cap))
    return found


def _inner_caps(ra: FloatArray, dec: FloatArray, inside: BoolArray) -> list[tuple[float, Cap]]:
    """Return caps about the middle of a region that hold given shares of its stars."""
    centre = centre_of(ra[inside], dec[inside])
    middle = directions(np.array([centre[0]]), np.array([centre[1]]))[0]
    chord = np.linalg.norm(directions(ra[inside], dec[inside]) - middle, axis=1)
    radius = np.degrees(2 * np.arcsin(np.quantile(chord, PARTS) / 2))
    return [(share, Cap(*centre, float(size))) for share, size in zip(PARTS, radius, strict=True)]


def _places(sample: MatchedStars, ra: FloatArray, dec: FloatArray) -> IntArray:
    """Return a code of the field of each star, of a sky cell where no field is named."""
    if "field" not in sample.detections:
        return part(directions(ra, dec), max(1, len(ra) // STARS_PER_CELL))
    place = np.zeros(len(ra), dtype=np.int64)
    place[sample.star] = sample.detections.codes("field")[0]
    return place


def _judging(
    sample: MatchedStars, fitted: FittedModel, used: BoolArray
) -> tuple[IntArray, Judging]:
    """Return the rows of the detections that judge, and what is known of them."""
    visit, seen = fitted.seen.visit, fitted.seen
    delta = fitted.model.model_mag - seen.mag
    good = used.copy()
    rows = np.flatnonzero(used)
    order = np.argsort(visit[rows], kind="stable")
    _, first = np.unique(visit[rows][order], return_index=True)
    for inside in np.split(rows[order], first[1:]):
        away = np.abs(delta[inside] - np.median(delta[inside]))
        good[inside[away > OUTLIER_SIGMA * 1.4826 * np.median(away)]] = False
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
    return rows, Judging(code.astype(np.int64), field.astype(np.int64), colour)


def _tried(
    chosen: Chosen,
    sample: MatchedStars,
    fitted: FittedModel,
    candidate: Candidate,
    rows: IntArray,
    workers: int,
) -> Tried:
    """Train on a region; what goes wrong is its fault alone."""
    try:
        errors = _errors(chosen, sample, fitted, candidate.inside, workers)[rows]
        outside = _extrapolated(chosen, sample, candidate.inside)
    except CalibrationError as error:
        return Tried(candidate.region, fault=str(error))
    return Tried(candidate.region, errors, outside)


def _errors(
    chosen: Chosen, sample: MatchedStars, fitted: FittedModel, inside: BoolArray, workers: int
) -> FloatArray:
    """Return model less observed magnitude of all detections, shape (n,), NaN of those not used.

    Raises
    ------
    CalibrationError
        If no model, or no law, can be fitted.
    """
    block = chosen.survey.colour_model
    rows = np.flatnonzero(_used(fitted))
    seen = _only(fitted.seen, rows, inside)
    control = np.unique(seen.star[seen.teaching])
    plan = plan_training(control, 0.0, block.folds, block.cross_fit, block.seed)
    trainer = Trainer(chosen.backend, fitted.settings or block.settings, block.seed, workers)
    predictor = ColourPredictor(sample.features, plan, trainer, trend_settings(chosen))
    law = replace(held_order(law_settings(chosen), fitted.model.law), max_rounds=ROUNDS)
    settings = IterationSettings(law, ROUNDS, chosen.survey.offsets.tolerance, block.regrow_rounds)
    model = iterate(seen, predictor, plan, settings, lambda _: None)
    errors = np.full(len(sample.detections), np.nan)
    errors[rows] = model.model_mag - seen.mag
    if not np.isfinite(errors[rows]).all():
        raise CalibrationError("the colour model predicts colours that are not finite")
    return errors


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


def _extrapolated(chosen: Chosen, sample: MatchedStars, inside: BoolArray) -> float:
    """Return the share of the sample's stars unlike any star of a region."""
    block = chosen.survey.offsets.joint
    of_region = replace(sample, in_control=inside[sample.star])
    nobody = np.zeros(len(sample.stars), dtype=bool)
    flags = outside_domain(of_region, nobody, block.domain.quantile, block.seed)
    return float(np.mean(flags > 0))


def _used(fitted: FittedModel) -> BoolArray:
    """Return which detections take part, shape (n,)."""
    return fitted.seen.used if fitted.settler is None else fitted.settler.used


def _known(truth: TrueOffsets) -> BoolArray:
    return np.asarray(np.isfinite(truth.exposure_mag + truth.map_mag))


def _stars_of(sample: MatchedStars, detections: BoolArray, stars: int) -> BoolArray:
    """Return which stars have a detection among some, shape (s,)."""
    found = np.zeros(stars, dtype=bool)
    found[sample.star[detections]] = True
    return found


def _column(sample: MatchedStars, name: str) -> FloatArray:
    return np.asarray(sample.stars[name], dtype=np.float64)
