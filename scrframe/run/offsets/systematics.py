"""What other defensible models would shift: the systematic error of the offsets.

Each alternative changes the model magnitudes; solved with the same weights, the change
becomes one of the offsets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.config.survey import SystematicSettings
from scrframe.errors import CalibrationError
from scrframe.offsets.joint.mixed_model import CONSTANT
from scrframe.offsets.joint.results import JointResults
from scrframe.run.colour_model import FittedModel
from scrframe.run.plugins import SelectedPlugins
from scrframe.scr.features import Standardise, intrinsic_features
from scrframe.scr.reddening_law import fit_law
from scrframe.scr.training import Trend, TrendSettings
from scrframe.statistics.groups import group_medians
from scrframe.tables import MatchedStars
from scrframe.tables.settings import ReddeningSettings


@dataclass(frozen=True)
class AlternativeDereddening:
    """What it takes to deredden the sample's stars another way."""

    #: Observed spectra of the stars, or features that no extinction changes. Shape (s, m).
    flux: npt.NDArray[np.floating]
    #: The run's extinction curve, mag per unit E. Shape (m,).
    k_mag: FloatArray
    #: How spectra become features; None for features that no extinction changes.
    standardise: Standardise | None
    #: The run's own E. Shape (s,).
    extinction: FloatArray
    #: E of a second catalogue; the run's own where it has none. Shape (s,).
    second_extinction: FloatArray | None = None
    #: A second curve. Shape (m,).
    second_k_mag: FloatArray | None = None
    #: The best guess of E if its errors are larger than stated. Shape (s,).
    noisier_extinction: FloatArray | None = None

    def variants(self, asked: SystematicSettings) -> Iterator[tuple[str, FloatArray, FloatArray]]:
        """Yield name, curve and extinctions of each alternative that is asked for."""
        own = self.extinction
        if asked.extinction and asked.extinction_scale > 0:
            yield "extinction_scale", self.k_mag, own * (1 + asked.extinction_scale)
        if asked.extinction and asked.extinction_zero > 0:
            yield "extinction_zero", self.k_mag, own + asked.extinction_zero
        if asked.extinction and self.noisier_extinction is not None:
            yield "extinction_noise", self.k_mag, self.noisier_extinction
        if self.second_extinction is not None:
            yield "second_extinction", self.k_mag, self.second_extinction
        if self.second_k_mag is not None:
            yield "second_curve", self.second_k_mag, own

    def features(self, k_mag: FloatArray, extinction: FloatArray) -> npt.NDArray[np.float32]:
        """Return features dereddened with a curve and extinctions, shape (s, m)."""
        if self.standardise is None:
            return np.asarray(self.flux, dtype=np.float32)
        return intrinsic_features(self.flux, k_mag, extinction, self.standardise)


#: Parts into which the control stars' sky is divided, each left out in turn.
REGIONS = 4
#: Parts into which the whole sky is divided for the law.
LAW_REGIONS = 8
#: Step of the numerical derivative by E.
STEP_E = 0.01
#: Fewer training stars do not carry a trend.
MIN_TRAINING = 200


@dataclass(frozen=True)
class Shifts:
    """Shifts of the exposures' offsets by cause, each of shape (x,), in mag."""

    by_cause: Mapping[str, FloatArray]
    exposures: int

    @property
    def total_mag(self) -> FloatArray:
        """Return their quadratic sum, shape (x,)."""
        squares = [values**2 for values in self.by_cause.values()]
        return np.sqrt(np.sum(squares, axis=0)) if squares else np.zeros(self.exposures)


