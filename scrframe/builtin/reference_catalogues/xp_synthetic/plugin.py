"""Synthetic photometry of Gaia XP spectra: colours that need no training.

For bands that the spectra cover, the predicted magnitude is that of the observed spectrum
through the survey's passband, which the user supplies.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from scrframe.builtin.reference_catalogues.gaia.corrections import CORRECTIONS, OUTSIDE
from scrframe.builtin.reference_catalogues.gaia.write import write_simulated
from scrframe.builtin.reference_catalogues.xp_synthetic import catalogue
from scrframe.builtin.reference_catalogues.xp_synthetic.catalogue import XpSyntheticConfig, example
from scrframe.errors import CalibrationError
from scrframe.plugin import (
    ColourModel,
    FittedColourModel,
    NoConfig,
    ReferenceCatalogue,
    hookimpl,
)
from scrframe.tables.columns import REFERENCE_REQUIRED

XP_SYNTHETIC = ReferenceCatalogue(
    name="xp_synthetic",
    summary="Synthetic photometry of Gaia XP spectra through a passband; needs no training",
    version="1.0",
    config=XpSyntheticConfig,
    provides="colour",
    source_parts=catalogue.source_parts,
    read_sources=catalogue.read_sources,
    feature_parts=catalogue.feature_parts,
    read_features=catalogue.read_features,
    columns=(
        *REFERENCE_REQUIRED,
        "g_mag",
        "bp_mag",
        "rp_mag",
        "phot_bp_rp_excess_factor",
        "snr",
    ),
    own_columns=(OUTSIDE,),
    corrections=CORRECTIONS,
    band="G_BP",
    check=catalogue.check,
    write_simulated=write_simulated,
    example=example,
)


def fit_nothing(
    features: Any, colour_mag: Any, weights: Any, config: NoConfig, seed: int, threads: int
) -> FittedColourModel:
    """Refuse to learn.

    Raises
    ------
    CalibrationError
        Always.
    """
    raise CalibrationError("colour_model none learns nothing; choose another colour_model.kind")


NONE = ColourModel(
    name="none",
    summary="No training, for a reference catalogue that provides colours",
    version="1.0",
    fit=fit_nothing,
    learns=False,
)


@hookimpl
def scrframe_reference_catalogues() -> Iterable[ReferenceCatalogue]:
    """Yield the catalogue of synthetic photometry."""
    yield XP_SYNTHETIC


@hookimpl
def scrframe_colour_models() -> Iterable[ColourModel]:
    """Yield the model that stands for none."""
    yield NONE
