"""What a fit of the reddening law works on: terms, free constants, sums by group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scrframe.arrays import BoolArray, FloatArray
from scrframe.errors import CalibrationError
from scrframe.tables import LawTerm, law_terms

Codes = npt.NDArray[np.integer]

#: Normal equations whose condition number, of the scaled matrix, is larger have no solution.
WORST_CONDITION = 1e12


@dataclass(frozen=True)
class Fields:
    """Which field each detection belongs to; a visit lies in one field.

    Attributes
    ----------
    code : ndarray of int, shape (n,)
    name : tuple of str
        Name of each code.
    """

    code: Codes
    name: tuple[str, ...]

    def take(self, rows: npt.NDArray[np.generic]) -> Fields:
        """Return the fields of some rows: indices, or a mask of shape (n,)."""
        return Fields(self.code[rows], self.name)


def terms_of(order: int, extinction_order: int) -> tuple[LawTerm, ...]:
    """Return powers of C0 from the highest to 0, then E, E^2, ... up to `extinction_order`."""
    of_colour = [(power, 0) for power in range(order, -1, -1)]
    return (*of_colour, *((0, power) for power in range(1, extinction_order + 1)))


@dataclass(frozen=True)
class LawData:
    """Detections of a fit, with each term times E: E(colour) = design @ coefficients.

    Attributes
    ----------
    terms : tuple of (int, int), length k
    design : ndarray, shape (n, k)
    excess_mag : ndarray, shape (n,)
        Observed less modelled intrinsic colour.
    group : ndarray of int, shape (n,)
        Detections of one group share a free constant.
    """

    terms: tuple[LawTerm, ...]
    design: FloatArray
    excess_mag: FloatArray
    group: Codes

    @classmethod
    def of(
        cls,
        colour0_mag: FloatArray,
        extinction: FloatArray,
        excess_mag: FloatArray,
        group: Codes,
        terms: tuple[LawTerm, ...],
    ) -> LawData:
        """Evaluate the terms at intrinsic colours and extinctions of shape (n,)."""
        design = law_terms(colour0_mag, extinction, terms) * extinction[:, None]
        return cls(terms, design, excess_mag, group)

    @property
    def finite(self) -> BoolArray:
        """Return which detections can be used, shape (n,)."""
        return np.asarray(np.isfinite(self.excess_mag) & np.isfinite(self.design).all(axis=1))

    def misfit(self, coefficients: FloatArray) -> FloatArray:
        """Return excess less law, shape (n,): constants and noise."""
        return np.asarray(self.excess_mag - self.design @ coefficients)

    def centred(self, kept: BoolArray) -> tuple[FloatArray, FloatArray]:
        """Return design (n', k) and excess (n',) of the kept rows, less their group's means.

        Raises
        ------
        CalibrationError
            If there are no more detections than unknowns.
        """
        design, excess, group = self.design[kept], self.excess_mag[kept], self.group[kept]
        if len(design) <= design.shape[1] + np.count_nonzero(np.bincount(group)):
            raise CalibrationError(f"{len(design)} detections are too few to fit the reddening law")
        everything = np.ones(len(group), dtype=bool)
        columns = [column - group_means(column, group, everything)[group] for column in design.T]
        return np.column_stack(columns), excess - group_means(excess, group, everything)[group]

    def freedom(self, kept: BoolArray) -> int:
        """Return the number of kept detections less that of coefficients and constants."""
        constants = int(np.count_nonzero(np.bincount(self.group[kept])))
        return max(int(kept.sum()) - len(self.terms) - constants, 1)


def group_means(values: FloatArray, group: Codes, kept: BoolArray) -> FloatArray:
    """Return the mean of the kept values of each group; 0 for a group without any."""
    width = int(group.max()) + 1 if len(group) else 0
    total = np.bincount(group[kept], weights=values[kept], minlength=width)
    count = np.bincount(group[kept], minlength=width)
    return total / np.maximum(count, 1)


def is_determined(normal: FloatArray) -> bool:
    """Return whether normal equations, shape (k, k), have one solution."""
    scale = np.sqrt(np.diag(normal))
    if not np.all(scale > 0):
        return False
    return bool(np.linalg.cond(normal / np.outer(scale, scale)) <= WORST_CONDITION)


def check_determined(normal: FloatArray) -> None:
    """Refuse normal equations, shape (k, k), without one solution.

    Raises
    ------
    CalibrationError
    """
    if not is_determined(normal):
        raise CalibrationError(
            "the reddening law is not determined: the extinctions (or colours) of the"
            " Calibration Sample hardly differ within visits; lower `reddening.order` or"
            " `reddening.extinction_order`"
        )


@dataclass(frozen=True)
class Sums:
    """Sums of products of centred design and excess over blocks of detections.

    Attributes
    ----------
    normal : ndarray, shape (b, k, k)
    right : ndarray, shape (b, k)
    square : ndarray, shape (b,)
    count : ndarray, shape (b,)
    """

    normal: FloatArray
    right: FloatArray
    square: FloatArray
    count: FloatArray

    @classmethod
    def over(cls, design: FloatArray, excess: FloatArray, block: Codes, blocks: int) -> Sums:
        """Sum over `blocks` blocks with codes `block`, shape (n,)."""

        def total(values: FloatArray) -> FloatArray:
            return np.asarray(np.bincount(block, values, minlength=blocks), dtype=np.float64)

        width = design.shape[1]
        normal, right = np.empty((blocks, width, width)), np.empty((blocks, width))
        for i in range(width):
            right[:, i] = total(design[:, i] * excess)
            for j in range(i + 1):
                normal[:, i, j] = normal[:, j, i] = total(design[:, i] * design[:, j])
        count = np.bincount(block, minlength=blocks).astype(np.float64)
        return cls(normal, right, total(excess**2), count)

    def of_terms(self, columns: npt.NDArray[np.intp]) -> Sums:
        """Return the sums of some columns of the design alone."""
        normal = self.normal[:, columns[:, None], columns]
        return Sums(normal, self.right[:, columns], self.square, self.count)

    def scaled(self, factor: float) -> Sums:
        """Return all sums times a factor, as if that share of detections were independent."""
        parts = self.normal, self.right, self.square, self.count
        return Sums(*(factor * part for part in parts))
