"""Corrections of Gaia's magnitudes and spectra from what the user supplies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray
from scrframe.builtin.reference_catalogues.gaia.correction_tables import (
    MAGNITUDE_TABLE,
    SPECTRUM_TABLE,
)
from scrframe.builtin.reference_catalogues.gaia.spectrum_package import SPECTRUM_PACKAGE
from scrframe.errors import DataError
from scrframe.plugin import ChosenCorrection, Correction
from scrframe.tables import Column, ReferenceStars

#: All corrections that the catalogue understands.
CORRECTIONS: tuple[Correction, ...] = (MAGNITUDE_TABLE, SPECTRUM_PACKAGE, SPECTRUM_TABLE)
OUTSIDE = Column(
    "reference_outside_correction",
    "",
    "int16",
    "1 where a correction of the reference magnitude was asked for but does not reach.",
    "reference",
)


def correct_sources(
    stars: ReferenceStars, corrections: Sequence[ChosenCorrection]
) -> ReferenceStars:
    """Return stars with corrected magnitudes and the column `reference_outside_correction`."""
    stars = stars.with_columns({OUTSIDE.name: np.zeros(len(stars), dtype=np.int16)})
    for chosen in corrections:
        if chosen.correction.of_sources is not None:
            stars = chosen.correction.of_sources(stars, chosen.config, chosen.root)
    return stars


def spectrum_corrections(corrections: Sequence[ChosenCorrection]) -> tuple[ChosenCorrection, ...]:
    """Return the corrections that act on spectra."""
    return tuple(item for item in corrections if item.correction.of_spectra is not None)


def correct_flux(
    flux: FloatArray,
    errors: FloatArray,
    wavelength_nm: FloatArray,
    stars: ReferenceStars,
    corrections: Sequence[ChosenCorrection],
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Apply corrections in turn to sampled spectra.

    Parameters
    ----------
    flux, errors : ndarray, shape (n, m)
        Spectra and their errors in W m^-2 nm^-1.
    wavelength_nm : ndarray, shape (m,)
        The samples.
    stars : ReferenceStars
        The n stars.
    corrections : sequence of ChosenCorrection
        Those of spectra.

    Returns
    -------
    flux : ndarray, shape (n, m)
        Corrected; what a correction cannot correct (a result that is not finite) stays.
    outside : ndarray of bool, shape (n,)
        Stars out of the range of a correction.

    Raises
    ------
    DataError
        If a correction returns another shape.
    """
    outside = np.zeros(len(flux), dtype=bool)
    about: Mapping[str, Any] = {
        "wavelength_nm": wavelength_nm,
        "flux_error": errors,
        **{name: stars[name] for name in ("source_id", "g_mag", "bp_mag", "rp_mag")},
    }
    for chosen in corrections:
        assert chosen.correction.of_spectra is not None
        result, beyond = chosen.correction.of_spectra(flux, about, chosen.config, chosen.root)
        result = np.asarray(result, dtype=np.float64)
        if result.shape != flux.shape:
            raise DataError(
                f"correction {chosen.correction.name} returned spectra of shape {result.shape};"
                f" expected {flux.shape}"
            )
        lost = np.asarray(~np.isfinite(result).all(axis=1) & np.isfinite(flux).all(axis=1))
        flux = np.where(lost[:, None], flux, result)
        outside |= np.asarray(beyond, dtype=bool) | lost
    return flux, outside
