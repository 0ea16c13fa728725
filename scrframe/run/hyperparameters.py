"""The search for a backend's settings, by successive halving on growing numbers of stars.

After Karnin, Koren & Somekh (2013, ICML 28, 1238) and Jamieson & Talwalkar (2016, AISTATS
51, 240). It stands on numpy alone: machine-learning libraries are the backends' own affair,
and what they offer of the kind is experimental, thins out the stars that judge as well as
those that train, and does not keep the description's own settings in the race, without
which nobody knows what a search gained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from scrframe.arrays import Features, FloatArray, IntArray
from scrframe.config.plugin_blocks import SearchSettings
from scrframe.errors import CalibrationError
from scrframe.observer import Observer
from scrframe.plugin import ColourModel, PluginConfig
from scrframe.run.plugins import SelectedPlugins
from scrframe.scr.iteration import Iteration, IterationSettings
from scrframe.scr.observations import Observations, VisitMeans
from scrframe.scr.training import ColourPredictor, TrainingPlan, Trend, TrendSettings


@dataclass(frozen=True)
class Candidate:
    """Settings that compete."""

    #: What differs from the description's, as it is written in YAML; empty for its own.
    values: Mapping[str, Any]
    config: PluginConfig


@dataclass(frozen=True)
class Judge:
    """Trains settings on some of the stars and judges them by all, each when left out."""

    backend: ColourModel
    #: Shape (t, m).
    features: Features
    #: Shape (t,).
    colour_mag: FloatArray
    #: Shape (t,).
    fold: IntArray
    #: The stars that train first; a larger number holds the smaller. Shape (t,).
    order: IntArray
    seed: int
    threads: int
    #: Taken out fold by fold.
    trend: TrendSettings | None

    def scatter(self, config: PluginConfig, stars: int) -> float:
        """Return the out-of-fold sd by star, in mag, of models trained on so many stars.

        Raises CalibrationError if the backend cannot train, or predicts what is not finite.
        """
        chosen = np.zeros(len(self.fold), dtype=bool)
        chosen[self.order[:stars]] = True
        residual = np.empty(len(self.fold))
        for number in np.unique(self.fold):
            outside = self.fold == number
            train = chosen & ~outside
            predicted = self._predict(config, train, outside)
            residual[outside] = self.colour_mag[outside] - predicted
        if not np.isfinite(residual).all():
            raise CalibrationError(
                f"colour model {self.backend.name!r} predicted colours that are not finite"
            )
        return float(residual.std())

    def _predict(
        self, config: PluginConfig, train: npt.NDArray[np.bool_], wanted: npt.NDArray[np.bool_]
    ) -> FloatArray:
        features, labels = self.features[train], self.colour_mag[train]
        smooth = np.zeros(int(wanted.sum()))
        if self.trend is not None and self.trend.shape != "none":
            trend = Trend.on(features, self.trend)
            smooth = trend.predict(self.features[wanted], labels)
            labels = labels - trend.predict(features, labels)
        model = self.backend.fit(
            features, labels, None, config, seed=self.seed, threads=self.threads
        )
        return smooth + np.asarray(model.predict(self.features[wanted]).colour_mag)


def search_settings(
    backend: ColourModel,
    config: PluginConfig,
    search: SearchSettings,
    features: Features,
    colour_mag: FloatArray,
    fold: IntArray,
    seed: int,
    threads: int,
    trend: TrendSettings | None = None,
) -> tuple[PluginConfig, dict[str, Any]]:
    """Choose a backend's settings by successive halving.

    Each round trains the candidates on `search.factor` times as many stars as the one before,
    in the last on all, and keeps the best of them; the settings in `config` stay in the race
    to its end. The result does not depend on the number of threads.

    Parameters
    ----------
    config : PluginConfig
        The description's settings; what the search does not vary stays.
    features : ndarray of float32, shape (t, m)
        Of the stars that may train.
    colour_mag : ndarray, shape (t,)
        Their intrinsic colours in mag.
    fold : ndarray of int64, shape (t,)
        Fold of each star; see `search_folds`.
    seed, threads : int
        Of the backend.
    trend : TrendSettings, optional
        Taken out before the backend, in each fold from its training stars; by default none.

    Returns
    -------
    settings : PluginConfig
        `config` itself where the search does not name the backend.
    record : dict
        What was tried and found, as plain JSON; empty where the search does not name the
        backend.

    Raises
    ------
    CalibrationError
        If the backend refuses all combinations, or cannot train on the stars.
    """
    if backend.name not in search.over:
        return config, {}
    candidates, refused = _candidates(backend, config, search)
    rng = np.random.default_rng([search.seed, 1])
    judge = Judge(
        backend, features, colour_mag, fold, rng.permutation(len(fold)), seed, threads, trend
    )
    rounds: list[dict[str, Any]] = []
    alive = candidates
    for stars, kept in _schedule(len(candidates) - 1, len(fold), search):
        found = [judge.scatter(each.config, stars) for each in alive]
        pairs = zip(alive, found, strict=True)
        tried = [{"values": dict(each.values), "sd_mag": sd} for each, sd in pairs]
        rounds.append({"stars": stars, "tried": tried})
        best = [place + 1 for place in np.argsort(found[1:], kind="stable")[:kept]]
        # What did best comes first but for the description's own settings.
        alive, scores = [alive[place] for place in [0, *best]], [found[i] for i in [0, *best]]
    winner = 1 if len(scores) > 1 and scores[1] < scores[0] else 0
    described = config.model_dump(mode="json")
    varied = {key: described[key] for key in search.over[backend.name]}
    record = {
        "chosen": {**varied, **alive[winner].values},
        "sd_mag": scores[winner],
        "sd_as_described_mag": scores[0],
        "candidates": len(candidates),
        "refused": refused,
        "rounds": rounds,
        "seed": search.seed,
    }
    return alive[winner].config, record


def search_folds(stars: int, search: SearchSettings) -> IntArray:
    """Return a fold for each of so many stars, shape (t,), at random and of equal size."""
    rng = np.random.default_rng([search.seed, 0])
    return rng.permutation(np.arange(stars, dtype=np.int64) % search.folds)


def tune(
    plugins: SelectedPlugins,
    features: Features,
    observations: Observations,
    plan: TrainingPlan,
    settings: IterationSettings,
    trend: TrendSettings,
    workers: int,
    observer: Observer,
) -> tuple[PluginConfig, dict[str, Any]]:
    """Return the backend's settings for a calibration, searched for where that is asked.

    The stars that train compete over; the test stars have no part in the choice. The record of
    `search_settings` comes along, empty without a search.
    """
    block = plugins.survey.colour_model
    search = block.search
    if search is None or block.kind not in search.over:
        return block.settings, {}
    with observer.step("Search for settings"):
        # Colours after a first round with a linear trend alone, which needs no backend. Without
        # it, errors of the visits as large as the model's own would be in them, and favour
        # settings that smooth too much.
        linear = ColourPredictor(features, plan, _no_backend, TrendSettings("linear"))
        start = VisitMeans.start(observations)
        state = Iteration(observations, linear, settings, start, lambda _: None)
        state.iterate_law(1)
        state.update_offsets(1)
        found, record = search_settings(
            plugins.backend,
            block.settings,
            search,
            features[plan.train],
            state.labels()[plan.train],
            search_folds(len(plan.train), search),
            block.seed,
            workers,
            trend,
        )
    observer.message(describe_search(block.kind, record))
    return found, record


def _no_backend(features: Features, colour_mag: FloatArray) -> Any:
    raise AssertionError("the first round has the trend alone")


def describe_search(backend: str, record: Mapping[str, Any]) -> str:
    """Return one line about the outcome of a search."""
    values = ", ".join(
        f"{key} {'null' if value is None else value}" for key, value in record["chosen"].items()
    )
    return (
        f"  search: {backend} with {values}, the best of {record['candidates']}; sd out of fold"
        f" {1000 * record['sd_mag']:.2f} mmag, {1000 * record['sd_as_described_mag']:.2f} as"
        " described"
    )


def _candidates(
    backend: ColourModel, config: PluginConfig, search: SearchSettings
) -> tuple[list[Candidate], int]:
    """Return the settings that compete, the description's first, and how many were refused."""
    over = search.over[backend.name]
    shape = tuple(len(values) for values in over.values())
    total, rng = math.prod(shape), np.random.default_rng([search.seed, 2])
    drawn = rng.choice(total, min(total, search.candidates), replace=False)
    places = np.transpose(np.unravel_index(np.sort(drawn), shape))
    grid = [
        {key: values[i] for (key, values), i in zip(over.items(), place, strict=True)}
        for place in places
    ]
    described = config.model_dump(mode="json")
    found, refused = [Candidate({}, config)], []
    for values in grid:
        try:
            settings = backend.config.model_validate({**described, **values})
        except ValidationError as error:
            refused.append(str(error.errors(include_url=False)[0]["msg"]))
            continue
        if settings != config:
            found.append(Candidate(values, settings))
    if len(refused) == len(grid):
        raise CalibrationError(
            f"colour_model.search.over.{backend.name}: the backend refuses every combination:"
            f" {refused[0]}"
        )
    return found, len(refused)


def _schedule(candidates: int, stars: int, search: SearchSettings) -> list[tuple[int, int]]:
    """Return for each round its training stars and how many candidates it keeps."""
    alive = [candidates]
    while alive[-1] > search.factor:
        alive.append(-(-alive[-1] // search.factor))
    last, fewest = len(alive) - 1, min(search.min_stars, stars)
    sizes = [max(fewest, stars // search.factor ** (last - this)) for this in range(len(alive))]
    return list(zip(sizes, [*alive[1:], 1], strict=True))
