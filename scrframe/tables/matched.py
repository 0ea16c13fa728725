"""The calibration sample: detections that point at stars, stars held once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scrframe.tables.table import Detections, ReferenceStars


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
    """

    detections: Detections
    stars: ReferenceStars
    star: npt.NDArray[np.int64]
    features: npt.NDArray[np.float32]
    in_control: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        for array in (self.star, self.features, self.in_control):
            array.flags.writeable = False

    def of_star(self, name: str) -> npt.NDArray[np.float64]:
        """Return a column of the stars, one value a detection, shape (n,)."""
        return np.asarray(self.stars[name], dtype=np.float64)[self.star]
