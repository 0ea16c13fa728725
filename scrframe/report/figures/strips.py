"""Narrow strips of columns and rows of CCDs, in which a defective column stands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.report.figures.pixel_maps import bin_edges, bin_moments, bin_of, number_codes

#: Width of a strip in pixels, that of the paper's fine bins (figure 11).
STRIP_PIX = 25.0
#: Into how many pieces a strip is cut besides being looked at as a whole: defects often
#: end somewhere along a column.
PIECES = 4
#: Fewest detections of a strip that is judged.
LEAST = 8
#: Chance that any strip at all of a run without defects stands out.
FALSE_ALARM = 0.01


@dataclass(frozen=True)
class Strips:
    """Residuals in strips of all CCDs, s of them; whole strips come before their pieces."""

    #: Shape (s,).
    ccd: IntArray
    #: ``x`` for strips of columns (narrow in x), ``y`` for strips of rows. Shape (s,).
    axis: npt.NDArray[np.str_]
    #: Whether the strip crosses the CCD; else it is a piece of one that does. Shape (s,).
    whole: BoolArray
    #: Lower and upper edges. Arrays of shape (s,).
    x_pix: tuple[FloatArray, FloatArray]
    y_pix: tuple[FloatArray, FloatArray]
    #: Shape (s,).
    count: IntArray
    #: Mean less that of the CCD, and its error from the CCD's scatter. Shape (s,).
    mean_mag: FloatArray
    mean_err_mag: FloatArray
    #: Standard deviation about the strip's own mean. Shape (s,).
    scatter_mag: FloatArray
    #: By how many standard errors mean and scatter differ from the CCD's; NaN where there are
    #: fewer than `LEAST` detections. Shape (s,).
    mean_sigma: FloatArray
    scatter_sigma: FloatArray

    @property
    def worst_sigma(self) -> FloatArray:
        """Return the larger of both significances, without sign, 0 where not judged."""
        both = np.abs(np.stack([self.mean_sigma, self.scatter_sigma]))
        return np.asarray(np.nan_to_num(both).max(axis=0, initial=0.0))

    @property
    def limit(self) -> float:
        """Return the significance beyond which a strip stands out, for all tests made here."""
        tests = max(
            1, int(np.isfinite(self.mean_sigma).sum() + np.isfinite(self.scatter_sigma).sum())
        )
        return float(-ndtri(FALSE_ALARM / 2 / tests))

    def select(self, rows: npt.NDArray[Any]) -> Strips:
        """Return some rows."""
        pick: dict[str, Any] = {}
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            pick[name] = (
                tuple(one[rows] for one in value) if isinstance(value, tuple) else value[rows]
            )
        return Strips(**pick)


def strips(
    ccd: npt.NDArray[np.integer],
    x_pix: FloatArray,
    y_pix: FloatArray,
    value_mag: FloatArray,
    size_pix: tuple[float, float],
) -> Strips:
    """Return means and scatters in strips of columns and of rows, whole and in pieces.

    Parameters
    ----------
    ccd, x_pix, y_pix, value_mag : ndarray, shape (n,)
        Places and residuals of single detections; what is not finite is left out. Outliers should
        be bounded beforehand.
    size_pix : pair of float
        Size of a detector.
    """
    good = np.isfinite(value_mag) & np.isfinite(x_pix) & np.isfinite(y_pix)
    names, code = number_codes(ccd[good])
    value = value_mag[good]
    count, mean, spread = bin_moments(code, value, len(names))
    away = value - mean[code]
    with np.errstate(invalid="ignore", divide="ignore"):
        fourth = np.bincount(code, away**4, minlength=len(names)) / count
        kurtosis = np.maximum(fourth / spread**4, 1.5)
    where = {"x": x_pix[good], "y": y_pix[good]}
    parts = [
        _strips_along(axis, pieces, names, code, where, away, spread, kurtosis, size_pix)
        for pieces in (1, PIECES)
        for axis in ("x", "y")
    ]
    return _joined(parts)


def _strips_along(
    axis: str,
    pieces: int,
    names: IntArray,
    code: IntArray,
    where: dict[str, FloatArray],
    away_mag: FloatArray,
    spread_mag: FloatArray,
    kurtosis: FloatArray,
    size_pix: tuple[float, float],
) -> Strips:
    length = dict(zip("xy", size_pix, strict=True))
    other = "y" if axis == "x" else "x"
    width = {axis: STRIP_PIX, other: length[other] / pieces}
    edges = {one: bin_edges(length[one], width[one]) for one in "xy"}
    place = {one: bin_of(where[one], width[one], len(edges[one]) - 1) for one in "xy"}
    shape = (len(names), len(edges[other]) - 1, len(edges[axis]) - 1)
    key = (code * shape[1] + place[other]) * shape[2] + place[axis]
    count, mean, scatter = bin_moments(key, away_mag, int(np.prod(shape)))
    number, piece, strip = (one.ravel() for one in np.indices(shape))
    usual = spread_mag[number]
    with np.errstate(invalid="ignore", divide="ignore"):
        error = usual / np.sqrt(count)
        judged = count >= LEAST
        mean_sigma = np.where(judged, mean / error, np.nan)
        scatter_sigma = np.where(
            judged, _scatter_sigma(scatter / usual, count, kurtosis[number]), np.nan
        )
    sides = {
        axis: (edges[axis][strip], edges[axis][strip + 1]),
        other: (edges[other][piece], edges[other][piece + 1]),
    }
    return Strips(
        names[number].astype(np.int64),
        np.repeat(axis, len(number)),
        np.repeat(pieces == 1, len(number)),
        sides["x"],
        sides["y"],
        count,
        mean,
        error,
        scatter,
        mean_sigma,
        scatter_sigma,
    )


def _scatter_sigma(ratio: FloatArray, count: IntArray, kurtosis: FloatArray) -> FloatArray:
    """Return by how many standard errors a scatter over the usual one is off 1.

    Wilson & Hilferty (1931): the cube root of chi2 per degree of freedom is close to normal;
    the degrees are those that give the variance its error at this kurtosis.
    """
    degrees = 2 * (count - 1) / (kurtosis - 1)
    return np.asarray((ratio ** (2 / 3) - (1 - 2 / (9 * degrees))) / np.sqrt(2 / (9 * degrees)))


def _joined(parts: list[Strips]) -> Strips:
    joined: dict[str, Any] = {}
    for name in Strips.__dataclass_fields__:
        values = [getattr(one, name) for one in parts]
        if isinstance(values[0], tuple):
            joined[name] = tuple(np.concatenate(side) for side in zip(*values, strict=True))
        else:
            joined[name] = np.concatenate(values)
    return Strips(**joined)
