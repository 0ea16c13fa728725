"""HEALPix pixels in the nested scheme, of which Gaia's source identifiers are made."""

from __future__ import annotations

import numpy as np

from scrframe.arrays import FloatArray, IntArray

#: A source identifier holds the pixel of this level in its bits from `SHIFT` up.
LEVEL, SHIFT = 12, 35


def nested_pixel(ra_deg: FloatArray, dec_deg: FloatArray, level: int) -> IntArray:
    """Return the nested HEALPix pixel of positions (Gorski et al. 2005, ApJ 622, 759, Sec. 5).

    Parameters
    ----------
    ra_deg, dec_deg : ndarray, shape (n,)
    level : int
        The base pixels are divided into 2^level times 2^level.

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    side = 1 << level
    z = np.sin(np.deg2rad(dec_deg))
    quarter = np.mod(ra_deg, 360.0) / 90.0
    polar = np.abs(z) > 2 / 3
    face_e, x_e, y_e = _equatorial(z, quarter, side)
    face_p, x_p, y_p = _polar(z, quarter, side)
    face = np.where(polar, face_p, face_e)
    x, y = np.where(polar, x_p, x_e), np.where(polar, y_p, y_e)
    return np.asarray((face << (2 * level)) + _spread(x) + (_spread(y) << 1))


def _equatorial(z: FloatArray, quarter: FloatArray, side: int) -> tuple[IntArray, ...]:
    ascending = np.floor(side * (0.5 + quarter - 0.75 * z)).astype(np.int64)
    descending = np.floor(side * (0.5 + quarter + 0.75 * z)).astype(np.int64)
    up, down = ascending // side, descending // side
    face = np.where(up == down, (up & 3) | 4, np.where(up < down, up & 3, (down & 3) + 8))
    return face, descending & (side - 1), side - 1 - (ascending & (side - 1))


def _polar(z: FloatArray, quarter: FloatArray, side: int) -> tuple[IntArray, ...]:
    base = np.minimum(quarter.astype(np.int64), 3)
    along = quarter - base
    width = side * np.sqrt(3 * np.maximum(0.0, 1 - np.abs(z)))
    first = np.minimum((along * width).astype(np.int64), side - 1)
    second = np.minimum(((1 - along) * width).astype(np.int64), side - 1)
    north = z > 0
    face = np.where(north, base, base + 8)
    x = np.where(north, side - 1 - second, first)
    y = np.where(north, side - 1 - first, second)
    return face, x, y


def _spread(value: IntArray) -> IntArray:
    """Return the integers with a zero bit between each two of their bits."""
    result = value & 0xFFFFFFFF
    for shift, mask in (
        (16, 0x0000FFFF0000FFFF),
        (8, 0x00FF00FF00FF00FF),
        (4, 0x0F0F0F0F0F0F0F0F),
        (2, 0x3333333333333333),
        (1, 0x5555555555555555),
    ):
        result = (result | (result << shift)) & mask
    return result


def source_identifiers(ra_deg: FloatArray, dec_deg: FloatArray) -> IntArray:
    """Return unique identifiers, shape (n,), that hold the position as Gaia's do."""
    pixel = nested_pixel(ra_deg, dec_deg, LEVEL)
    order = np.argsort(pixel, kind="stable")
    ranked = pixel[order]
    first = np.r_[True, ranked[1:] != ranked[:-1]]
    start = np.maximum.accumulate(np.where(first, np.arange(len(ranked)), 0))
    number = np.empty(len(pixel), np.int64)
    number[order] = np.arange(len(ranked)) - start
    # Gaia's running numbers are multiples of 128 for stars that were never split.
    return (pixel << SHIFT) + ((number + 1) << 7)
