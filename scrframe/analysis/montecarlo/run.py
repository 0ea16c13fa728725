"""The Monte Carlo error of model magnitudes: draw errors, predict again, see what it changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scrframe.analysis.fitted_sample import fit_sample, require_training, resolve_with_warnings
from scrframe.analysis.montecarlo.products import ErrorSetResult, star_table, write_products
from scrframe.analysis.montecarlo.realisations import (
    InputErrors,
    TrainedColours,
    draw,
    label_errors,
)
from scrframe.arrays import FloatArray
from scrframe.config import SurveyDescription
from scrframe.config.results import HighErrors, MedianErrors
from scrframe.errors import ConfigError
from scrframe.observer import Observer
from scrframe.plugin import Registry, load_registry
from scrframe.products.files import MONTECARLO, load_arrow, save_arrow, seal, sealed
from scrframe.run.colour_model import FittedModel, Trainer, trend_settings
from scrframe.run.keys import versions
from scrframe.run.sample.reference_data import feature_maker, noise_of, without_errors
from scrframe.run.session import Session, open_session
from scrframe.tables import MatchedStars, Quantities, Spectra, StarFeatures

Which = Literal["median", "high", "own", "all"]
#: Sets of errors, and what the paper finds with its two.
PAPER_MAG: Mapping[str, float | None] = {"median": 0.027, "high": 0.036, "own": None}
#: Fewest realisations from which a scatter follows.
FEWEST = 2


@dataclass(frozen=True)
class MonteCarloRun:
    """A finished Monte Carlo.

    Attributes
    ----------
    path : Path
        Its directory.
    summary : mapping
        The content of ``montecarlo.json``.
    """

    path: Path
    summary: Mapping[str, Any]


def default_out(survey: SurveyDescription) -> Path:
    """Return where the products go if nothing else is said."""
    return Path("runs") / f"{survey.name}_montecarlo"


def monte_carlo(
    survey: SurveyDescription,
    *,
    data: str | Path | None = None,
    errors: Which = "all",
    realisations: int | None = None,
    seed: int | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    observer: Observer | None = None,
    registry: Registry | None = None,
    executor: Executor | str | None = None,
) -> MonteCarloRun:
    """Find the error of each star's model magnitude from realisations of its input.

    The sample is built and fitted once. Each realisation perturbs observed and reference
    magnitudes, extinctions and spectra, dereddens again, trains the colour model anew (with
    ``montecarlo.retrain``) and predicts; the law and the visits' offsets stand.

    Parameters
    ----------
    survey : SurveyDescription
        From `scrframe.load_survey`.
    data : path, optional
        Data root; by default the description's. ``sample`` is the built-in sample survey.
    errors : {"median", "high", "own", "all"}
        The paper's median errors, those at its 90th percentile, each star's own, or all three.
    realisations, seed : int, optional
        By default those of the description.
    out : path, optional
        By default ``runs/<survey>_montecarlo``. An earlier one is replaced.
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
    ConfigError
        If realisations are too few, or the set of errors is not known.
    ScrframeError
        If the description or the data do not allow it. A run that fails or is interrupted
        leaves its realisations, beside its output, and the same call goes on from them.
    """
    observer = observer or Observer()
    block = survey.montecarlo
    plan = _Plan(
        _sets(errors),
        block.realisations if realisations is None else realisations,
        block.seed if seed is None else seed,
        block.retrain,
    )
    if plan.realisations < FEWEST or plan.seed < 0:
        raise ConfigError("a Monte Carlo needs 2 realisations or more, and a seed of 0 or more")
    chosen = resolve_with_warnings(survey, data, registry or load_registry(), observer)
    require_training(chosen, "a Monte Carlo")
    target = Path(out) if out is not None else default_out(survey)
    with open_session(
        chosen, target, mark=MONTECARLO, workers=workers, observer=observer, executor=executor
    ) as session:
        summary = _MonteCarlo(session, plan).run()
    return MonteCarloRun(session.workspace.out, summary)


@dataclass(frozen=True)
class _Plan:
    sets: tuple[str, ...]
    realisations: int
    seed: int
    retrain: bool


def _sets(errors: str) -> tuple[str, ...]:
    if errors == "all":
        return tuple(PAPER_MAG)
    if errors not in PAPER_MAG:
        known = ", ".join(PAPER_MAG)
        raise ConfigError(f'there is no set of errors "{errors}"; choose {known} or all')
    return (errors,)


class _MonteCarlo:
    """One Monte Carlo; each method is a step."""

    def __init__(self, session: Session, plan: _Plan) -> None:
        self._session, self._plan = session, plan
        self._notes: list[str] = []
        built, self._fitted = fit_sample(session, keep_spectra=True)
        assert built.star_features is not None
        self._sample, self._star_features = built.matched, built.star_features

    def run(self) -> dict[str, Any]:
        session, plan, monitor = self._session, self._plan, self._session.monitor
        unknown = without_errors(self._star_features)
        if unknown:
            self._note(f"the catalogue gives no errors of {', '.join(unknown)}: none are drawn")
        with monitor.step("model without errors"):
            magnitudes = PerturbedMagnitudes(
                session, self._sample, self._fitted, self._star_features, retrain=plan.retrain
            )
        results: dict[str, ErrorSetResult] = {}
        total = len(plan.sets) * plan.realisations
        with session.observer.step("Realisations", total) as done:
            for name in plan.sets:
                with monitor.step(f"realisations, {name} errors"):
                    differences = self._differences(name, magnitudes, done)
                    plain = self._plain_errors(name)
                    results[name] = ErrorSetResult.of(differences, PAPER_MAG[name], plain)
        with monitor.step("write products"):
            own = magnitudes.of_run()
            summary = self._summary(magnitudes.baseline_mag - own, results)
            table = star_table(self._sample.stars["source_id"], own, results)
            write_products(session.workspace.run, summary, table, results, session.plugins.survey)
        return summary

    def _note(self, note: str) -> None:
        self._notes.append(note)
        self._session.observer.warning(note)

    def _differences(
        self, name: str, magnitudes: PerturbedMagnitudes, done: Callable[[int], None]
    ) -> FloatArray:
        """Return changes of the model magnitudes, shape (k, s); those that are done are kept."""
        rows, plan, workspace = [], self._plan, self._session.workspace
        errors = self._errors(name)
        for number in range(plan.realisations):
            content = [name, self._plain_errors(name), plan.seed, number, plan.retrain]
            path = workspace.target("realisations", json.dumps(content, sort_keys=True))
            if sealed(path) is None:
                change = magnitudes.change(errors, plan.seed, number)
                save_arrow(path, pa.table({"change_mag": change}))
                seal(path)
            rows.append(load_arrow(path)[0].column("change_mag").to_numpy())
            done(1)
        return np.stack(rows)

    def _errors(self, name: str) -> InputErrors:
        """Return the errors of a set, by star."""
        seen, count = self._fitted.observations, len(self._sample.stars)
        training = seen.training_mask
        weight, star = seen.mag_err[training] ** -2.0, seen.star[training]
        if name == "own":
            label = label_errors(seen.mag_err[training], weight, star, count)
            return InputErrors(
                label,
                self._errors_of_all("reference_mag_err"),
                self._errors_of_all("extinction_err"),
                noise_of(self._star_features),
            )
        values = self._block(name)
        each = np.full(int(training.sum()), values.mag)
        return InputErrors(
            label_errors(each, weight, star, count),
            np.full(count, values.reference_mag),
            np.full(count, values.extinction),
            np.full(count, 1 / values.snr)
            if isinstance(self._star_features, Spectra)
            else _same_for_all(self._star_features, name),
        )

    def _block(self, name: str) -> MedianErrors | HighErrors:
        values: MedianErrors | HighErrors = getattr(self._session.plugins.survey.montecarlo, name)
        return values

    def _errors_of_all(self, name: str) -> FloatArray:
        """Return a column of errors; stars without one get the median of the others."""
        values = np.array(self._sample.stars[name], dtype=np.float64)
        missing = ~(np.isfinite(values) & (values >= 0))
        if missing.any():
            middle = float(np.median(values[~missing])) if not missing.all() else 0.0
            values[missing] = middle
            self._note(f"{missing.sum()} stars have no {name}: taken as {middle:.4f} mag")
        return values

    def _plain_errors(self, name: str) -> dict[str, float] | str:
        """Return a set's errors as plain JSON."""
        if name == "own":
            return "each star's own, as catalogued"
        values = self._block(name)
        return {
            "mag": values.mag,
            "reference_mag": values.reference_mag,
            "extinction": values.extinction,
            **({"snr": values.snr} if isinstance(self._star_features, Spectra) else {}),
        }

    def _summary(self, change: FloatArray, results: Mapping[str, ErrorSetResult]) -> dict[str, Any]:
        """Return the content of montecarlo.json; `change` is by how much retraining alone does."""
        survey, plan = self._session.plugins.survey, self._plan
        return {
            "survey": survey.name,
            "band": survey.band,
            "data_note": self._session.data.note,
            "realisations": plan.realisations,
            "seed": plan.seed,
            "retrained": plan.retrain,
            "perturbed": "spectra"
            if isinstance(self._star_features, Spectra)
            else ", ".join(self._star_features.names),
            "stars": len(self._sample.stars),
            "training_stars": len(self._fitted.plan.train),
            "retraining_alone_mag": float(np.sqrt(np.mean(change**2))),
            "notes": self._notes,
            "sets": {name: each.to_json() for name, each in results.items()},
            "provenance": {
                "versions": versions(),
                "description_sha256": survey.digest(),
                "colour_model_seed": survey.colour_model.seed,
            },
        }


