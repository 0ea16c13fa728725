"""From what a reference catalogue has of stars to the features of a colour model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray
from scrframe.run.plugins import SelectedPlugins
from scrframe.scr.quantities import ColumnScale
from scrframe.scr.spectra import intrinsic_features
from scrframe.tables import Quantities, Spectra, StarFeatures

#: Column of the sample's stars: the colour that the catalogue predicts.
CATALOGUE_COLOUR = "catalogue_colour"
#: Makes features, shape (s, m), of the rows of what a catalogue tells and of extinctions.
MakeFeatures = Callable[[npt.NDArray[np.floating], FloatArray], npt.NDArray[np.float32]]


def feature_maker(plugins: SelectedPlugins, features: StarFeatures) -> MakeFeatures:
    """Return how features follow: spectra are dereddened and standardised, star by star.

    Quantities are brought to one scale, that of these stars, whatever the extinction.
    """
    if isinstance(features, Spectra):
        k_mag = own_curve(plugins, features)
        standardise = plugins.survey.colour_model.standardise
        return lambda flux, extinction: intrinsic_features(flux, k_mag, extinction, standardise)
    scale = ColumnScale.on(features.values)
    return lambda values, extinction: scale(values)


def own_curve(plugins: SelectedPlugins, spectra: Spectra) -> FloatArray:
    """Return the run's extinction curve on the grid of spectra, mag per unit E, shape (m,)."""
    settings = plugins.survey.extinction.curve.settings
    return plugins.curve.curve(settings, spectra.wavelength_nm)


def noise_of(features: StarFeatures) -> FloatArray:
    """Return each star's own errors.

    Of spectra the error at each wavelength as a share of the flux, shape (s,); of quantities
    the errors themselves, shape (s, m), the column's median where one is not known.
    """
    if isinstance(features, Spectra):
        return 1 / np.asarray(features.snr, dtype=np.float64)
    errors = np.array(features.errors)
    for column in errors.T:
        usable = np.isfinite(column) & (column >= 0)
        column[~usable] = np.median(column[usable]) if usable.any() else 0.0
    return errors


def without_errors(features: StarFeatures) -> list[str]:
    """Return which quantities have no error at any star."""
    if isinstance(features, Spectra):
        return []
    return [
        name
        for name, errors in zip(features.names, features.errors.T, strict=True)
        if not np.isfinite(errors).any()
    ]


def label_of(features: StarFeatures) -> str:
    """Return what the counts of a sample call the stars that have features."""
    if isinstance(features, Spectra):
        return "has a spectrum"
    return f"has {', '.join(features.names)}"


def snr_name(features: StarFeatures) -> str:
    """Return the vocabulary's name of the S/N."""
    return "snr" if isinstance(features, Quantities) else "xp_snr"
