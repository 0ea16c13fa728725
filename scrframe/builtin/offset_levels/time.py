"""Slow changes: random walks and splines in time, at evenly spaced knots."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field
from scipy import linalg, sparse

from scrframe.arrays import FloatArray, IntArray
from scrframe.builtin.offset_levels.keys import KeyedLevel, Keys, vary_within_exposure
from scrframe.errors import CalibrationError
from scrframe.plugin import OffsetLevel, PluginConfig
from scrframe.tables import Detections, MatchedStars
from scrframe.units import InUnit

Days = Annotated[float, InUnit("d")]

#: What is added to the sum of squared second differences of a spline's coefficients to make
#: its prior proper. Its inverse fourth root, about 3, is the time in knots over which a
#: spline bends.
RIDGE = 0.01
#: More intervals than this are a slip of the pen.
MAX_INTERVALS = 5000


class RandomWalkConfig(PluginConfig):
    """A damped random walk in time, linear between knots."""

    step: Days = Field("180 d", validate_default=True, description="Time between knots.")
    memory: Days = Field(
        "1500 d",
        validate_default=True,
        description="Time over which the correlation of the walk falls to 1/e.",
    )
    by: tuple[str, ...] = Field(
        default=("ccd",), description="Columns that set walks apart; none: one for all."
    )


class SplineConfig(PluginConfig):
    """A cubic spline in time."""

    step: Days = Field("180 d", validate_default=True, description="Time between knots.")
    by: tuple[str, ...] = Field(
        default=("ccd",), description="Columns that set splines apart; none: one for all."
    )


@dataclass(frozen=True)
class Knots:
    """Evenly spaced times, from `start_mjd` on; before and after them time stands still."""

    start_mjd: float
    step_d: float
    intervals: int

    @classmethod
    def over(cls, name: str, mjd: FloatArray, step_d: float) -> Knots:
        """Return knots from the first date, of the beginning of its day, to the last or beyond.

        Raises CalibrationError if there is no date, or there are too many knots between the first
        and the last.
        """
        dates = mjd[np.isfinite(mjd)]
        if not len(dates):
            raise CalibrationError(f"offsets.levels.{name}: no detection has a date (mjd)")
        start = float(np.floor(dates.min()))
        intervals = max(int(np.ceil((dates.max() - start) / step_d)), 1)
        if intervals > MAX_INTERVALS:
            raise CalibrationError(
                f"offsets.levels.{name}: a step of {step_d:g} d makes {intervals} intervals"
                f" between mjd {dates.min():.1f} and {dates.max():.1f}, more than"
                f" {MAX_INTERVALS}; choose a longer step"
            )
        return cls(start, float(step_d), intervals)

    def locate(self, mjd: FloatArray) -> tuple[IntArray, FloatArray]:
        """Return the interval of each date and the part of it that has passed, shape (n,)."""
        steps = np.clip((mjd - self.start_mjd) / self.step_d, 0, self.intervals)
        interval = np.floor(np.nan_to_num(steps)).astype(np.int64)
        interval = np.minimum(interval, self.intervals - 1)
        return interval, steps - interval


class TimeLevel(KeyedLevel):
    """A function of time for each key."""

    def __init__(self, name: str, keys: Keys, knots: Knots) -> None:
        super().__init__(name, keys)
        self.within_exposure = vary_within_exposure(keys.values)
        self._knots = knots

    @abstractmethod
    def weights(self, part: FloatArray) -> FloatArray:
        """Return the weights of k neighbouring columns, shape (n, k), within an interval."""

    def basis(self, detections: Detections) -> tuple[IntArray, FloatArray]:
        """Return the columns about each date, the first being that of its interval."""
        interval, part = self._knots.locate(detections["mjd"])
        weight = self.weights(part)
        return interval[:, np.newaxis] + np.arange(weight.shape[1]), weight

    def state(self) -> Mapping[str, Any]:
        """Return where the knots are."""
        knots = self._knots
        return {"start_mjd": knots.start_mjd, "step_d": knots.step_d, "intervals": knots.intervals}

    def _knot_columns(self, first: int, count: int) -> dict[str, npt.NDArray[Any]]:
        knot = np.arange(count)
        mjd = self._knots.start_mjd + (knot + first) * self._knots.step_d
        return {"knot": knot, "knot_mjd": mjd}


class RandomWalkLevel(TimeLevel):
    """Values at knots, linear between them."""

    def __init__(self, name: str, keys: Keys, knots: Knots, memory_d: float) -> None:
        super().__init__(name, keys, knots)
        self._memory = memory_d

    def columns(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return number and date of the knots."""
        return self._knot_columns(0, self._knots.intervals + 1)

    def weights(self, part: FloatArray) -> FloatArray:
        """Return the weights of the knots before and after."""
        return np.stack([1 - part, part], axis=1)

    def prior(self) -> sparse.csr_array:
        """Return the inverse of the covariance exp(-|dt| / memory) between knots.

        This is an Ornstein-Uhlenbeck process of variance 1 (Kelly, Bechtold & Siemiginowska
        2009, Eq. 1), which is Markov, so that its precision is tridiagonal.
        """
        ratio = self._knots.step_d / self._memory
        damping = np.exp(-ratio)
        middle = np.full(self._knots.intervals + 1, 1 + damping**2)
        middle[[0, -1]] = 1.0
        beside = np.full(self._knots.intervals, -damping)
        scale = -np.expm1(-2 * ratio)
        bands = [beside / scale, middle / scale, beside / scale]
        return sparse.csr_array(sparse.diags_array(bands, offsets=[-1, 0, 1]))


