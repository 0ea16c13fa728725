"""What a colour model may not do; each check returns a sentence that names the fault, or None.

A backend must give one finite number a row, forget a training when it begins the next, hold out
a row's own label where it says so, and do the same twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
Features: TypeAlias = npt.NDArray[np.floating]


class LinearRows(Protocol):
    """Predictions of fixed rows as a linear function of the training colours."""

    def held_out(self, colour_mag: FloatArray, /) -> FloatArray:
        """Return predictions of the training rows, shape (t,), none of which used its own."""
        ...


class Model(Protocol):
    """A trained model."""

    def predict(self, features: Features, /) -> FloatArray:
        """Return colours, shape (n,), at features (n, m)."""
        ...

    def smoother(self, features: Features, /) -> LinearRows | None:
        """Return the model as a smoother for these rows, or None where it is not linear."""
        ...


#: Trains on features (n, m) and colours (n,); settings, seed and threads are bound.
Fit: TypeAlias = Callable[[Features, FloatArray], Model]


def check_output(predicted: Any, rows: int) -> str | None:
    """Say what is wrong with predictions: not numbers, of a wrong shape, not finite, constant."""
    raise NotImplementedError


def check_memory(fit: Fit, features: Features, colour: FloatArray, seed: int) -> str | None:
    """Say whether a backend remembers rows from one training to the next.

    Two trainings; see the module's notes on the canary.
    """
    raise NotImplementedError


def check_held_out(model: Model, features: Features, colour: FloatArray, seed: int) -> str | None:
    """Say whether the held-out predictions of training rows know these rows' own labels.

    Parameters
    ----------
    model : Model
        Trained on `features` and `colour`. One that has no smoother is not at fault.
    """
    raise NotImplementedError


def check_repeatable(fit: Fit, features: Features, colour: FloatArray) -> str | None:
    """Say whether two trainings on the same rows predict other bits."""
    raise NotImplementedError


def check_skill(residual: FloatArray, observed: FloatArray) -> str | None:
    """Say whether predictions are no better than the mean of what was observed.

    Parameters
    ----------
    residual : ndarray, shape (n,) or (seeds, n)
        Held-out predictions less `observed`, shape (n,).
    """
    raise NotImplementedError
