"""What a colour model gives: training, the trained model, its predictions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol

from scrframe.arrays import Features, FloatArray


@dataclass(frozen=True)
class ColourPrediction:
    """Predicted intrinsic colours.

    Attributes
    ----------
    colour_mag : ndarray of float64, shape (n,)
    err_mag : ndarray of float64, shape (n,), or None
        Error of each prediction, where the backend can tell.
    """

    colour_mag: FloatArray
    err_mag: FloatArray | None = None


class Smoother(Protocol):
    """Predictions of fixed rows as a linear function of the training colours.

    The structure of the fitted model stands while its training colours move, which makes a
    further round of an iteration cheap.
    """

    def predict(self, colour_mag: FloatArray) -> FloatArray:
        """Return the predictions, shape (n,), for training colours of shape (t,)."""
        ...

    def held_out(self, colour_mag: FloatArray) -> FloatArray:
        """Return predictions of the training rows, shape (t,), none of which used its own."""
        ...


class FittedColourModel(ABC):
    """A trained colour model."""

    @abstractmethod
    def predict(self, features: Features) -> ColourPrediction:
        """Predict the colours of features of shape (n, m)."""

    def smoother(self, features: Features) -> Smoother | None:
        """Return the model as a smoother for these rows, or None where it is not linear."""
        return None


class FitFunction(Protocol):
    """Signature of `ColourModel.fit`."""

    def __call__(
        self,
        features: Features,
        colour_mag: FloatArray,
        weights: FloatArray | None,
        config: Any,
        seed: int,
        threads: int,
    ) -> FittedColourModel:
        """Train a model; the same to the last bit for any number of threads.

        Parameters
        ----------
        features : ndarray of float32, shape (n, m)
            Standardised intrinsic spectra, one row a star.
        colour_mag : ndarray of float64, shape (n,)
            Intrinsic colours in mag.
        weights : ndarray of float64, shape (n,), or None
            Weights of the stars: inverse variances, up to a factor.
        config : PluginConfig
            Settings of the model.
        seed : int
            Not negative; decides whatever is drawn.
        threads : int

        Raises
        ------
        CalibrationError
            If shapes disagree, a value is not finite or there are too few stars.
        """
        ...
