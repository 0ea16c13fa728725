"""Steps i to iii of the method on a matched sample, with the backend that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.errors import CalibrationError
from scrframe.observer import Observer
from scrframe.plugin import ColourModel, FittedColourModel, PluginConfig
from scrframe.run.hyperparameters import tune
from scrframe.run.offsets.joint import JointOffsetSolver, JointState
from scrframe.run.plugins import SelectedPlugins
from scrframe.run.sample.reference_data import CATALOGUE_COLOUR
from scrframe.run.sample.selection import select_stars
from scrframe.scr.iteration import IterationSettings, ModelMagnitudes, Round, iterate, iterate_known
from scrframe.scr.law_design import Fields
from scrframe.scr.observations import Observations
from scrframe.scr.training import (
    ColourPredictor,
    TrainingPlan,
    TrendSettings,
    no_training,
    plan_training,
)
from scrframe.tables import MatchedStars

#: Of the test stars, in mag, and of R: what lies beyond has a cause that no calibration cures.
#: Colour models miss by hundredths to tenths, and no band loses tens of magnitudes per E.
WORST_DISPERSION_MAG, LARGEST_RATIO = 1.0, 100.0


@dataclass(frozen=True)
class FittedModel:
    """Model magnitudes with what they rest on."""

    model: ModelMagnitudes
    plan: TrainingPlan
    observations: Observations
    #: Those of the backend, as described or as found by the search.
    settings: PluginConfig | None = None
    #: What the search for settings found, as plain JSON; empty without one.
    search: Mapping[str, Any] = field(default_factory=dict)

    @property
    def joint(self) -> JointState | None:
        """In mode joint, where the solution stands."""
        return self.model.offsets if isinstance(self.model.offsets, JointState) else None


def trend_settings(plugins: SelectedPlugins) -> TrendSettings:
    """Return the description's trend as its settings."""
    block = plugins.survey.colour_model
    return TrendSettings(block.trend, block.trend_ridge, block.trend_components)


def fit_model(
    plugins: SelectedPlugins, sample: MatchedStars, workers: int, observer: Observer
) -> FittedModel:
    """Train and iterate (steps i to iii); colours that a catalogue tells need no training.

    Raises CalibrationError if the model or the law cannot be fitted, or the model's colours are
    not finite.
    """
    block, known = plugins.survey.colour_model, plugins.reference.provides == "colour"
    observations, start = observations_of(sample), None
    if plugins.survey.offsets.mode == "joint":
        stars = select_stars(plugins.survey.offsets.joint, sample, trained=not known)
        start = JointOffsetSolver.of(plugins, sample, stars, observer, workers).start()
        observations = replace(
            observations,
            used=start.used,
            in_control=observations.in_control & ~stars.reserved[sample.star],
        )
    control = np.unique(sample.star[observations.training_mask])
    offsets = plugins.survey.offsets
    settings = IterationSettings(
        plugins.survey.reddening, offsets.max_rounds, offsets.tolerance, block.regrow_rounds
    )
    plan, found = no_training(control), block.settings
    search: Mapping[str, Any] = {}
    trend = trend_settings(plugins)
    if not known:
        plan = plan_training(control, block.test_fraction, block.folds, block.cross_fit, block.seed)
        found, search = tune(
            plugins, sample.features, observations, plan, settings, trend, workers, observer
        )
    title = "Offsets of visits" if known else "Colour model and reddening law"
    with observer.step(title) as done:

        def report(this: Round) -> None:
            done(1)
            observer.message(describe(this))

        if known:
            colour = np.asarray(sample.stars[CATALOGUE_COLOUR], dtype=np.float64)
            model = iterate_known(observations, colour, control, settings, report, start)
        else:
            trainer = Trainer(plugins.backend, found, block.seed, workers)
            predictor = ColourPredictor(sample.features, plan, trainer, trend)
            model = iterate(observations, predictor, plan, settings, report, start)
    if not known and not np.isfinite(model.colour0_mag).all():
        raise CalibrationError(
            f"colour model {plugins.backend.name!r} predicted colours that are not finite"
        )
    require_believable(model, observations, plugins.survey.reddening.colour_percentiles)
    if not model.converged:
        observer.warning(
            f"the visit offsets did not settle: they still move by"
            f" {1000 * (model.rounds[-1].visit_change_mag or 0.0):.2f} mmag after"
            f" {model.rounds[-1].visit_round} rounds (offsets.tolerance:"
            f" {1000 * settings.tolerance_mag:.2f} mmag, offsets.max_rounds: {settings.max_rounds})"
        )
    return FittedModel(model, plan, observations, found, search)


