"""The `random_forest` colour model: bagged scikit-learn regression trees (paper, step i).

The bags are drawn here rather than by a library's forest, so that it is known which star is
in which bag and that weights mean the same in every version of the library. `extra_trees`
grows its trees on such bags too.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from scrframe.arrays import Features, FloatArray
from scrframe.builtin.colour_models.forest import FittedForest, Grid, Tree, on_grid
from scrframe.builtin.colour_models.training import check_training
from scrframe.plugin import ColourModel, PluginConfig, hookimpl
from scrframe.version import __version__

Bag = npt.NDArray[np.unsignedinteger[Any]]


class BaggingConfig(PluginConfig):
    """Settings that the forests share."""

    trees: int = Field(100, ge=10, description="Number of trees.")
    min_samples_leaf: int = Field(3, ge=1, description="Fewest distinct stars in a leaf.")
    max_features: Annotated[float, Field(gt=0, le=1)] | Literal["sqrt"] = Field(
        1 / 3,
        description="Fraction of the features that a split may choose from, or their square root.",
    )
    max_depth: int | None = Field(
        None, ge=1, description="Greatest depth of a tree; null: no limit."
    )
    bootstrap_fraction: float = Field(
        1.0, gt=0, le=1, description="Size of a bag relative to the number of training stars."
    )
    steps: int | None = Field(
        128,
        ge=16,
        description="Steps between the 1st and 99th percentiles to which each feature is"
        " rounded, which makes training faster; null: not rounded.",
    )
    errors: bool = Field(
        False,
        description="Predict an error for each star: the scatter of the training stars that"
        " share its leaves. Predictions take about a tenth longer.",
    )


def grow_forest(
    name: str,
    kind: str,
    features: Features,
    colour_mag: FloatArray,
    weights: FloatArray | None,
    config: BaggingConfig,
    seed: int,
    threads: int,
) -> FittedForest:
    """Grow a forest; the result does not depend on the number of threads.

    Parameters
    ----------
    name : str
        Name of the model, for messages.
    kind : str
        Class of the trees in `sklearn.tree`.
    features : ndarray of float32, shape (n, m)
        Standardised intrinsic spectra, one row a star.
    colour_mag : ndarray of float64, shape (n,)
        Intrinsic colours in mag.
    weights : ndarray of float64, shape (n,), or None
        Weights of the stars in splits and leaf means.
    seed : int
        Not negative.
    threads : int
        For growing and for predictions.

    Raises
    ------
    CalibrationError
        If shapes disagree, a value is not finite or there are too few stars.
    """
    grower = getattr(import_module("sklearn.tree"), kind)  # slow to import
    needed = 2 * config.min_samples_leaf
    colour, weight = check_training(name, features, colour_mag, weights, needed)
    grid = None if config.steps is None else Grid.of(features, config.steps)
    codes = on_grid(features, grid)

    def grow(number: int) -> Tree:
        rng = np.random.default_rng([seed, number])
        usable = np.flatnonzero(weight > 0)
        size = max(1, round(config.bootstrap_fraction * len(usable)))
        drawn = np.bincount(usable[rng.integers(0, len(usable), size)], minlength=len(codes))
        bag = drawn.astype(np.min_scalar_type(int(drawn.max())))
        wanted = (
            math.sqrt(codes.shape[1])
            if isinstance(config.max_features, str)
            else config.max_features * codes.shape[1]
        )
        settings = {
            "min_samples_leaf": config.min_samples_leaf,
            "max_features": max(1, round(wanted)),
            "max_depth": config.max_depth,
            "random_state": int(rng.integers(2**31 - 1)),
        }
        splits = grower(**settings).fit(
            codes, colour, sample_weight=bag * weight, check_input=False
        )
        is_leaf = splits.tree_.children_left < 0
        leaf_of_node = np.cumsum(is_leaf) - 1
        smallest = np.min_scalar_type(int(is_leaf.sum()) - 1)
        nodes = splits.apply(codes, check_input=False)
        return Tree(splits, leaf_of_node, leaf_of_node[nodes].astype(smallest), bag)

    with ThreadPoolExecutor(threads) as pool:
        trees = tuple(pool.map(grow, range(config.trees)))
    return FittedForest(
        trees, colour, weight, codes.shape[1], grid, threads, name=name, errors=config.errors
    )


class RandomForestConfig(BaggingConfig):
    """Settings of the random forest."""

    engine: Literal["scikit-learn", "intelex"] = Field(
        "scikit-learn", description="No longer used: scikit-learn grows the trees. Leave it out."
    )

    @field_validator("engine")
    @classmethod
    def _scikit_learn(cls, value: str) -> str:
        if value != "scikit-learn":
            warnings.warn(
                f"colour_model.random_forest.engine: {value} is no longer used; scikit-learn grows"
                " the trees (leave the key out)",
                FutureWarning,
                stacklevel=1,
            )
        return "scikit-learn"


def fit(
    features: Features,
    colour_mag: FloatArray,
    weights: FloatArray | None,
    config: RandomForestConfig,
    seed: int,
    threads: int,
) -> FittedForest:
    """Train a random forest; the result does not depend on the number of threads.

    The contract is that of `scrframe.plugin.colour_model.FitFunction`.
    """
    stars = features, colour_mag, weights
    return grow_forest("random forest", "DecisionTreeRegressor", *stars, config, seed, threads)


@hookimpl
def scrframe_colour_models() -> Iterable[ColourModel]:
    """Yield the random forest."""
    yield ColourModel(
        name="random_forest",
        summary="Bagged regression trees (scikit-learn), as in the paper",
        version=__version__,
        config=RandomForestConfig,
        fit=fit,
    )
