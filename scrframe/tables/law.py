"""The reddening law R(C0, E) = E(colour) / E: what a fit gives and a solution keeps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scrframe.arrays import FloatArray, read_only

#: Powers of C0 and of E of one term.
LawTerm = tuple[int, int]


@dataclass(frozen=True)
class OrderScore:
    """How well one candidate predicts groups of visits that it was not fitted to."""

    #: Highest power of C0.
    order: int
    #: Highest power of E.
    extinction_order: int
    #: Root of the mean squared residual of the held-out detections.
    rms_mag: float
    #: Mean squared residual less that of the best candidate, in mag^2.
    excess: float
    #: Its standard error, from the differences by group.
    excess_err: float
    chosen: bool


@dataclass(frozen=True)
class FieldSlopes:
    """How much the slope on E of each field departs from the law, one row a field."""

    #: Names of the fields. Length f.
    field: tuple[str, ...]
    #: Best linear unbiased prediction, in mag per unit E: shrunken towards 0. Shape (f,).
    slope: FloatArray
    #: Standard deviation of its error, with that of the law. Shape (f,).
    err: FloatArray
    #: The same without shrinkage, NaN for a field without any spread in E. Shape (f,).
    free: FloatArray
    free_err: FloatArray
    #: Standard deviation of the slopes over fields (REML), in mag per unit E.
    sd: float

    def __post_init__(self) -> None:
        read_only(self)


@dataclass(frozen=True)
class ReddeningLaw:
    """R(C0, E) = E(colour) / E as a sum of terms a C0^i E^j (paper, Eq. 1, has j = 0).

    Attributes
    ----------
    coefficients : ndarray of float64, shape (k,)
        One for each term; in the paper's law a0, a1, a2, highest power first.
    covariance : ndarray of float64, shape (k, k)
        Their covariance; with field slopes it holds the variation between fields.
    offset_mag : float
        dM, the observed minus modelled zero-point difference: reported, never applied.
    terms : tuple of (int, int), length k
        Powers of C0 and of E of each term; by default a polynomial of C0 alone.
    scores : tuple of OrderScore
        How the candidates fared, where the order was chosen by cross-validation.
    slopes : FieldSlopes, optional
        Departures of the fields, where they were fitted; no part of `ratio`.
    """

    coefficients: FloatArray
    covariance: FloatArray
    offset_mag: float
    terms: tuple[LawTerm, ...] = ()
    scores: tuple[OrderScore, ...] = ()
    slopes: FieldSlopes | None = None

    def __post_init__(self) -> None:
        if not self.terms:
            powers = range(len(self.coefficients) - 1, -1, -1)
            object.__setattr__(self, "terms", tuple((power, 0) for power in powers))
        if len(self.terms) != len(self.coefficients):
            raise ValueError(f"{len(self.coefficients)} coefficients for {len(self.terms)} terms")

    @property
    def order(self) -> int:
        """Return the highest power of C0."""
        return max(power for power, _ in self.terms)

    @property
    def extinction_order(self) -> int:
        """Return the highest power of E; 0 where R does not depend on E."""
        return max(power for _, power in self.terms)

    def ratio(self, colour0_mag: FloatArray, extinction: FloatArray | None = None) -> FloatArray:
        """Return R at intrinsic colours in mag, same shape.

        Parameters
        ----------
        colour0_mag : ndarray
        extinction : ndarray or float, optional
            E of each; without need where no term has a power of E.

        Raises
        ------
        ValueError
            If R depends on E, and E is missing.
        """
        if not self.extinction_order:
            powers = np.zeros(self.order + 1)
            powers[[self.order - power for power, _ in self.terms]] = self.coefficients
            return np.asarray(np.polyval(powers, colour0_mag), dtype=np.float64)
        if extinction is None:
            raise ValueError("this reddening law depends on the extinction, which is missing")
        return np.asarray(
            law_terms(colour0_mag, extinction, self.terms) @ self.coefficients, dtype=np.float64
        )

    def variance(self, colour0_mag: FloatArray, extinction: FloatArray) -> FloatArray:
        """Return the variance of R at intrinsic colours and extinctions, same shape."""
        rows = law_terms(colour0_mag, extinction, self.terms)
        return np.asarray(np.einsum("...i,ij,...j->...", rows, self.covariance, rows))


def law_terms(
    colour0_mag: FloatArray, extinction: FloatArray, terms: tuple[LawTerm, ...]
) -> FloatArray:
    """Return C0^i E^j of each term, shape (..., k)."""
    columns = [np.power(colour0_mag, i) * np.power(extinction, j) for i, j in terms]
    return np.stack(np.broadcast_arrays(*columns), axis=-1).astype(np.float64)
