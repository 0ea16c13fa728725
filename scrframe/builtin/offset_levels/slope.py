"""Slopes: nuisance terms in proportion to properties of stars and visits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import AfterValidator, Field, field_validator
from scipy import sparse

from scrframe.arrays import FloatArray, IntArray
from scrframe.builtin.offset_levels.keys import KeyedLevel, Keys
from scrframe.errors import ConfigError
from scrframe.plugin import OffsetLevel, PluginConfig
from scrframe.tables import Detections, MatchedStars, Role
from scrframe.tables.cuts import Expression


def _checked(text: str) -> str:
    try:
        return Expression(text.strip()).text
    except ConfigError as error:
        raise ValueError(f"is {error}") from None


#: Arithmetic on columns, written as text.
ExpressionText = Annotated[str, AfterValidator(_checked)]


class SlopeConfig(PluginConfig):
    """Terms in proportion to columns: in the solve, but never in a correction."""

    role: ClassVar[Role] = "nuisance"

    of: tuple[ExpressionText, ...] = Field(
        min_length=1,
        description="Arithmetic on columns, such as `extinction * colour0`; each has a slope.",
        examples=[["extinction"]],
    )
    by: tuple[str, ...] = Field(
        default=(), description="Columns that set slopes apart; none: one for all."
    )
    prior: Literal["random", "flat"] = Field(
        "random",
        description="Whether slopes are shrunken to zero by a variance that is estimated, or free.",
    )
    centre: bool = Field(
        False, strict=True, description="Whether the sample's mean of each is subtracted."
    )

    @field_validator("of")
    @classmethod
    def _each_once(cls, of: tuple[str, ...]) -> tuple[str, ...]:
        for text in of:
            if of.count(text) > 1:
                raise ValueError(f'names "{text}" twice')
        return of


class SlopeLevel(KeyedLevel):
    """One column for each key and expression; a detection without a value has an empty row."""

    role = SlopeConfig.role
    within_exposure = True

    def __init__(
        self, name: str, keys: Keys, of: tuple[str, ...], centres: tuple[float, ...], flat: bool
    ) -> None:
        super().__init__(name, keys)
        self._of, self._centres, self._flat = of, centres, flat

    def columns(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return the expressions."""
        return {"term": np.array(self._of)}

    def basis(self, detections: Detections) -> tuple[IntArray, FloatArray]:
        """Return the values of all expressions, less their centres."""
        weight = values_of(self.name, self._of, detections) - np.array(self._centres)
        return np.broadcast_to(np.arange(len(self._of)), weight.shape), weight

    def prior(self) -> sparse.csr_array | None:
        """Return independent slopes, or None for free ones."""
        return None if self._flat else super().prior()

    def state(self) -> Mapping[str, Any]:
        """Return what is subtracted from each expression."""
        return {"centres": list(self._centres)}


def values_of(name: str, of: tuple[str, ...], detections: Detections) -> FloatArray:
    """Return the values of expressions, shape (n, k).

    Raises ConfigError if an expression names a column that is not there, or that is not a number.
    """
    try:
        return np.stack([Expression(text).evaluate(detections) for text in of], axis=1)
    except ConfigError as error:
        raise ConfigError(f"offsets.levels.{name}.of: {error}") from None


def prepare_slope(name: str, matched: MatchedStars, config: SlopeConfig) -> SlopeLevel:
    """Find the keys of a calibration sample, and the means of the expressions.

    Raises ConfigError if an expression names a column that is not there, or that is not a number.
    """
    values = values_of(name, config.of, matched.detections)
    centres = (0.0,) * len(config.of)
    if config.centre:
        finite = np.isfinite(values).all(axis=1)
        centres = tuple(values[finite].mean(axis=0).tolist()) if finite.any() else centres
    keys = Keys.of(matched.detections, config.by)
    return SlopeLevel(name, keys, config.of, centres, config.prior == "flat")


def restore_slope(
    name: str, labels: pa.Table, state: Mapping[str, Any], config: SlopeConfig
) -> SlopeLevel:
    """Rebuild slopes from their stored labels and state."""
    keys = Keys.from_labels(labels, config.by)
    return SlopeLevel(name, keys, config.of, tuple(state["centres"]), config.prior == "flat")


def needs_slope(config: SlopeConfig) -> tuple[str, ...]:
    """Return the columns that slopes read."""
    used = [column for text in config.of for column in Expression(text).names]
    return tuple(dict.fromkeys([*config.by, *used]))


SLOPE = OffsetLevel(
    "slope",
    "nuisance terms in proportion to columns",
    "1",
    SlopeConfig,
    prepare=prepare_slope,
    restore=restore_slope,
    needs=needs_slope,
)
