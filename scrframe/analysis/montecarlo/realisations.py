"""What errors of the input do to model magnitudes, by drawing them (paper, Section 4, Fig. 14)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scrframe.arrays import Features, FloatArray, IntArray
from scrframe.errors import CalibrationError
from scrframe.scr.training import Fit, Fitted, TrainingPlan, Trend, TrendSettings
from scrframe.statistics.robust import robust_sd

#: Rows drawn at once, so that work space stays small.
BLOCK = 65_536


@dataclass(frozen=True)
class InputErrors:
    """Errors of what a model magnitude rests on, one row a star."""

    #: Of the mean observed magnitude of a control star; not looked at for others. Shape (s,).
    label_mag: FloatArray
    #: In mag. Shape (s,).
    reference_mag: FloatArray
    extinction: FloatArray
    #: Of the spectrum, as a share of the flux at each wavelength: 1 over its S/N. With two axes,
    #: of quantities other than spectra, in their own units. Shape (s,) or (s, m).
    noise: FloatArray


@dataclass(frozen=True)
class Realisation:
    """One draw of all errors, one row a star."""

    #: Errors in mag. Shape (s,).
    label_mag: FloatArray
    reference_mag: FloatArray
    extinction: FloatArray
    #: Spectra, or other quantities, with their noise. Shape (s, m).
    flux: Features


def draw(
    flux: npt.NDArray[np.floating], errors: InputErrors, seed: int, number: int
) -> Realisation:
    """Draw errors of all stars; the same for a seed and a number, whatever was drawn before.

    Errors of two sets differ by their size alone, so that sets are compared on the same draws.

    Parameters
    ----------
    flux : ndarray, shape (s, m)
        Observed spectra, or other quantities.
    seed, number : int
        Of the run, and of the realisation.
    """
    random = np.random.default_rng([seed, number])
    stars, width = flux.shape
    label, reference, extinction = random.standard_normal((3, stars))
    noisy = np.empty((stars, width), dtype=np.float32)
    for start in range(0, stars, BLOCK):
        rows = slice(start, start + BLOCK)
        unit = random.standard_normal((len(noisy[rows]), width), dtype=np.float32)
        if errors.noise.ndim == 1:
            share = errors.noise[rows, None].astype(np.float32)
            noisy[rows] = flux[rows] + unit * share * np.abs(flux[rows])
        else:
            noisy[rows] = flux[rows] + unit * errors.noise[rows]
    return Realisation(
        label * errors.label_mag,
        reference * errors.reference_mag,
        extinction * errors.extinction,
        noisy,
    )


def label_errors(
    error_mag: FloatArray, weight: FloatArray, star: IntArray, stars: int
) -> FloatArray:
    """Return the error of each star's weighted mean magnitude, 0 without one, shape (s,).

    Parameters
    ----------
    error_mag, weight : ndarray, shape (n,)
        Error of each detection, independent of the others, and its weight in the mean.
    star : ndarray of int, shape (n,)
    """
    variance = np.bincount(star, (weight * error_mag) ** 2, minlength=stars)
    total = np.bincount(star, weight, minlength=stars)
    with np.errstate(invalid="ignore"):
        return np.where(total > 0, np.sqrt(variance) / total, 0.0)


class TrainedColours:
    """A colour model trained on control stars, which predicts any features of the same stars.

    Training stars get predictions that did not see them, fold by fold, if the plan says so.

    Parameters
    ----------
    features : ndarray, shape (s, m)
    label_mag : ndarray, shape (s,)
        Observed intrinsic colours; only those of training stars are used.
    fit : callable
    """

    def __init__(
        self,
        features: Features,
        label_mag: FloatArray,
        plan: TrainingPlan,
        fit: Fit,
        trend: TrendSettings,
    ) -> None:
        self._plan = plan
        self._whole = _Part(features[plan.train], label_mag[plan.train], fit, trend)
        self._folds: dict[int, _Part] = {}
        if plan.cross_fit:
            for fold in np.unique(plan.fold):
                rows = plan.train[plan.fold != fold]
                self._folds[int(fold)] = _Part(features[rows], label_mag[rows], fit, trend)

    def predict(self, features: Features) -> FloatArray:
        """Return the colours of all stars, shape (s,), from features of shape (s, m).

        Raises CalibrationError if a colour is not finite.
        """
        colour = self._whole.predict(features)
        for fold, part in self._folds.items():
            rows = self._plan.train[self._plan.fold == fold]
            colour[rows] = part.predict(features[rows])
        bad = int((~np.isfinite(colour)).sum())
        if bad:
            raise CalibrationError(f"the colour model predicts no finite colour for {bad} stars")
        return colour


class _Part:
    """Trend and model of one set of training stars."""

    def __init__(
        self, features: Features, label_mag: FloatArray, fit: Fit, settings: TrendSettings
    ) -> None:
        self._label = label_mag
        self._trend = None if settings.shape == "none" else Trend.on(features, settings)
        rest = label_mag.copy()
        if self._trend is not None:
            rest -= self._trend.predict(features, label_mag)
        self._model: Fitted = fit(features, rest)

    def predict(self, features: Features) -> FloatArray:
        colour = np.array(self._model.predict(features).colour_mag, dtype=np.float64)
        if self._trend is not None:
            colour += self._trend.predict(features, self._label)
        return colour


@dataclass(frozen=True)
class ErrorSummary:
    """Figures of one set of errors, in mag."""

    #: Of the stars' model errors; `mad_mag` is 1.4826 times the median absolute deviation.
    median_mag: float
    mad_mag: float
    percentile_90_mag: float
    #: Median difference of all realisations from the model without errors.
    bias_mag: float
    #: Standard deviation of these differences, and 1.4826 times their median absolute deviation.
    sd_mag: float
    mad_sigma_mag: float


def star_errors(difference_mag: FloatArray) -> FloatArray:
    """Return the standard deviation of each star over realisations, (k, s) to (s,).

    With k realisations its own relative error is 1 / sqrt(2 (k - 1)).
    """
    return np.asarray(difference_mag.std(axis=0, ddof=1))


def summarise_errors(difference_mag: FloatArray, error_mag: FloatArray) -> ErrorSummary:
    """Return the figures of differences (k, s) and of the stars' errors (s,)."""
    return ErrorSummary(
        float(np.median(error_mag)),
        robust_sd(error_mag),
        float(np.percentile(error_mag, 90)),
        float(np.median(difference_mag)),
        float(difference_mag.std()),
        robust_sd(difference_mag),
    )
