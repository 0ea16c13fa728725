"""The `lightgbm` colour model: gradient-boosted trees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field

from scrframe.arrays import Features, FloatArray
from scrframe.builtin.colour_models.training import check_features, check_training
from scrframe.errors import PluginError
from scrframe.plugin import ColourModel, ColourPrediction, FittedColourModel, PluginConfig, hookimpl
from scrframe.version import __version__

#: Training stars for each thread. With fewer, LightGBM's threads wait for each other more
#: than they work: two took five times as long as one for 8,000 stars on a busy machine.
ROWS_PER_THREAD = 50_000


class LightGbmConfig(PluginConfig):
    """Settings of the boosted trees, under LightGBM's own names where it has them.

    With a trend taken out first, few small trees have the dispersion of many large ones, and
    predict several times as fast; without one, 300 trees of 63 leaves do better.
    """

    num_trees: int = Field(100, ge=1, description="Rounds of boosting.")
    learning_rate: float = Field(0.1, gt=0, le=1, description="Weight of each round.")
    num_leaves: int = Field(15, ge=2, le=131_072, description="Most leaves in a tree.")
    min_data_in_leaf: int = Field(10, ge=1, description="Fewest stars in a leaf.")
    feature_fraction: float = Field(
        0.3, gt=0, le=1, description="Fraction of the features that each tree sees."
    )
    bagging_fraction: float = Field(
        0.7, gt=0, le=1, description="Fraction of the stars that each tree sees."
    )
    lambda_l2: float = Field(0.0, ge=0, description="Shrinkage of the leaves.")
    max_bin: int = Field(
        255, ge=16, le=65_535, description="Bins into which each feature is sorted."
    )


@dataclass(frozen=True)
class FittedLightGbm(FittedColourModel):
    """Trained boosted trees."""

    booster: Any
    #: Number of features.
    width: int
    #: Threads for predictions, which do not depend on their number.
    threads: int

    def predict(self, features: Features) -> ColourPrediction:
        """Predict colours in mag of features of shape (n, m), without errors.

        Raises CalibrationError if the number of features differs from the training's or a value is
        not finite.
        """
        check_features("LightGBM model", features, self.width)
        if not len(features):
            return ColourPrediction(np.empty(0))
        colour = self.booster.predict(features, num_threads=self.threads)
        return ColourPrediction(np.asarray(colour, dtype=np.float64))


def fit(
    features: Features,
    colour_mag: FloatArray,
    weights: FloatArray | None,
    config: LightGbmConfig,
    seed: int,
    threads: int,
) -> FittedLightGbm:
    """Train boosted trees; the result does not depend on the number of threads.

    The contract is that of `scrframe.plugin.colour_model.FitFunction`.

    Raises PluginError if the LightGBM library cannot be loaded.
    """
    try:
        import lightgbm  # noqa: PLC0415  (slow to import)
    except (ImportError, OSError) as error:  # OSError: the OpenMP runtime is missing
        raise PluginError(
            f"LightGBM cannot be loaded ({error}); install the OpenMP runtime (libgomp) or"
            " choose another colour_model.kind"
        ) from None
    needed = 2 * config.min_data_in_leaf
    colour, weight = check_training("LightGBM model", features, colour_mag, weights, needed)
    used = weight > 0
    helpful = min(threads, 1 + int(used.sum()) // ROWS_PER_THREAD)
    settings = config.model_dump()
    del settings["num_trees"]  # given as the number of rounds, of which it is an alias
    parameters = {
        **settings,
        "objective": "regression",
        "bagging_freq": 1,
        "seed": seed,
        "num_threads": helpful,
        "deterministic": True,
        # By column each histogram is filled by one thread in row order, so that its sums
        # do not depend on the number of threads.
        "force_col_wise": True,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(
        np.ascontiguousarray(features[used], dtype=np.float32),
        label=colour[used],
        weight=None if weights is None else weight[used],
        params=parameters,
    )
    booster = lightgbm.train(parameters, data, num_boost_round=config.num_trees)
    return FittedLightGbm(booster, features.shape[1], threads)


@hookimpl
def scrframe_colour_models() -> Iterable[ColourModel]:
    """Yield the boosted trees."""
    yield ColourModel(
        name="lightgbm",
        summary="Gradient-boosted trees (LightGBM)",
        version=__version__,
        config=LightGbmConfig,
        fit=fit,
    )
