"""The stars as catalogues give them: noisy, with errors, under identifiers as Gaia's."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scrframe.arrays import FloatArray, IntArray
from scrframe.config.simulation import SimulationSettings
from scrframe.simulate.coefficients import SpectrumNoise, extinction_errors, extinction_noise
from scrframe.simulate.detections import Traits, distance_pc
from scrframe.simulate.rows import RowStore, slices
from scrframe.simulate.stars import Spectroscope, Stars
from scrframe.spectra.xp_operator import BASES
from scrframe.tables import SimulatedStars

#: A source identifier holds the pixel of this level in its bits from `SHIFT` up.
LEVEL, SHIFT = 12, 35
REF_EPOCH = 2016.0
#: Error of G_BP: at magnitude 13.6, growth per magnitude (ln), scatter between stars (ln).
BP_ERROR, BP_ERROR_SLOPE, BP_ERROR_SCATTER = 0.003, 0.25, 0.25
#: The excess factor: scatter of good stars, and the share and mean excess of bad ones.
EXCESS_SCATTER, EXCESS_BAD, EXCESS_MEAN = 0.02, 0.02, 0.25
#: Errors of the parameters: T_eff (relative), log g, [Fe/H]; share of bad quality flags.
PARAMETER_ERRORS, FLAGGED = (0.012, 0.08, 0.1), 0.01


def catalogued_stars(
    settings: SimulationSettings,
    stars: Stars,
    traits: Traits,
    model: SpectrumNoise,
    spectroscope: Spectroscope,
    rng: np.random.Generator,
) -> SimulatedStars:
    """Return the stars with noise, sorted as they come."""
    spectra = stars.has_spectrum
    drawn = model.draw(stars.bp_mag[spectra], stars.rp_mag[spectra], rng)
    e_errors = extinction_errors(stars.bp_mag, rng)
    unit = rng.standard_normal(len(stars))
    share = settings.extinction_noise_correlation
    unit[spectra] = np.sqrt(1 - share**2) * unit[spectra] + share * extinction_noise(
        model, drawn, stars.coefficients, spectroscope.fit.paper, spectroscope.law(0.0)[1]
    )
    coefficients = RowStore(2 * BASES)
    for rows in slices(len(drawn.correlation_of)):
        noise = float(settings.xp_noise) * drawn.noise[rows]
        coefficients.add(noise + stars.coefficients[rows])
    return SimulatedStars(
        table=pa.table(
            {
                "source_id": source_identifiers(stars.ra_deg, stars.dec_deg),
                "ref_ra": stars.ra_deg,
                "ref_dec": stars.dec_deg,
                "pmra": traits.pmra,
                "pmdec": traits.pmdec,
                **_photometry(settings, stars, rng),
                "has_spectrum": spectra,
                "extinction": stars.extinction + float(settings.extinction_noise) * e_errors * unit,
                "extinction_err": e_errors,
                **_parameters(stars, rng),
            }
        ),
        # Of many stars these are on disk; they are indexed as arrays are.
        coefficients=cast("FloatArray", coefficients.rows()),
        coefficient_errors=cast("FloatArray", drawn.errors),
        correlations=model.correlations,
        correlation_of=drawn.correlation_of,
        ref_epoch=REF_EPOCH,
    )


def _photometry(
    settings: SimulationSettings, stars: Stars, rng: np.random.Generator
) -> dict[str, FloatArray]:
    number = len(stars)
    growth = BP_ERROR_SLOPE * (stars.bp_mag - 13.6) + rng.normal(0, BP_ERROR_SCATTER, number)
    error = np.clip(BP_ERROR * np.exp(growth), 0.0015, 0.1)
    bp = stars.bp_mag + float(settings.reference_noise) * error * rng.standard_normal(number)
    colour = stars.bp_mag - stars.rp_mag
    # The BP/RP flux excess factor of good stars (Riello et al. 2021, Table 2).
    blue = 1.154360 + 0.033772 * colour + 0.032277 * colour**2
    red = 1.162004 + 0.011464 * colour + 0.049255 * colour**2 - 0.005879 * colour**3
    excess = np.where(colour < 0.5, blue, red)
    bad = np.where(
        rng.uniform(0, 1, number) < EXCESS_BAD, rng.exponential(EXCESS_MEAN, number), 0.0
    )
    scatter = EXCESS_SCATTER * rng.standard_normal(number)
    return {
        "g_mag": stars.g_mag + 0.001 * rng.standard_normal(number),
        "bp_mag": bp,
        "rp_mag": stars.rp_mag + 0.002 * rng.standard_normal(number),
        "reference_mag_err": error,
        "phot_bp_rp_excess_factor": excess + scatter + bad,
    }


def _parameters(stars: Stars, rng: np.random.Generator) -> dict[str, npt.NDArray[np.generic]]:
    number = len(stars)
    relative, logg, feh = PARAMETER_ERRORS
    teff = stars.parameters[:, 0] * (1 + relative * rng.standard_normal(number))
    flags = np.where(rng.uniform(0, 1, number) < FLAGGED, rng.integers(8, 64, number), 0)
    return {
        "quality_flags": flags.astype(np.int16),
        "teff": teff,
        "logg": stars.parameters[:, 1] + logg * rng.standard_normal(number),
        "feh": stars.parameters[:, 2] + feh * rng.standard_normal(number),
        "parallax": 1000 / distance_pc(stars) + 0.02 * rng.standard_normal(number),
    }


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
    ascending = np.floor(side * (0.5 + quarter - 0.75 * z)).astype(np.int64)
    descending = np.floor(side * (0.5 + quarter + 0.75 * z)).astype(np.int64)
    up, down = ascending // side, descending // side
    face = np.where(up == down, (up & 3) | 4, np.where(up < down, up & 3, (down & 3) + 8))
    x, y = descending & (side - 1), side - 1 - (ascending & (side - 1))
    base = np.minimum(quarter.astype(np.int64), 3)
    width = side * np.sqrt(3 * np.maximum(0.0, 1 - np.abs(z)))
    first = np.minimum(((quarter - base) * width).astype(np.int64), side - 1)
    second = np.minimum(((1 - (quarter - base)) * width).astype(np.int64), side - 1)
    north = z > 0
    face = np.where(polar, np.where(north, base, base + 8), face)
    x = np.where(polar, np.where(north, side - 1 - second, first), x)
    y = np.where(polar, np.where(north, side - 1 - first, second), y)
    return np.asarray((face << (2 * level)) + _spread(x) + (_spread(y) << 1))


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