class SplineLevel(TimeLevel):
    """Cubic B-splines on the knots and one knot beyond each end."""

    def columns(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return number and peak of the B-splines."""
        return self._knot_columns(-1, self._knots.intervals + 3)

    def weights(self, part: FloatArray) -> FloatArray:
        """Return the four B-splines that are not zero."""
        rest = 1 - part
        cubes = [rest**3, 3 * part**3 - 6 * part**2 + 4, 3 * rest**3 - 6 * rest**2 + 4, part**3]
        return np.stack(cubes, axis=1) / 6

    def prior(self) -> sparse.csr_array:
        """Return a penalty on second differences (Eilers & Marx 1996), made proper by `RIDGE`.

        It is scaled so that the variance of the spline is 1 in the mean over its knots.
        """
        count = self._knots.intervals + 3
        difference = sparse.diags_array(
            [1.0, -2.0, 1.0], offsets=[0, 1, 2], shape=(count - 2, count)
        )
        penalty = difference.T @ difference + RIDGE * sparse.eye_array(count)
        at_knots = sparse.diags_array(
            [1 / 6, 4 / 6, 1 / 6], offsets=[0, 1, 2], shape=(count - 2, count)
        ).toarray()
        bands = np.zeros((3, count))
        for offset in range(3):
            bands[2 - offset, offset:] = penalty.diagonal(offset)
        variance = np.sum(at_knots.T * linalg.solveh_banded(bands, at_knots.T), axis=0)
        return sparse.csr_array(penalty * float(variance.mean()))


def prepare_random_walk(
    name: str, matched: MatchedStars, config: RandomWalkConfig
) -> RandomWalkLevel:
    """Lay out the knots over the dates of a calibration sample."""
    knots = Knots.over(name, matched.detections["mjd"], config.step)
    return RandomWalkLevel(name, Keys.of(matched.detections, config.by), knots, config.memory)


def restore_random_walk(
    name: str, labels: pa.Table, state: Mapping[str, Any], config: RandomWalkConfig
) -> RandomWalkLevel:
    """Rebuild a random walk from its stored labels and state."""
    return RandomWalkLevel(name, Keys.from_labels(labels, config.by), Knots(**state), config.memory)


def prepare_spline(name: str, matched: MatchedStars, config: SplineConfig) -> SplineLevel:
    """Lay out the knots over the dates of a calibration sample."""
    knots = Knots.over(name, matched.detections["mjd"], config.step)
    return SplineLevel(name, Keys.of(matched.detections, config.by), knots)


def restore_spline(
    name: str, labels: pa.Table, state: Mapping[str, Any], config: SplineConfig
) -> SplineLevel:
    """Rebuild a spline from its stored labels and state."""
    return SplineLevel(name, Keys.from_labels(labels, config.by), Knots(**state))


def needs_time(config: RandomWalkConfig | SplineConfig) -> tuple[str, ...]:
    """Return the columns that a random walk or a spline reads."""
    return (*config.by, "mjd")


RANDOM_WALK = OffsetLevel(
    "random_walk",
    "a damped random walk in time",
    "1",
    RandomWalkConfig,
    prepare=prepare_random_walk,
    restore=restore_random_walk,
    needs=needs_time,
)
SPLINE = OffsetLevel(
    "spline",
    "a cubic spline in time",
    "1",
    SplineConfig,
    prepare=prepare_spline,
    restore=restore_spline,
    needs=needs_time,
)
