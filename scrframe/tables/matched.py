"""A calibration sample: detections matched to reference stars, with their features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scrframe.arrays import BoolArray, Features, FloatArray, IntArray, read_only
from scrframe.tables.table import Detections, ReferenceStars


@dataclass(frozen=True)
class SpectralShape:
    """What spectra have lost in becoming features, with the curve that dereddened them."""

    #: Wavelengths of the features in nm, and the curve there in mag per unit E. Shape (m,).
    wavelength_nm: FloatArray
    k_mag: FloatArray
    #: Mean of each star's intrinsic flux over its standard deviation. Shape (s,).
    contrast: FloatArray


@dataclass(frozen=True)
class MatchedStars:
    """Detections matched to reference stars that have features and an extinction.

    Attributes
    ----------
    detections : Detections
        n rows, in the order of visit, ccd, extension, row.
    stars : ReferenceStars
        s rows, ordered by ``source_id``, with the columns of the extinction catalogue.
    star : ndarray of int64, shape (n,)
        Row in `stars` of each detection.
    features : ndarray of float32, shape (s, m)
        What the colour model learns from (standardised intrinsic spectra, or parameters).
    in_control : ndarray of bool, shape (n,)
        Detections of the Control Sample.
    shape : SpectralShape or None
        Of features that are standardised spectra, where a term asks for it.
    """

    detections: Detections
    stars: ReferenceStars
    star: IntArray
    features: Features
    in_control: BoolArray
    shape: SpectralShape | None = None

    def __post_init__(self) -> None:
        read_only(self)

    def of_star(self, name: str) -> FloatArray:
        """Return a column of the stars, one value a detection, shape (n,)."""
        return np.asarray(self.stars[name], dtype=np.float64)[self.star]
