"""Reads XP spectra, continuous or sampled, onto the grid, with their S/N."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray, IntArray
from scrframe.builtin.reference_catalogues.gaia import products
from scrframe.builtin.reference_catalogues.gaia.corrections import (
    correct_flux,
    spectrum_corrections,
)
from scrframe.builtin.reference_catalogues.gaia.datalink import blocks
from scrframe.builtin.reference_catalogues.gaia.parts import may_hold
from scrframe.builtin.reference_catalogues.gaia.products import SAMPLED, SAMPLES_NM, GaiaXpConfig
from scrframe.builtin.reference_catalogues.gaia.releases import sampled_operator
from scrframe.io.block import Block, RealArray
from scrframe.plugin import ChosenCorrection, Part
from scrframe.spectra import XpOperator
from scrframe.statistics.groups import first_rows
from scrframe.tables import (
    SPECTRUM_ERRORS_DIAGONAL,
    SPECTRUM_OUTSIDE_CORRECTION,
    ReferenceStars,
    Spectra,
)

logger = logging.getLogger(__name__)

CORRELATIONS = ("bp_coefficient_correlations", "rp_coefficient_correlations")


@dataclass(frozen=True)
class _Wanted:
    """A block of a file, which of its rows are wanted, and the stars that these belong to."""

    block: Block
    columns: Mapping[str, str]
    rows: IntArray
    star: IntArray

    def matrix(self, name: str, width: int) -> RealArray:
        return self.block.matrix(self.columns[name], width, self.rows)


@dataclass(frozen=True)
class StarFluxes:
    """Fluxes made of the spectra of some stars."""

    #: Row of each in the stars asked for. Shape (n,).
    star: IntArray
    #: Shape (n, m).
    flux: FloatArray
    #: Before any correction of the flux. Shape (n, m).
    error: FloatArray
    #: Median over the m values of flux over error. Shape (n,).
    snr: FloatArray
    #: Shape (n,).
    flags: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Target:
    """What spectra are turned into: fluxes at m wavelengths, or through m passbands.

    Attributes
    ----------
    operator : XpOperator
        From coefficients.
    of_samples, errors_of_samples : callable
        From the archive's 343 samples, shape (n, 343), and from their errors.
    sampled : XpOperator
        From coefficients to these samples, on which corrections act.
    """

    operator: XpOperator
    of_samples: Callable[[FloatArray], FloatArray]
    errors_of_samples: Callable[[FloatArray], FloatArray]
    sampled: XpOperator


def on_grid(config: GaiaXpConfig, operator_file: str = "") -> Target:
    """Return the target of the configured grid of wavelengths."""
    grid = config.grid
    operator = products.operator_for(grid.start, grid.stop, grid.step, operator_file)
    grid_nm = operator.wavelength_nm
    return Target(
        operator,
        lambda samples: products.at_grid(samples, grid_nm),
        lambda errors: products.at_grid(errors, grid_nm),
        sampled_operator(operator_file),
    )


@dataclass(frozen=True)
class _Reading:
    """What reading a block needs to know."""

    target: Target
    stars: ReferenceStars
    corrections: tuple[ChosenCorrection, ...]


def read_features(
    part: Part, config: GaiaXpConfig, stars: ReferenceStars, corrections: Sequence[ChosenCorrection]
) -> Spectra:
    """Read the spectra of one part that belong to the stars given, each star once.

    Of a star that a part holds twice the first row counts. A spectrum that lacks a band is
    left out: it does not cover the grid. S/N is the median over the grid of flux over error,
    before any correction of the flux.

    The contract is that of `scrframe.plugin.ReferenceCatalogue.read_features`. Corrections of
    spectra act on the 343 samples, of which those at the grid are taken.

    Raises DataError if the file is damaged or its arrays are not what they should be.
    """
    found = read_fluxes(part, stars, corrections, on_grid(config, part.detail.get("operator", "")))
    # Of a part without any, arrays of no length.
    grid_nm = products.wavelengths(config.grid.start, config.grid.stop, config.grid.step)
    if not found:
        none = np.empty((0, len(grid_nm)))
        found = [StarFluxes(np.empty(0, int), none, none, np.empty(0), np.empty(0, np.uint8))]
    return Spectra(
        source_id=stars["source_id"][np.concatenate([block.star for block in found])],
        wavelength_nm=grid_nm,
        flux=np.concatenate([block.flux.astype(np.float32) for block in found]),
        snr=np.concatenate([block.snr for block in found]),
        flags=np.concatenate([block.flags for block in found]),
    )


def read_fluxes(
    part: Part, stars: ReferenceStars, corrections: Sequence[ChosenCorrection], target: Target
) -> list[StarFluxes]:
    """Read the spectra of one part that belong to the stars given, each star once.

    Parameters and errors raised are those of `read_features`; `target` says what is made of
    the spectra.
    """
    ids = stars["source_id"]
    columns = part.detail["columns"]
    reading = _Reading(target, stars, spectrum_corrections(corrections))
    read = _sampled if part.detail["product"] == SAMPLED.name else _continuous
    found: list[StarFluxes] = []
    seen = np.zeros(len(ids), dtype=bool)
    if len(ids) and may_hold(part, int(ids[0]), int(ids[-1])):
        for block in blocks(part):
            here = block.identifiers(columns["source_id"])
            rows, star = first_rows(here, ids, seen)
            if len(rows):
                wanted = _Wanted(block, columns, rows, star)
                found.append(_complete(read(wanted, reading), block.label))
    return found


def _continuous(wanted: _Wanted, reading: _Reading) -> StarFluxes:
    operator = reading.target.operator
    bases = operator.bases
    coefficients = [wanted.matrix(f"{band}_coefficients", bases) for band in ("bp", "rp")]
    errors = [wanted.matrix(f"{band}_coefficient_errors", bases) for band in ("bp", "rp")]
    correlations = None
    if all(name in wanted.columns for name in CORRELATIONS):
        correlations = [wanted.matrix(name, operator.packed) for name in CORRELATIONS]
    flux = operator.flux(coefficients[0], coefficients[1])
    error, flags = _errors(operator, errors, correlations)
    snr = _median_ratio(flux, error)
    if reading.corrections:
        sampled = reading.target.sampled
        samples = sampled.flux(coefficients[0], coefficients[1])
        sample_error, _ = _errors(sampled, errors, correlations)
        flux, outside = _corrected(samples, sample_error, wanted.star, reading)
        flags = flags | outside
    return StarFluxes(wanted.star, flux, error, snr, flags)


def _errors(
    operator: XpOperator, errors: list[RealArray], correlations: list[RealArray] | None
) -> tuple[FloatArray, npt.NDArray[np.uint8]]:
    """Return errors of fluxes, exact where a star's correlations are known, and flags."""
    count = len(errors[0])
    if correlations is None:
        known = np.zeros(count, dtype=bool)
    else:
        known = np.isfinite(correlations[0][:, 0]) & np.isfinite(correlations[1][:, 0])
    flags = np.where(known, 0, SPECTRUM_ERRORS_DIAGONAL).astype(np.uint8)
    if correlations is not None and known.all():
        exact = operator.flux_error_exact(errors[0], correlations[0], errors[1], correlations[1])
        return exact, flags
    result = operator.flux_error_diagonal(errors[0], errors[1])
    if correlations is not None and known.any():
        result[known] = operator.flux_error_exact(
            errors[0][known], correlations[0][known], errors[1][known], correlations[1][known]
        )
    return result, flags


