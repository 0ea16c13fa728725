"""Checks of training data that the colour models share."""

from __future__ import annotations

import numpy as np

from scrframe.arrays import Features, FloatArray
from scrframe.errors import CalibrationError

#: Rows that are checked together, to need little memory for millions of stars.
ROWS = 65_536


def check_training(
    model: str, features: Features, colour_mag: FloatArray, weights: FloatArray | None, needed: int
) -> tuple[FloatArray, FloatArray]:
    """Return copies of colours and weights, shape (n,), as contiguous float64.

    Parameters
    ----------
    model : str
        Name of the model, for messages.
    features : ndarray, shape (n, m)
    colour_mag : ndarray, shape (n,)
    weights : ndarray, shape (n,), or None
        Ones if None.
    needed : int
        Fewest stars of positive weight.

    Raises
    ------
    CalibrationError
        If shapes disagree, a value is not finite, a weight is negative or there are too
        few stars.
    """
    colour = np.array(colour_mag, dtype=np.float64)
    weight = np.ones(len(colour)) if weights is None else np.array(weights, dtype=np.float64)
    if features.ndim != 2 or not (len(features),) == colour.shape == weight.shape:
        raise CalibrationError(
            f"the {model} cannot train on features of shape {features.shape}, colours of"
            f" shape {colour.shape} and weights of shape {weight.shape}"
        )
    check_finite(features)
    if not np.isfinite(colour).all():
        raise CalibrationError("the training colours hold values that are not finite")
    if not (np.isfinite(weight) & (weight >= 0)).all():
        raise CalibrationError("the training weights hold values that are negative or not finite")
    usable = np.count_nonzero(weight)
    if usable < needed:
        raise CalibrationError(
            f"only {usable} stars to train the {model}, which needs at least {needed};"
            " widen the control sample"
        )
    return colour, weight


def check_colours(model: str, colour_mag: FloatArray, stars: int) -> FloatArray:
    """Return new colours of the training stars as float64, shape (stars,).

    Raises CalibrationError if they are not one finite number for each star.
    """
    colour = np.asarray(colour_mag, dtype=np.float64)
    if colour.shape != (stars,):
        raise CalibrationError(
            f"the {model} was trained on colours of shape {(stars,)}, not {colour.shape}"
        )
    if not np.isfinite(colour).all():
        raise CalibrationError("the training colours hold values that are not finite")
    return colour


def check_features(model: str, features: Features, width: int) -> None:
    """Refuse features, shape (n, m), that are not finite, or not as many as the training's.

    Raises CalibrationError.
    """
    if features.ndim != 2 or features.shape[1] != width:
        raise CalibrationError(
            f"the {model} was trained on {width} features, but is asked to predict from an"
            f" array of shape {features.shape}"
        )
    check_finite(features)


def check_finite(features: Features) -> None:
    """Refuse features, shape (n, m), that are not finite: trees would silently take them.

    Raises CalibrationError.
    """
    bad = 0
    for start in range(0, len(features), ROWS):
        finite = np.isfinite(features[start : start + ROWS])
        bad += int(np.count_nonzero(~np.all(finite, axis=1)))
    if bad:
        raise CalibrationError(
            f"{bad} of {len(features)} stars have features that are not finite;"
            " leave them out by a cut"
        )
