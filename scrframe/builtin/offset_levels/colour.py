"""Colour terms: what a star's colour changes, from detector to detector or with the air.

Only differences between detections of like colours are asked for: a term that all detections
share is the colour model's, which no observation of the same band can tell from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, model_validator
from scipy import sparse

from scrframe.arrays import FloatArray, IntArray
from scrframe.builtin.offset_levels.keys import KeyedLevel, Keys
from scrframe.builtin.offset_levels.slope import ExpressionText, values_of
from scrframe.errors import DataError
from scrframe.plugin import OffsetLevel, PluginConfig
from scrframe.tables import Detections, MatchedStars, Role
from scrframe.tables.cuts import Expression
from scrframe.tables.levels import COLOUR

#: Standard deviation of colours below which no colour term can be told from a zero point.
LEAST_SPREAD_MAG = 0.05
#: The mean of the keys' slopes is held at zero with this precision, that of a slope being 1.
MEAN_PRECISION = 1e4


class ColourConfig(PluginConfig):
    """Slopes on the colour by which a star departs from the reference colour."""

    role: ClassVar[Role] = "colour"

    by: tuple[str, ...] = Field(default=("ccd",), description="Columns that set slopes apart.")
    of: ExpressionText | None = Field(
        None,
        description="Arithmetic on columns that the slope is in proportion to, such as `airmass`;"
        " its mean is subtracted.",
    )

    @model_validator(mode="after")
    def _differs(self) -> ColourConfig:
        if not self.by and self.of is None:
            raise ValueError(
                "is a colour term that all detections share, which is the colour model's; name"
                " what sets them apart (by), or what it goes with (of)"
            )
        return self


class ColourLevel(KeyedLevel):
    """One slope for each key, in mag per mag, and per unit of an expression if there is one."""

    role = ColourConfig.role
    within_exposure = True

    def __init__(
        self, name: str, keys: Keys, of: str | None, centre: float, share: FloatArray
    ) -> None:
        super().__init__(name, keys)
        self._of, self._centre, self._share = of, centre, share

    def columns(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return what the slope is in proportion to."""
        return {"term": np.array([COLOUR if self._of is None else f"{COLOUR} * ({self._of})"])}

    def basis(self, detections: Detections) -> tuple[IntArray, FloatArray]:
        """Return the relative colour, times the expression less its mean."""
        weight = np.asarray(detections[COLOUR], dtype=np.float64)[:, None]
        if self._of is not None:
            weight = weight * (values_of(self.name, (self._of,), detections) - self._centre)
        return np.zeros(weight.shape, dtype=np.int64), weight

    def precision(self) -> sparse.csr_array:
        """Return independent slopes whose mean over the sample is zero."""
        width = len(self._share)
        own = np.eye(width)
        if self._of is None:
            own += MEAN_PRECISION * width * np.outer(self._share, self._share)
        return sparse.csr_array(own)

    def state(self) -> Mapping[str, Any]:
        """Return the mean of the expression, and each key's share of the sample."""
        return {"centre": self._centre, "share": self._share.tolist()}


def prepare_colour(name: str, matched: MatchedStars, config: ColourConfig) -> ColourLevel:
    """Find the keys of a calibration sample, and the mean of the expression.

    Raises ConfigError if the expression names a column that is not there, and DataError if the
    stars are all of nearly one colour, so that a colour term is a zero point by another name.
    """
    table = matched.detections
    if not np.nanstd(np.asarray(table[COLOUR], dtype=np.float64)) > LEAST_SPREAD_MAG:
        raise DataError(f"{name}: the stars are all of nearly one colour")
    keys = Keys.of(table, config.by)
    centre = 0.0
    if config.of is not None:
        values = values_of(name, (config.of,), table)
        finite = np.isfinite(values)
        centre = float(values[finite].mean()) if finite.any() else 0.0
    found = keys.find(table)
    count = np.bincount(found[found >= 0], minlength=len(keys.codes)).astype(np.float64)
    return ColourLevel(name, keys, config.of, centre, count / max(count.sum(), 1.0))


def restore_colour(
    name: str, labels: pa.Table, state: Mapping[str, Any], config: ColourConfig
) -> ColourLevel:
    """Rebuild colour terms from their stored labels and state."""
    keys = Keys.from_labels(labels, config.by)
    share = np.array(state["share"], dtype=np.float64)
    return ColourLevel(name, keys, config.of, float(state["centre"]), share)


def needs_colour(config: ColourConfig) -> tuple[str, ...]:
    """Return the columns that colour terms read."""
    used = () if config.of is None else Expression(config.of).names
    return tuple(dict.fromkeys([*config.by, COLOUR, *used]))


COLOUR_TERM = OffsetLevel(
    "colour",
    "slopes on the colour, by key or with the airmass",
    "1",
    ColourConfig,
    prepare=prepare_colour,
    restore=restore_colour,
    needs=needs_colour,
)