class PerturbedMagnitudes:
    """Model magnitudes without errors, and how realisations change them.

    Attributes
    ----------
    baseline_mag : ndarray, shape (s,)
        Model magnitudes of the stars without errors, trained as the realisations are.
    """

    def __init__(
        self,
        session: Session,
        sample: MatchedStars,
        fitted: FittedModel,
        star_features: StarFeatures,
        *,
        retrain: bool,
    ) -> None:
        survey = session.plugins.survey
        assert fitted.settings is not None
        self._fitted, self._rows, self._retrain = fitted, star_features.rows, retrain
        self._features = feature_maker(session.plugins, star_features)
        self._trainer = Trainer(
            session.plugins.backend, fitted.settings, survey.colour_model.seed, session.workers
        )
        self._trend = trend_settings(session.plugins)
        self._reference = np.asarray(sample.stars["reference_mag"], dtype=np.float64)
        self._extinction = np.asarray(sample.stars["extinction"], dtype=np.float64)
        self._trained = self._train(sample.features, fitted.model.label_mag)
        self._colour0 = self._trained.predict(sample.features)
        self.baseline_mag = self._reference + self._colour0 + self._reddening(self._extinction)

    def of_run(self) -> FloatArray:
        """Return the run's own model magnitude of each star, the same at all its detections."""
        colour0 = self._fitted.model.colour0_mag
        return self._reference + colour0 + self._law(colour0, self._extinction)

    def change(self, errors: InputErrors, seed: int, number: int) -> FloatArray:
        """Return by how much a realisation changes the model magnitudes, shape (s,)."""
        drawn = draw(self._rows, errors, seed, number)
        extinction = self._extinction + drawn.extinction
        features = self._features(drawn.flux, extinction)
        trained = self._trained
        if self._retrain:
            # A label is (mag - reference) less the reddening: each part has its error.
            shift = drawn.label_mag - drawn.reference_mag
            shift -= self._reddening(extinction) - self._reddening(self._extinction)
            trained = self._train(features, self._fitted.model.label_mag + shift)
        colour0 = trained.predict(features)
        magnitude = self._reference + drawn.reference_mag + colour0
        magnitude += self._law(colour0, extinction)
        return np.asarray(magnitude - self.baseline_mag)

    def _train(self, features: npt.NDArray[np.float32], label_mag: FloatArray) -> TrainedColours:
        return TrainedColours(features, label_mag, self._fitted.plan, self._trainer, self._trend)

    def _reddening(self, extinction: FloatArray) -> FloatArray:
        """Return R E with the colours that the model has without errors."""
        return self._law(self._colour0, extinction)

    def _law(self, colour0_mag: FloatArray, extinction: FloatArray) -> FloatArray:
        return self._fitted.model.law.ratio(colour0_mag, extinction) * extinction


def _same_for_all(features: Quantities, name: str) -> FloatArray:
    """Return the same errors for all stars, shape (s, m): medians or 90th percentiles."""
    share = 50 if name == "median" else 90
    return np.broadcast_to(np.percentile(noise_of(features), share, axis=0), features.values.shape)
