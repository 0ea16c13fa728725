"""How far a star is from those that trained the colour model, and in what respect.

A model says nothing about a star unlike any that trained it: hotter, poorer in metals, or so
noisy, or so strongly dereddened, that its spectrum is mostly noise. Three things are asked.
Is its spectrum among those of training stars of like S/N (a distance in the space of their
leading components)? Has it a shape that no training star has (what the components leave)?
Is it noisier than the training stars? Noise is judged by what is usual at a star's S/N.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray
from scrframe.errors import CalibrationError
from scrframe.tables.settings import DomainSettings

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

Features = npt.NDArray[np.floating]

#: Bits of `Domain.reason`.
OUTSIDE_SPECTRUM, OUTSIDE_SHAPE, OUTSIDE_SNR = 1, 2, 4
#: Rows judged at once, so that double-precision work space stays small.
BLOCK = 65_536
#: Variance below this share of the whole counts as rounding.
LEAST_VARIANCE = 1e-6
#: Stars beyond a threshold that it takes to read it off; with fewer it is extrapolated.
SURE_COUNT = 10
LEAST_STARS = 20


@dataclass(frozen=True)
class DomainGuardSettings(DomainSettings):
    """How the domain is drawn: 1 - `quantile` of the training stars may be flagged in all.

    Attributes
    ----------
    seed : int
        Of the choice of reference stars.
    variance : float
        Share of the training variance that the kept components hold, if that many suffice.
    components : int
        Largest number of components: further ones are mostly noise, and cost time.
    neighbours : int
        Distances are to this nearest reference star, so that one odd star makes no domain.
    reference_stars : int
        Training stars, drawn at random, that distances are taken to.
    """

    seed: int = 1
    variance: float = 0.995
    components: int = 4
    neighbours: int = 5
    reference_stars: int = 10_000


@dataclass(frozen=True)
class Domain:
    """What a guard says of stars."""

    #: Largest of the measures, each over its threshold: above 1 a star is outside. Shape (s,).
    distance: FloatArray
    #: Bits `OUTSIDE_SPECTRUM`, `OUTSIDE_SHAPE`, `OUTSIDE_SNR`; 0 inside. Shape (s,).
    reason: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Space:
    """Coordinates in which training stars have unit variance."""

    #: Shape (m,).
    mean: FloatArray
    #: From centred features to the kept components, whitened. Shape (m, k).
    axes: FloatArray
    #: To the other components, each over the fourth root of its variance. Whitened, those that
    #: hold nothing but noise would rule; as they are, the noisiest wavelengths would. Shape (m,
    #: r).
    rest: FloatArray
    #: Of log10 S/N; brighter than the brightest is no reason to be outside.
    middle: float
    spread: float
    high: float
    #: Squared remainder of training stars, as a constant and a multiple of S/N^-2. Shape (2,).
    usual: FloatArray = field(default_factory=lambda: np.array([1.0, 0.0]))

    @classmethod
    def of(cls, features: FloatArray, log_snr: FloatArray, settings: DomainGuardSettings) -> Space:
        """Lay the axes through training stars, features (t, m) and log10 S/N (t,)."""
        mean = features.mean(axis=0)
        centred = features - mean
        variance, vectors = np.linalg.eigh(centred.T @ centred / len(features))
        variance, vectors = variance[::-1], vectors[:, ::-1]
        total = float(variance.sum())
        if not total > 0:
            raise CalibrationError(
                "the training stars' features do not differ; no domain can be drawn round them"
            )
        enough = 1 + int(np.searchsorted(np.cumsum(variance) / total, settings.variance))
        real = int(np.sum(variance > LEAST_VARIANCE * total))
        kept = min(settings.components, enough, real)
        floored = np.maximum(variance, LEAST_VARIANCE * total)
        spread = float(log_snr.std())
        space = cls(
            mean,
            vectors[:, :kept] / np.sqrt(floored[:kept]),
            vectors[:, kept:] / floored[kept:] ** 0.25,
            float(np.median(log_snr)),
            spread if spread > 0 else 1.0,
            float(log_snr.max()),
        )
        return replace(space, usual=space._usual(features, log_snr))

    def coordinates(self, features: Features, log_snr: FloatArray) -> FloatArray:
        """Return components and S/N, shape (n, k + 1)."""
        scores = (features - self.mean) @ self.axes
        noise = (np.minimum(log_snr, self.high) - self.middle) / self.spread
        return np.column_stack([scores, noise])

    def remainder(self, features: Features, log_snr: FloatArray) -> FloatArray:
        """Return what the components leave of a spectrum, over what is usual at its S/N, (n,)."""
        left = np.linalg.norm((features - self.mean) @ self.rest, axis=1)
        usual = self._noise(log_snr) @ self.usual
        return np.asarray(left / np.sqrt(usual), dtype=np.float64)

    def _noise(self, log_snr: FloatArray) -> FloatArray:
        inverse = 10 ** (-2 * np.minimum(log_snr, self.high))
        return np.column_stack([np.ones(len(inverse)), inverse])

    def _usual(self, features: FloatArray, log_snr: FloatArray) -> FloatArray:
        from scipy.optimize import nnls  # noqa: PLC0415 - slow to import

        squared = np.sum(((features - self.mean) @ self.rest) ** 2, axis=1)
        if not squared.any():
            return self.usual
        # A few odd spectra must not say what is usual.
        bounded = np.minimum(squared, np.quantile(squared, 0.99))
        noise = self._noise(log_snr)
        scale, weight = noise.mean(axis=0), np.ones(len(noise))
        for _ in range(3):  # the scatter of squares grows with their size
            found, _ = nnls(noise / scale * weight[:, None], bounded * weight)
            usual = np.asarray(found / scale, dtype=np.float64)
            weight = 1 / (noise @ usual)
        return usual


@dataclass(frozen=True)
class DomainGuard:
    """Judges stars by the training stars that it was fitted to."""

    space: Space
    #: Of the reference stars' coordinates.
    reference: cKDTree
    neighbours: int
    #: Thresholds of distance, of remainder, and of log10 S/N.
    farthest: float
    longest: float
    lowest: float

    @classmethod
    def fit(cls, features: Features, snr: FloatArray, settings: DomainGuardSettings) -> DomainGuard:
        """Draw the domain of training stars.

        Half of 1 - `quantile` goes to the distance, a quarter each to remainder and S/N. A
        training star's own distance is to others than itself.

        Parameters
        ----------
        features : ndarray, shape (t, m)
            What the colour model learns from.
        snr : ndarray, shape (t,)
            S/N of the spectra.

        Raises
        ------
        CalibrationError
            If there are too few training stars, or their features do not differ.
        """
        log_snr = _log(snr)
        good = np.isfinite(log_snr) & np.isfinite(features).all(axis=1)
        if good.sum() < max(LEAST_STARS, settings.neighbours + 1):
            raise CalibrationError(
                f"{int(good.sum())} training stars with spectrum and S/N are too few to tell"
                " which stars are unlike them"
            )
        from scipy.spatial import cKDTree  # noqa: PLC0415 - slow to import

        rows, log_snr = np.asarray(features[good], dtype=np.float64), log_snr[good]
        space = Space.of(rows, log_snr, settings)
        number = min(settings.reference_stars, len(rows))
        random = np.random.default_rng(settings.seed)
        chosen = np.sort(random.choice(len(rows), number, replace=False))
        tree = cKDTree(space.coordinates(rows[chosen], log_snr[chosen]))
        own = _nearest(tree, np.asarray(tree.data), settings.neighbours + 1)
        share = 1 - settings.quantile
        return cls(
            space,
            tree,
            settings.neighbours,
            upper_threshold(own, share / 2),
            upper_threshold(space.remainder(rows, log_snr), share / 4),
            -float(np.log10(upper_threshold(10**-log_snr, share / 4))),
        )

    def judge(self, features: Features, snr: FloatArray) -> Domain:
        """Return distance and reason of stars, features (s, m) and S/N (s,).

        Without a finite spectrum a star is outside for spectrum and shape, at an infinite
        distance; likewise for S/N if that is not positive.
        """
        distance, reason = np.empty(len(features)), np.empty(len(features), dtype=np.int32)
        for start in range(0, len(features), BLOCK):
            rows = slice(start, start + BLOCK)
            distance[rows], reason[rows] = self._judge(
                np.asarray(features[rows], dtype=np.float64), _log(snr[rows])
            )
        return Domain(distance, reason)

    def _judge(
        self, features: FloatArray, log_snr: FloatArray
    ) -> tuple[FloatArray, npt.NDArray[np.int32]]:
        whole, known = np.isfinite(features).all(axis=1), np.isfinite(log_snr)
        ratio = np.full((3, len(features)), np.inf)
        seen = features[whole]
        noise = np.where(known, log_snr, self.space.middle)[whole]
        place = self.space.coordinates(seen, noise)
        ratio[0, whole] = _nearest(self.reference, place, self.neighbours) / self.farthest
        ratio[1, whole] = self.space.remainder(seen, noise) / self.longest
        ratio[2, known] = 10 ** (self.lowest - log_snr[known])
        bits = np.array([[OUTSIDE_SPECTRUM], [OUTSIDE_SHAPE], [OUTSIDE_SNR]], dtype=np.int32)
        reason = np.where(ratio > 1, bits, 0).sum(axis=0, dtype=np.int32)
        return np.asarray(ratio.max(axis=0)), reason


def _log(snr: FloatArray) -> FloatArray:
    """Return log10, NaN where there is none."""
    positive = np.isfinite(snr) & (np.asarray(snr) > 0)
    return np.asarray(np.log10(np.where(positive, snr, np.nan)), dtype=np.float64)


def _nearest(tree: cKDTree, place: FloatArray, neighbours: int) -> FloatArray:
    """Return the distance to the given nearest star, shape (n,)."""
    distance, _ = tree.query(place, k=[neighbours])
    return np.asarray(distance, dtype=np.float64)[:, 0]


def upper_threshold(values: FloatArray, share: float) -> float:
    """Return what a share of positive values is expected to exceed.

    Where the sample is too small to have enough values beyond it, the tail is taken to go on
    as a power law from its last tenth (Hill 1975, Ann. Stat. 3, 1163), which is long rather
    than short.
    """
    count = len(values)
    if not np.quantile(values, 0.5) > 0:  # no remainder: nothing can exceed it
        return np.inf
    if share * count >= SURE_COUNT:
        return float(np.quantile(values, 1 - share))
    tail = np.sort(values)[-max(SURE_COUNT, count // 10) :]
    slope = float(np.mean(np.log(tail / tail[0])))
    beyond = max(len(tail) / count / share, 1.0)
    return float(tail[0] * beyond**slope)
