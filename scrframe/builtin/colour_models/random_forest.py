"""The `random_forest` colour model: bagged scikit-learn regression trees (paper, step i).

Trees may be grown by scikit-learn-intelex instead, one by one on the same bags, so that all
that rests on the bags stays. Its trees differ, as it sorts features into bins.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from pydantic import Field

from scrframe.arrays import Features, FloatArray
from scrframe.builtin.colour_models.bagging import Bag, BaggingConfig, GrowTree, grow_forest
from scrframe.builtin.colour_models.forest import FittedForest
from scrframe.errors import PluginError
from scrframe.plugin import ColourModel, hookimpl
from scrframe.version import __version__

#: Bins of scikit-learn-intelex: more than a rounded feature has values, as bins of several
#: values would put thresholds elsewhere when stars are sorted into the finished tree.
BINS = 2048


class RandomForestConfig(BaggingConfig):
    """Settings of the random forest."""

    engine: Literal["scikit-learn", "intelex"] = Field(
        "scikit-learn",
        description="Library that grows the trees. `intelex` (scikit-learn-intelex, to be"
        " installed) trains about twice as fast; its trees differ, with the same accuracy.",
    )


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

    Raises
    ------
    PluginError
        If scikit-learn-intelex is asked for and cannot be loaded.
    """
    data = (features, colour_mag, weights, config, seed, threads)
    if config.engine == "scikit-learn":
        return grow_forest("random forest", _grow_tree, *data)
    # This engine is not for threads of Python, but has its own.
    return grow_forest("random forest", _intelex(threads), *data, at_once=1)


def _grow_tree(
    codes: Features, colour: FloatArray, weight: FloatArray, bag: Bag, settings: dict[str, Any]
) -> Any:
    from sklearn.tree import DecisionTreeRegressor  # noqa: PLC0415  (slow to import)

    tree = DecisionTreeRegressor(**settings)
    return tree.fit(codes, colour, sample_weight=bag * weight, check_input=False)


def _intelex(threads: int) -> GrowTree:
    """Return what grows a tree with scikit-learn-intelex."""
    try:
        from sklearnex.ensemble import RandomForestRegressor  # noqa: PLC0415  (optional)
    except (ImportError, OSError) as error:
        raise PluginError(
            f"scikit-learn-intelex cannot be loaded ({error}); install scrframe[intel] or set"
            " colour_model.random_forest.engine to scikit-learn"
        ) from None

    def grow(
        codes: Features, colour: FloatArray, weight: FloatArray, bag: Bag, settings: dict[str, Any]
    ) -> Any:
        drawn = bag > 0
        mass = bag[drawn] * weight[drawn]
        one = RandomForestRegressor(
            n_estimators=1, bootstrap=False, n_jobs=threads, max_bins=BINS, **settings
        )
        tree = one.fit(codes[drawn], colour[drawn], sample_weight=mass).estimators_[0]
        leaves = tree.tree_.apply(codes[drawn])
        held = np.bincount(leaves, minlength=tree.tree_.node_count) > 0
        if held[tree.tree_.children_left < 0].all():
            return tree
        # Its thresholds are rounded otherwise: a leaf can be out of reach of all stars.
        return _grow_tree(codes, colour, weight, bag, settings)

    return grow


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
