"""Classic Stellar Colour Regression: tables of stellar parameters, and of reddening.

The features of the colour model are effective temperature, surface gravity and metallicity
of a spectroscopic survey; positions and the reference magnitude come from Gaia.
"""

from __future__ import annotations

from collections.abc import Iterable

from scrframe.builtin.reference_catalogues.gaia.correction_tables import MAGNITUDE_TABLE
from scrframe.builtin.reference_catalogues.gaia.corrections import OUTSIDE
from scrframe.builtin.reference_catalogues.parameters import extinction, reference
from scrframe.builtin.reference_catalogues.parameters.settings import (
    ParameterTableConfig,
    StellarParametersConfig,
)
from scrframe.builtin.reference_catalogues.parameters.write import (
    write_extinctions,
    write_simulated,
)
from scrframe.plugin import ExtinctionCatalogue, ReferenceCatalogue, hookimpl
from scrframe.tables.columns import EXTINCTION_REQUIRED, REFERENCE_REQUIRED

STELLAR_PARAMETERS = ReferenceCatalogue(
    name="stellar_parameters",
    summary="T_eff, log g and [Fe/H] from a table such as APOGEE's allStar, G_BP from Gaia",
    version="1.0",
    config=StellarParametersConfig,
    provides="parameters",
    source_parts=reference.source_parts,
    read_sources=reference.read_sources,
    feature_parts=reference.feature_parts,
    read_features=reference.read_features,
    columns=(
        *REFERENCE_REQUIRED,
        "g_mag",
        "bp_mag",
        "rp_mag",
        "phot_bp_rp_excess_factor",
        "teff",
        "logg",
        "feh",
        "snr",
    ),
    own_columns=(OUTSIDE,),
    corrections=(MAGNITUDE_TABLE,),
    band="G_BP",
    check=reference.check,
    write_simulated=write_simulated,
    example=reference.example,
)
PARAMETER_TABLE = ExtinctionCatalogue(
    name="parameter_table",
    summary="Any column of a table as extinction, times a factor, such as APOGEE's AK_TARG",
    version="1.0",
    config=ParameterTableConfig,
    parts=extinction.parts,
    read=extinction.read,
    columns=EXTINCTION_REQUIRED,
    check=extinction.check,
    write_simulated=write_extinctions,
    example=extinction.example,
)


@hookimpl
def scrframe_reference_catalogues() -> Iterable[ReferenceCatalogue]:
    """Yield the catalogue of stellar parameters."""
    yield STELLAR_PARAMETERS


@hookimpl
def scrframe_extinction_catalogues() -> Iterable[ExtinctionCatalogue]:
    """Yield the table of extinctions."""
    yield PARAMETER_TABLE
