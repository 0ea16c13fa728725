"""Colour models for tests of the comparison: one that is honest, and others that are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from scrframe.plugin import (
    ColourModel,
    ColourPrediction,
    FittedColourModel,
    Registry,
    hookimpl,
    load_registry,
)
from scrframe.plugin.registry import Provider


class Fitted(FittedColourModel):
    def __init__(self, predict: Callable[[np.ndarray], Any]) -> None:
        self._predict = predict

    def predict(self, features):
        return ColourPrediction(self._predict(features))


class Linear(FittedColourModel):
    """Ridge regression, which can be pickled."""

    def __init__(self, features, colour, ridge=1e-3):
        self.mean, self.middle = features.mean(axis=0), colour.mean()
        centred = np.asarray(features - self.mean, dtype=float)
        normal = centred.T @ centred + ridge * len(features) * np.eye(centred.shape[1])
        self.slope = np.linalg.solve(normal, centred.T @ (colour - self.middle))

    def predict(self, features):
        return ColourPrediction((features - self.mean) @ self.slope + self.middle)


def linear(features, colour, weights, config, seed, threads):
    return Linear(features, colour)


def wasteful(features, colour, weights, config, seed, threads):
    """Honest, but overwrites what it is given."""
    model = Linear(features, colour)
    features[:], colour[:] = 0.0, 0.0
    return model


def nan(features, colour, weights, config, seed, threads):
    model = Linear(features, colour)
    return Fitted(lambda rows: np.where(rows[:, 0] > np.median(rows[:, 0]), np.nan, model.middle))


def wrong_shape(features, colour, weights, config, seed, threads):
    model = Linear(features, colour)
    return Fitted(lambda rows: model.predict(rows).colour_mag[:, None])


def failing(features, colour, weights, config, seed, threads):
    raise RuntimeError("the library is out of order\n  at 0x7f\n  and so on")


def bad(features, colour, weights, config, seed, threads):
    """Predicts numbers that have nothing to do with the colours."""
    return Fitted(lambda rows: np.sin(1e4 * np.asarray(rows[:, 0], dtype=float)))


class Leak:
    """Remembers every row that it ever saw."""

    def __init__(self) -> None:
        self.seen: dict[bytes, float] = {}

    def __call__(self, features, colour, weights, config, seed, threads):
        self.seen.update({row.tobytes(): y for row, y in zip(features, colour, strict=True)})
        model = Linear(features, colour)

        def predict(rows):
            plain = model.predict(rows).colour_mag
            return np.array(
                [self.seen.get(row.tobytes(), y) for row, y in zip(rows, plain, strict=True)]
            )

        return Fitted(predict)


def model(name: str, fit: Any) -> ColourModel:
    return ColourModel(name=name, summary=f"the {name} one", version="1", fit=fit)


#: What must be said of each that is at fault.
FAULTS = {
    "nan": "not finite",
    "wrong_shape": "shape",
    "failing": "RuntimeError: the library is out of order",
    "bad": "no better than the mean",
    "leak": "remembers rows",
}


def everyone() -> dict[str, ColourModel]:
    """Return all these colour models by name, the leaking one without memory."""
    fits = {
        "linear": linear,
        "wasteful": wasteful,
        "nan": nan,
        "wrong_shape": wrong_shape,
        "failing": failing,
        "bad": bad,
        "leak": Leak(),
    }
    return {name: model(name, fit) for name, fit in fits.items()}


def registry_with(models: dict[str, ColourModel]) -> Registry:
    """Return all that is installed, and these."""

    class Plugin:
        @hookimpl
        def scrframe_colour_models(self):
            yield from models.values()

    registry = load_registry()
    registry.add(Plugin(), Provider("tests", "tests", "tests"))
    return registry
