"""The `random_forest` colour model: bagged scikit-learn regression trees (paper, step i)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scrframe import __version__
from scrframe.builtin.bagging import Bag, BaggingConfig, grow_forest
from scrframe.builtin.forest import Features, FittedForest, FloatArray
from scrframe.plugin import ColourModel, hookimpl


class RandomForestConfig(BaggingConfig):
    """Settings of the random forest."""


def fit(
    features: Features,
    colour_mag: FloatArray,
    weights: FloatArray | None,
    config: RandomForestConfig,
    seed: int,
    threads: int,
) -> FittedForest:
    """Train a random forest; the result does not depend on the number of threads.

    Parameters
    ----------
    features : ndarray of float32, shape (n, m)
        Standardised intrinsic spectra, one row a star.
    colour_mag : ndarray of float64, shape (n,)
        Intrinsic colours in mag.
    weights : ndarray of float64, shape (n,), or None
        Weights of the stars in splits and leaf means.
    config : RandomForestConfig
    seed : int
        Not negative.
    threads : int

    Raises
    ------
    CalibrationError
        If shapes disagree, a value is not finite or there are too few stars.
    """
    return grow_forest(
        "random forest", _grow_tree, features, colour_mag, weights, config, seed, threads
    )


def _grow_tree(
    codes: Features, colour: FloatArray, weight: FloatArray, bag: Bag, settings: dict[str, Any]
) -> Any:
    from sklearn.tree import DecisionTreeRegressor  # noqa: PLC0415  (slow to import)

    tree = DecisionTreeRegressor(**settings)
    return tree.fit(codes, colour, sample_weight=bag * weight, check_input=False)


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