def require_believable(
    model: ModelMagnitudes, observations: Observations, percentiles: tuple[float, float]
) -> None:
    """Raise CalibrationError if test stars are missed by magnitudes, or R is out of all bounds."""
    dispersion, known = model.test.dispersion_mag, np.isfinite(model.colour0_mag)
    if dispersion > WORST_DISPERSION_MAG:
        raise CalibrationError(
            f"the colour model misses its {model.test.count} test stars by {dispersion:.2f} mag"
            f" (at most {WORST_DISPERSION_MAG:g} can be believed): magnitudes, matches or features"
            " are not what the description says; look at the units and flags of loader and"
            " reference, and at selection.control"
        )
    colour0 = np.percentile(model.colour0_mag[known], percentiles)
    middle = np.full(2, float(np.nanmedian(observations.extinction)))
    ratio = model.law.ratio(colour0, middle)
    worst = float(ratio[np.argmax(np.abs(ratio))])
    if not abs(worst) <= LARGEST_RATIO:
        raise CalibrationError(
            f"the reddening law has R = {worst:.4g} within the central colours (at most"
            f" {LARGEST_RATIO:g} either way can be believed): extinctions are not what the"
            " description says, or hardly vary within visits; look at the scale of"
            " extinction.values, and at reddening.order"
        )


@dataclass(frozen=True)
class Trainer:
    """Trains a backend with fixed settings; the backend's numbers are checked."""

    backend: ColourModel
    settings: PluginConfig
    seed: int
    threads: int

    def __call__(
        self, features: npt.NDArray[np.float32], colour_mag: npt.NDArray[np.float64]
    ) -> FittedColourModel:
        """Train on features (t, m) and colours (t,).

        Raises CalibrationError if a training colour is not finite.
        """
        bad = int((~np.isfinite(colour_mag)).sum())
        if bad:
            raise CalibrationError(f"{bad} control stars have no finite intrinsic colour")
        return self.backend.fit(
            features, colour_mag, None, self.settings, seed=self.seed, threads=self.threads
        )


def observations_of(sample: MatchedStars) -> Observations:
    """Return a matched sample as the arrays of the iteration.

    Raises CalibrationError if a photometric error of the Control Sample is not positive: it
    weights.
    """
    detections = sample.detections
    wrong = int((~(detections["mag_err"][sample.in_control] > 0)).sum())
    if wrong:
        raise CalibrationError(
            f"{wrong} detections of the Control Sample have a magnitude error that is not"
            ' positive; add a cut such as "mag_err > 0" to selection.calibration'
        )
    # Visits without a detection in the sample have no code here.
    _, visit = np.unique(detections.codes("visit")[0], return_inverse=True)
    return Observations(
        mag=detections["mag"],
        mag_err=detections["mag_err"],
        reference_mag=sample.of_star("reference_mag"),
        extinction=sample.of_star("extinction"),
        star=sample.star,
        visit=visit,
        in_control=sample.in_control,
        stars=len(sample.stars),
        used=np.ones(len(detections), dtype=bool),
        fields=Fields(*detections.codes("field")) if "field" in detections else None,
    )


def describe(this: Round) -> str:
    """Return one line about a round."""
    if this.visit_change_mag is not None:
        return (
            f"  round {this.visit_round}: visit offsets moved by at most"
            f" {1000 * this.visit_change_mag:.2f} mmag"
        )
    return f"  round {this.visit_round}.{this.law_round}: R moved by at most {this.law_change:.4f}"
