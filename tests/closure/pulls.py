"""Pulls: errors over stated errors, with what their spread is uncertain by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

#: Resamplings of the fields.
DRAWS = 400
#: Coverages that are judged, and how many standard deviations hold them.
COVERAGES = {"68": 0.68, "95": 0.95}


@dataclass(frozen=True)
class Figure:
    """A statistic of pulls, what it should be, and how far it may be from that."""

    name: str
    value: float
    wanted: float
    error: float
    least: float
    number: int

    @property
    def allowed(self) -> float:
        """The larger of the least allowance and three standard errors."""
        return max(self.least, 3 * self.error)

    @property
    def holds(self) -> bool:
        """Whether the statistic is near enough."""
        return abs(self.value - self.wanted) <= self.allowed

    def __str__(self) -> str:
        """Return one line for a person."""
        mark = "" if self.holds else "   <-- off"
        return (
            f"{self.name}: {self.value:.3f}, wanted {self.wanted:.3f} within"
            f" {self.allowed:.3f} (SE {self.error:.3f}), n {self.number}{mark}"
        )


def judge(name: str, pulls: np.ndarray, unit: np.ndarray) -> list[Figure]:
    """Return sd and coverages of pulls; standard errors by bootstrap over units.

    The sd is about zero, so that a bias counts too.

    Parameters
    ----------
    pulls : ndarray, shape (n,)
    unit : ndarray of int64, shape (n,)
        What is drawn as a whole: the field (and the draw) of each pull.
    """
    unit = np.unique(unit, return_inverse=True)[1]
    parts = [np.ones(len(pulls)), pulls**2]
    parts += [np.abs(pulls) <= stats.norm.ppf(0.5 + cover / 2) for cover in COVERAGES.values()]
    sums = np.stack([np.bincount(unit, part.astype(float)) for part in parts])
    units = sums.shape[1]
    number, *others = sums @ _resampled(units).T
    drawn = [np.sqrt(others[0] / number), *(other / number for other in others[1:])]
    found = [np.sqrt(np.mean(parts[1])), *(np.mean(part) for part in parts[2:])]
    wanted = [1.0, *COVERAGES.values()]
    # Where a tenth lies in few fields resampling them says too little: no error is below
    # that of independent pulls.
    alone = np.array([0.5, *(cover * (1 - cover) for cover in COVERAGES.values())])
    lowest = np.sqrt(alone / len(pulls))
    errors = np.maximum(np.std(drawn, axis=1) * np.sqrt(units / max(units - 1, 1)), lowest)
    names = ["sd", *(f"within {cover} %" for cover in COVERAGES)]
    return [
        Figure(f"{name}, {what}", float(value), target, error, least, len(pulls))
        for what, value, target, error, least in zip(
            names, found, wanted, errors.tolist(), [0.05, 0.02, 0.02], strict=True
        )
    ]


def error_of_mean(values: np.ndarray, unit: np.ndarray) -> float:
    """Return the standard error of a mean, by bootstrap over units."""
    unit = np.unique(unit, return_inverse=True)[1]
    sums = np.stack([np.bincount(unit), np.bincount(unit, values)])
    number, total = sums @ _resampled(sums.shape[1]).T
    return float(np.std(total / number))


def _resampled(units: int) -> np.ndarray:
    """Return how often each unit is drawn, shape (DRAWS, units)."""
    return np.random.default_rng(1).multinomial(units, np.full(units, 1 / units), DRAWS)


def by_tenths(name: str, pulls: np.ndarray, unit: np.ndarray, value: np.ndarray) -> list[Figure]:
    """Return the figures of each tenth of the sample, by a property of the detections."""
    edges = np.quantile(value, np.linspace(0, 1, 11)[1:-1])
    tenth = np.searchsorted(edges, value)
    return [
        figure
        for number in range(10)
        for figure in judge(
            f"{name}, tenth {number + 1}", pulls[tenth == number], unit[tenth == number]
        )
    ]
