"""The `extra_trees` colour model: extremely randomised trees (Geurts et al. 2006).

The threshold of each split is drawn at random. Trees are grown on bags all the same, which
leaves each star out of a third of them: that gives predictions that did not see a star.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from scrframe.arrays import Features, FloatArray
from scrframe.builtin.colour_models.forest import FittedForest
from scrframe.builtin.colour_models.random_forest import BaggingConfig, grow_forest
from scrframe.plugin import ColourModel, hookimpl
from scrframe.version import __version__


class ExtraTreesConfig(BaggingConfig):
    """Settings of the extremely randomised trees."""

    # A tree that is grown at random is smoothed by larger leaves.
    min_samples_leaf: int = Field(5, ge=1, description="Fewest distinct stars in a leaf.")
    # Thresholds are drawn, not searched for: rounding would save nothing.
    steps: int | None = Field(
        None,
        ge=16,
        description="Steps between the 1st and 99th percentiles to which each feature is"
        " rounded; null: not rounded.",
    )


def fit(
    features: Features,
    colour_mag: FloatArray,
    weights: FloatArray | None,
    config: ExtraTreesConfig,
    seed: int,
    threads: int,
) -> FittedForest:
    """Train extremely randomised trees; the same for any number of threads.

    The contract is that of `scrframe.plugin.colour_model.FitFunction`.
    """
    stars = features, colour_mag, weights
    return grow_forest("forest of extra trees", "ExtraTreeRegressor", *stars, config, seed, threads)


@hookimpl
def scrframe_colour_models() -> Iterable[ColourModel]:
    """Yield the extremely randomised trees."""
    yield ColourModel(
        name="extra_trees",
        summary="Extremely randomised regression trees (scikit-learn)",
        version=__version__,
        config=ExtraTreesConfig,
        fit=fit,
    )
