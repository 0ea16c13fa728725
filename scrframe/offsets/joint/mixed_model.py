"""The mixed model: differences as a sum of terms, a star's own deviation and noise.

    delta_d = sum over terms (Z u)_d + s_star(d) + e_d

with u of each term drawn from N(0, sd^2 inverse(precision)), s_m from N(0, sd_m^2) by star
and e_d from N(0, sd_d^2) by detection. One detector in one visit is an *exposure*; most
terms are the same for all detections of an exposure, and are held by exposure.

Several surveys in one model may see the same *source*, as a star of each. What the
deviations of its stars have in common is loading * t with one t of N(0, 1) by source.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scrframe.arrays import FloatArray, IntArray
from scrframe.tables.levels import Role


@dataclass(frozen=True)
class Term:
    """One term: its columns in the vector of parameters, and their prior.

    Attributes
    ----------
    name : str
        Name of the term and of its variance component.
    role : {"correction", "nuisance"}
    first, last : int
        Its columns are ``first`` up to, not with, ``last``.
    precision : csr_array, shape (q, q), or None
        Prior precision for a variance of 1, positive definite; None is a flat prior.
    """

    name: str
    role: Role
    first: int
    last: int
    precision: sparse.csr_array | None

    @property
    def columns(self) -> slice:
        """Return the columns as a slice."""
        return slice(self.first, self.last)

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return self.last - self.first


@dataclass(frozen=True)
class MixedModel:
    """The design of all terms over n detections of s stars in x exposures.

    Attributes
    ----------
    terms : tuple of Term
        In the order of their columns.
    by_exposure : csr_array, shape (x, a)
        Columns 0 to a - 1, of the terms that are constant within exposures.
    by_detection : csr_array, shape (n, b)
        Columns a to a + b - 1, of the others.
    exposure : ndarray of int64, shape (n,)
        Exposure of each detection.
    star : ndarray of int64, shape (n,)
        Star of each detection, from 0 to s - 1.
    stars : int
        Number of stars, s.
    source : ndarray of int64, shape (s,), or None
        Source of each star, from 0; None where every star is a source of its own.
    """

    terms: tuple[Term, ...]
    by_exposure: sparse.csr_array
    by_detection: sparse.csr_array
    exposure: IntArray
    star: IntArray
    stars: int
    source: IntArray | None = None

    @property
    def width(self) -> int:
        """Return the number of parameters, p = a + b."""
        return int(self.by_exposure.shape[1] + self.by_detection.shape[1])

    def values(self, parameters: FloatArray) -> FloatArray:
        """Return Z u by detection, shape (n,), of parameters, shape (p,)."""
        split = self.by_exposure.shape[1]
        shared = np.asarray(self.by_exposure @ parameters[:split])
        values = np.asarray(self.by_detection @ parameters[split:])
        values += shared[self.exposure]
        return values

    def adjoint(self, values: FloatArray) -> FloatArray:
        """Return Z^T v, shape (p,), of values by detection, shape (n,)."""
        shared = np.bincount(self.exposure, values, minlength=self.by_exposure.shape[0])
        parts = self.by_exposure.T @ shared, self.by_detection.T @ values
        return np.concatenate(parts)


@dataclass(frozen=True)
class Weights:
    """Inverse variances, in mag^-2.

    Attributes
    ----------
    detection : ndarray, shape (n,)
        Of each detection's noise; 0 leaves a detection out.
    star : ndarray, shape (s,)
        Of each star's own deviation; 0 leaves the star's mean free.
    loading : ndarray, shape (s,), or None
        In mag, by how much a star's deviation follows what the stars of its source have in
        common, beside its own; for models with sources.
    """

    detection: FloatArray
    star: FloatArray
    loading: FloatArray | None = None
