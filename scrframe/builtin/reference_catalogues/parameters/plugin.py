"""Classic Stellar Colour Regression: tables of stellar parameters, and of reddening.

The features of the colour model are effective temperature, surface gravity and metallicity
of a spectroscopic survey; positions and the reference magnitude come from Gaia.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scrframe.builtin.reference_catalogues.gaia.corrections import MAGNITUDE_TABLE, OUTSIDE
from scrframe.builtin.reference_catalogues.parameters import reference
from scrframe.builtin.reference_catalogues.parameters.settings import (
    ParameterTableConfig,
    StellarParametersConfig,
)
from scrframe.builtin.reference_catalogues.parameters.table import (
    check_part,
    columns_named,
    read_rows,
    table_parts,
)
from scrframe.builtin.reference_catalogues.parameters.write import (
    write_example,
    write_extinctions,
    write_simulated,
)
from scrframe.plugin import ExtinctionCatalogue, Part, ReferenceCatalogue, hookimpl
from scrframe.tables import Extinctions
from scrframe.tables.columns import EXTINCTION_REQUIRED, REFERENCE_REQUIRED

KEY = "parameter_table"


def parts(config: ParameterTableConfig, root: Path) -> list[Part]:
    """Return a part for each file of the table.

    Raises
    ------
    DataError
        If there is none, or a file lacks a column.
    """
    columns = config.columns
    names = {
        "source_id": columns.source_id,
        "extinction": columns.extinction,
        "extinction_err": columns.extinction_err,
    }
    return table_parts(config.table, columns_named(names), root, KEY)


def check(part: Part, config: ParameterTableConfig) -> None:
    """Read the first rows of a part; raises DataError where that fails."""
    check_part(part)


def read(part: Part, config: ParameterTableConfig, source_id: npt.NDArray[np.int64]) -> Extinctions:
    """Read the extinctions of the stars given; a star without one is absent.

    E is `scale` times the column. Its error is that of the column, scaled, and that of the
    scale, in quadrature. Of several rows of a star the first usable one counts.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    rows = read_rows(part, {"extinction": config.valid}, None)
    place, row = rows.find(source_id)
    value = rows.columns["extinction"][row]
    own = np.full(len(row), config.err)
    if "extinction_err" in rows.columns:
        given = rows.columns["extinction_err"][row]
        own = np.where(given >= 0, given, own)
    return Extinctions.from_columns(
        {
            "source_id": source_id[place],
            "extinction": config.scale * value,
            "extinction_err": np.hypot(config.scale * own, config.scale_err * value),
        }
    )


def example(directory: Path) -> ParameterTableConfig:
    """Write a tiny table, and return settings that read it."""
    write_example(directory)
    return ParameterTableConfig()


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
    parts=parts,
    read=read,
    columns=EXTINCTION_REQUIRED,
    check=check,
    write_simulated=write_extinctions,
    example=example,
)


@hookimpl
def scrframe_reference_catalogues() -> Iterable[ReferenceCatalogue]:
    """Yield the catalogue of stellar parameters."""
    yield STELLAR_PARAMETERS


@hookimpl
def scrframe_extinction_catalogues() -> Iterable[ExtinctionCatalogue]:
    """Yield the table of extinctions."""
    yield PARAMETER_TABLE