def _sampled(wanted: _Wanted, reading: _Reading) -> StarFluxes:
    samples, errors = (
        wanted.matrix(name, len(SAMPLES_NM)).astype(np.float64) for name in ("flux", "flux_error")
    )
    flux = reading.target.of_samples(samples)
    error = reading.target.errors_of_samples(errors)
    snr = _median_ratio(flux, error)
    # How the errors of the samples are correlated is not known.
    flags = np.full(len(wanted.rows), SPECTRUM_ERRORS_DIAGONAL, dtype=np.uint8)
    if reading.corrections:
        flux, outside = _corrected(samples, errors, wanted.star, reading)
        flags |= outside
    return StarFluxes(wanted.star, flux, error, snr, flags)


def _corrected(
    samples: FloatArray, errors: FloatArray, star: IntArray, reading: _Reading
) -> tuple[FloatArray, npt.NDArray[np.uint8]]:
    """Return what is made of corrected spectra, and the flag of those out of range."""
    flux, outside = correct_flux(
        samples, errors, SAMPLES_NM, reading.stars.take(star), reading.corrections
    )
    flag = np.where(outside, SPECTRUM_OUTSIDE_CORRECTION, 0).astype(np.uint8)
    return reading.target.of_samples(flux), flag


def _median_ratio(flux: FloatArray, error: FloatArray) -> FloatArray:
    """Return S/N of spectra; an error that is not positive is none, and gives none."""
    known = np.where(error > 0, error, np.nan)
    return np.asarray(np.median(flux / known, axis=1), dtype=np.float64)


def _complete(found: StarFluxes, label: str) -> StarFluxes:
    """Leave out spectra that lack a band."""
    whole = np.isfinite(found.flux).all(axis=1)
    if whole.all():
        return found
    logger.info("%s: %d spectra lack BP or RP and are left out", label, (~whole).sum())
    return StarFluxes(*(getattr(found, item.name)[whole] for item in fields(found)))
