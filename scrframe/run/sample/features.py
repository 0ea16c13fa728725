"""From what a reference catalogue tells of stars to the features of a colour model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray
from scrframe.run.plugins import Chosen
from scrframe.scr.quantities import ColumnScale
from scrframe.scr.spectra import intrinsic_features
from scrframe.tables import Quantities, Spectra, StarFeatures

#: Column of the sample's stars: the colour that the catalogue predicts.
CATALOGUE_COLOUR = "catalogue_colour"
#: Makes features, shape (s, m), of the rows of what a catalogue tells and of extinctions.
MakeFeatures = Callable[[npt.NDArray[np.floating], FloatArray], npt.NDArray[np.float32]]


def feature_maker(chosen: Chosen, told: StarFeatures) -> MakeFeatures:
    """Return how features follow: spectra are dereddened and standardised, star by star.

    Quantities are brought to one scale, that of these stars, whatever the extinction.
    """
    if isinstance(told, Spectra):
        k_mag = own_curve(chosen, told)
        standardise = chosen.survey.colour_model.standardise
        return lambda flux, extinction: intrinsic_features(flux, k_mag, extinction, standardise)
    scale = ColumnScale.on(told.values)
    return lambda values, extinction: scale(values)


def own_curve(chosen: Chosen, spectra: Spectra) -> FloatArray:
    """Return the run's extinction curve on the grid of spectra, mag per unit E, shape (m,)."""
    settings = chosen.survey.extinction.curve.settings
    return chosen.curve.curve(settings, spectra.wavelength_nm)


def noise_of(told: StarFeatures) -> FloatArray:
    """Return each star's own errors.

    Of spectra the error at each wavelength as a share of the flux, shape (s,); of quantities
    the errors themselves, shape (s, m), the column's median where one is not known.
    """
    if isinstance(told, Spectra):
        return 1 / np.asarray(told.snr, dtype=np.float64)
    errors = np.array(told.errors)
    for column in errors.T:
        usable = np.isfinite(column) & (column >= 0)
        column[~usable] = np.median(column[usable]) if usable.any() else 0.0
    return errors


def without_errors(told: StarFeatures) -> list[str]:
    """Return which quantities have no error at any star."""
    if isinstance(told, Spectra):
        return []
    return [
        name
        for name, errors in zip(told.names, told.errors.T, strict=True)
        if not np.isfinite(errors).any()
    ]


def label_of(told: StarFeatures) -> str:
    """Return what the counts of a sample call the stars that have features."""
    if isinstance(told, Spectra):
        return "has a spectrum"
    return f"has {', '.join(told.names)}"


def snr_name(told: StarFeatures) -> str:
    """Return the vocabulary's name of the S/N."""
    return "snr" if isinstance(told, Quantities) else "xp_snr"