@dataclass(frozen=True)
class ModelVariants:
    """What variants of a run's model rest on; each changes the model magnitudes in one respect."""

    sample: MatchedStars
    fitted: FittedModel
    #: Detections of the solve. Shape (n,).
    used: BoolArray
    trend: TrendSettings
    law: ReddeningSettings
    #: Other ways of dereddening, if any is to be tried.
    dereddening: AlternativeDereddening | None = None

    def reddening(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return intrinsic colour, extinction and colour excess of the detections used."""
        observations, used = self.fitted.observations, self.used
        colour0 = self.fitted.model.colour0_mag[observations.star][used]
        colour = (observations.mag - observations.reference_mag)[used]
        return colour0, observations.extinction[used], colour - colour0


def systematic_shifts(
    plugins: SelectedPlugins,
    variants: ModelVariants,
    results: JointResults,
    residual_mag: FloatArray,
    weight: FloatArray,
) -> Shifts:
    """Return by how much each alternative that the description asks for moves the offsets.

    Parameters
    ----------
    residual_mag, weight : ndarray, shape (used,)
        Differences less all terms, of the detections used, and their weights.
    """
    found = _model_shifts(plugins, variants, results)
    if plugins.survey.offsets.joint.systematics.magnitude:
        size = magnitude_trend(variants, residual_mag, weight)
        found["magnitude"] = np.full(len(results.exposures.offset_mag), size)
    return Shifts(found, len(results.exposures.offset_mag))


def magnitude_trend(variants: ModelVariants, residual_mag: FloatArray, weight: FloatArray) -> float:
    """Return what residuals have in proportion to the magnitude, over its spread, in mag.

    The part of a slope that is not linear in the detector is the model's: spectra of faint
    stars are noisier, and selection prefers what noise has made brighter. As the data
    cannot tell the two apart, no magnitude is corrected by it.
    """
    visit = variants.fitted.observations.visit[variants.used]
    mag = variants.fitted.model.model_mag[variants.used]
    total = np.maximum(np.bincount(visit, weight), np.finfo(float).tiny)
    mag = mag - (np.bincount(visit, weight * mag) / total)[visit]
    power = float(weight @ mag**2)
    if not power > 0:
        return 0.0
    slope = float((weight * mag) @ residual_mag) / power
    return abs(slope) * float(np.sqrt(power / weight.sum()))


def _model_shifts(
    plugins: SelectedPlugins, variants: ModelVariants, results: JointResults
) -> dict[str, FloatArray]:
    """Return the shifts by other models."""
    asked = plugins.survey.offsets.joint.systematics
    found: dict[str, FloatArray] = {}
    if plugins.reference.provides == "colour":
        if asked.law:
            found["colour_term"] = results.shift(colour_term(variants))
        return found
    if asked.law:
        changes = law_changes(variants)
        none = [np.zeros(len(results.exposures.offset_mag))]
        found["law"] = np.max(np.abs([results.shift(change) for change in changes] or none), axis=0)
    if asked.law_regions:
        held = tuple(
            term.name
            for term in results.terms
            if term.role == "nuisance" and term.precision is None and term.name != CONSTANT
        )
        parts = [results.shift(change, held) for change in law_by_region(variants)]
        found["law_regions"] = _jackknife(parts, LAW_REGIONS)
    trends = _Trends(variants)
    if asked.reference_region and trends.possible:
        parts = [results.shift(change) for change in trends.without_regions()]
        found["reference_region"] = _jackknife(parts, REGIONS)
    if asked.colour_model and trends.possible:
        found["colour_model"] = results.shift(trends.alone())
    if variants.dereddening is not None and trends.possible:
        for name, k_mag, extinction in variants.dereddening.variants(asked):
            features = variants.dereddening.features(k_mag, extinction)
            found[name] = results.shift(trends.dereddened(features, extinction))
        if asked.extinction and variants.dereddening.noisier_extinction is None:
            found["extinction_noise"] = results.shift(trends.noisy_extinctions())
    return found


def _jackknife(parts: list[FloatArray], regions: int) -> FloatArray:
    """Return the jackknife's standard deviation of a mean over regions, shape (x,)."""
    factor = (regions - 1) / regions
    return np.asarray(np.sqrt(factor * np.sum(np.square(parts), axis=0)))


def law_changes(variants: ModelVariants) -> list[FloatArray]:
    """Return changes of the model magnitudes with laws of neighbouring orders."""
    used, observations, law = variants.used, variants.fitted.observations, variants.fitted.model.law
    colour0, extinction, excess = variants.reddening()
    powers = [(i, j) for i, j in law.terms]
    order, in_e = max(i for i, _ in powers), max(j for _, j in powers)
    present = law.ratio(colour0, extinction) * extinction
    changes = []
    for other in {(order + 1, in_e), (max(order - 1, 0), in_e), (order, 1 - min(in_e, 1))}:
        if other == (order, in_e):
            continue
        settings = replace(variants.law, order=other[0], extinction_order=other[1])
        try:
            alternative = fit_law(
                colour0,
                extinction,
                excess,
                observations.visit[used],
                settings,
                observations.fields.take(used) if observations.fields is not None else None,
            )
        except CalibrationError:
            continue  # an order that these data do not determine is no alternative
        changes.append(alternative.ratio(colour0, extinction) * extinction - present)
    return changes


def colour_term(variants: ModelVariants) -> FloatArray:
    """Return the change of the model magnitudes with terms in colour and extinction.

    Colours that a catalogue predicts have no law. A passband that is not quite the
    survey's, and flux errors of the spectra, show as slopes on these within the visits.
    """
    used, observations = variants.used, variants.fitted.observations
    visit = observations.visit[used]
    delta = (variants.fitted.model.model_mag - observations.mag)[used]
    terms = [
        variants.fitted.model.colour0_mag[observations.star][used],
        observations.extinction[used],
    ]
    inside = np.column_stack([_within(values, visit) for values in terms])
    slopes = np.linalg.lstsq(inside, _within(delta, visit), rcond=None)[0]
    centred = np.column_stack([values - values.mean() for values in terms])
    return np.asarray(-(centred @ slopes), dtype=np.float64)


def _within(values: FloatArray, visit: npt.NDArray[np.integer]) -> FloatArray:
    """Return values less the median of their visit."""
    return np.asarray(values - group_medians(values, visit, int(visit.max()) + 1)[visit])


def law_by_region(variants: ModelVariants) -> list[FloatArray]:
    """Return changes of the model magnitudes with laws that have not seen a part of the sky.

    Fields are independent in the solve; a law that varies over more than a field leaves its
    mean less certain than that, which leaving out whole regions shows.
    """
    used, observations, law = variants.used, variants.fitted.observations, variants.fitted.model.law
    colour0, extinction, excess = variants.reddening()
    stars = variants.sample.stars
    region = sky_regions(stars["ref_ra"], stars["ref_dec"], LAW_REGIONS)[observations.star][used]
    settings = replace(
        variants.law, order=law.order, extinction_order=law.extinction_order, field_slopes=False
    )
    present = law.ratio(colour0, extinction) * extinction
    changes = []
    for number in range(LAW_REGIONS):
        kept = region != number
        try:
            other = fit_law(
                colour0[kept],
                extinction[kept],
                excess[kept],
                observations.visit[used][kept],
                settings,
            )
        except CalibrationError:
            continue
        changes.append(other.ratio(colour0, extinction) * extinction - present)
    if not changes:
        return [np.zeros(int(used.sum()))]
    # What the estimators have in common (weights, clipping) is no effect of the region.
    middle = np.mean(changes, axis=0)
    return [change - middle for change in changes]


def sky_regions(ra_deg: FloatArray, dec_deg: FloatArray, number: int) -> IntArray:
    """Return the region of each star, shape (s,): equal numbers along the longer side."""
    ra = (ra_deg - ra_deg[0] + 180) % 360 - 180
    east = ra * np.cos(np.deg2rad(dec_deg.mean()))
    along = east if np.ptp(east) >= np.ptp(dec_deg) else dec_deg
    rank = np.argsort(np.argsort(along, kind="stable"), kind="stable")
    return np.asarray(rank * number // max(len(along), 1))


class _Trends:
    """Linear colour models, trained on all control stars or without a part of their sky."""

    def __init__(self, variants: ModelVariants) -> None:
        self._variants = variants
        shape = "linear" if variants.trend.shape == "none" else variants.trend.shape
        self._settings = replace(variants.trend, shape=shape)
        self._train = variants.fitted.plan.train
        self.possible = len(self._train) >= MIN_TRAINING
        self._rows = variants.fitted.observations.star[variants.used]

    def _predict(self, kept: BoolArray) -> FloatArray:
        return self._train_on(kept)(self._variants.sample.features)

    def alone(self) -> FloatArray:
        """Return the change of model magnitudes by the trend alone."""
        everyone = np.ones(len(self._train), dtype=bool)
        return self._change(self._predict(everyone) - self._variants.fitted.model.colour0_mag)

    def without_regions(self) -> list[FloatArray]:
        """Return the changes by leaving out each part of the control stars' sky."""
        region = self._regions()
        everyone = self._predict(np.ones(len(self._train), dtype=bool))
        return [
            self._change(self._predict(region != number) - everyone) for number in range(REGIONS)
        ]

    def dereddened(self, features: npt.NDArray[np.float32], extinction: FloatArray) -> FloatArray:
        """Return the changes with other features and extinctions, shape (s,), of all stars.

        The control stars' colours change too, and the trend with them; the law's terms in
        the solve take up what is in proportion to the extinction everywhere.
        """
        variants, model = self._variants, self._variants.fitted.model
        own = np.asarray(variants.sample.stars["extinction"], dtype=np.float64)
        reddening = model.law.ratio(model.colour0_mag, own) * (extinction - own)
        labels = model.label_mag - reddening
        train = self._train
        trend = Trend.on(features[train], self._settings).predict(features, labels[train])
        everyone = self._predict(np.ones(len(train), dtype=bool))
        return self._change(trend + reddening - everyone)

    def noisy_extinctions(self) -> FloatArray:
        """Return what errors of the extinction do to model magnitudes, given the extinction.

        An extinction above the mean of its visit is above it in part by its error: of the
        difference, the share that errors have in the variance. The model magnitude follows
        by d(u_mod)/dE, which dereddening makes much smaller than R; observations as a slope on E,
        it would move the offsets of reddened visits.
        """
        variants, other = self._variants, self._variants.dereddening
        assert other is not None
        own, error = other.extinction, variants.sample.stars["extinction_err"]
        everyone = np.ones(len(self._train), dtype=bool)
        coefficients = self._train_on(everyone)
        moved = coefficients(other.features(other.k_mag, own + STEP_E))
        response = (moved - coefficients(variants.sample.features)) / STEP_E
        model = variants.fitted.model
        response += model.law.ratio(model.colour0_mag, own)
        visit = variants.fitted.observations.visit[variants.used]
        value, noise = own[self._rows], np.asarray(error, dtype=np.float64)[self._rows] ** 2
        count = np.maximum(np.bincount(visit), 1)
        mean = (np.bincount(visit, value) / count)[visit]
        spread = (np.bincount(visit, (value - mean) ** 2) / count)[visit]
        mean_noise = (np.bincount(visit, noise) / count)[visit]
        # Where all stars of a visit have one extinction, nothing is above its mean.
        share = np.divide(mean_noise, spread, out=np.zeros(len(value)), where=spread > 0)
        share = np.clip(share, 0, 1)
        return np.asarray(response[self._rows] * share * (value - mean))

    def _train_on(self, kept: BoolArray) -> Callable[[npt.NDArray[np.float32]], FloatArray]:
        """Return the trend trained on some of the training stars, as a function of features."""
        train = self._train[kept]
        trend = Trend.on(self._variants.sample.features[train], self._settings)
        labels = self._variants.fitted.model.label_mag[train]
        return lambda features: trend.predict(features, labels)

    def _regions(self) -> IntArray:
        """Return the part of each training star."""
        stars = self._variants.sample.stars
        return sky_regions(stars["ref_ra"][self._train], stars["ref_dec"][self._train], REGIONS)

    def _change(self, colour_mag: FloatArray) -> FloatArray:
        """Return the change of model magnitudes, shape (used,), for one of colours (s,)."""
        return np.asarray(colour_mag[self._rows])
