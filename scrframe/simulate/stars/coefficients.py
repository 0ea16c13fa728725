"""XP coefficients that stand for a given spectrum."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray
from scrframe.spectra.xp_operator import XpOperator

#: Step in E between the weights by which spectra are fitted.
E_STEP = 0.25
#: Weight of the paper's grid relative to the sampled one, and of the sampled grid's noisy ends.
PAPER_WEIGHT, END_WEIGHT = 3.0, 0.05
#: Singular values below this fraction of the largest are damped. The bases do not tell all
#: 110 coefficients apart (the operator's rank is about 95).
DAMPING = 1e-6


@dataclass(frozen=True)
class CoefficientFit:
    """Fits coefficients to sampled spectra by damped, weighted least squares.

    Reddening takes a spectrum slightly out of the range of the operator; weights that
    follow a typical spectrum of the same reddening keep the blue end, where little light is
    left, to about 1e-3.

    Attributes
    ----------
    sampled, paper : XpOperator
        On the sampled grid, where the spectra are given, and on the paper's.
    typical : ndarray, shape (m,)
        A typical intrinsic spectrum on the sampled grid.
    k : ndarray, shape (m,)
        The extinction curve there.
    """

    sampled: XpOperator
    paper: XpOperator
    typical: FloatArray
    k: FloatArray
    _fits: dict[int, FloatArray] = field(default_factory=dict)

    @cached_property
    def at_paper(self) -> npt.NDArray[np.int64]:
        """Indices of the paper's grid in the sampled one."""
        return np.searchsorted(self.sampled.wavelength_nm, self.paper.wavelength_nm)

    def __call__(self, flux: FloatArray, extinction: FloatArray) -> FloatArray:
        """Return coefficients, shape (n, 110), of reddened spectra, shape (n, m).

        Parameters
        ----------
        flux : ndarray, shape (n, m)
            On the sampled grid; the coefficients are those of the same unit.
        extinction : ndarray, shape (n,)
            E, by which the weights are chosen.
        """
        number = np.maximum(np.rint(extinction / E_STEP), 0).astype(np.int64)
        out = np.empty((len(flux), 110))
        for n in np.unique(number):
            rows = np.flatnonzero(number == n)
            target = np.concatenate([flux[rows], flux[np.ix_(rows, self.at_paper)]], axis=1)
            out[rows] = target @ self._solution(int(n))
        return out

    def _solution(self, number: int) -> FloatArray:
        if number not in self._fits:
            self._fits[number] = self._solve(number * E_STEP)
        return self._fits[number]

    def _solve(self, extinction: float) -> FloatArray:
        """Return the matrix, shape (m + 61, 110), from spectra to coefficients."""
        shape = self.typical * 10 ** (-0.4 * self.k * extinction)
        shape = np.maximum(shape, 1e-3 * shape.max())
        grid = self.sampled.wavelength_nm
        trusted = (grid >= 380) & (grid <= 1000)
        weight = np.concatenate(
            [np.where(trusted, 1.0, END_WEIGHT) / shape, PAPER_WEIGHT / shape[self.at_paper]]
        )
        operator = np.concatenate([stacked(self.sampled), stacked(self.paper)], axis=1)
        weighted = operator * weight
        normal = weighted @ weighted.T
        damping = DAMPING**2 * np.linalg.eigvalsh(normal)[-1]
        normal[np.diag_indices_from(normal)] += damping
        return np.asarray(weight[:, None] * np.linalg.solve(normal, weighted).T)


def stacked(operator: XpOperator) -> FloatArray:
    """Return the operator of both bands, shape (110, m)."""
    return np.concatenate([operator.bp, operator.rp])
