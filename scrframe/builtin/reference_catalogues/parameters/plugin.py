"""Classic Stellar Colour Regression: tables of stellar parameters, and of reddening.

The features of the colour model are effective temperature, surface gravity and metallicity
of a spectroscopic survey; positions and the reference magnitude come from Gaia.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scrframe.arrays import FloatArray
from scrframe.builtin.reference_catalogues.gaia.corrections import MAGNITUDE_TABLE, OUTSIDE
from scrframe.builtin.reference_catalogues.gaia.write import write_sources
from scrframe.builtin.reference_catalogues.parameters import reference
from scrframe.builtin.reference_catalogues.parameters.reference import (
    check_part,
    columns_named,
    read_rows,
    table_parts,
)
from scrframe.builtin.reference_catalogues.parameters.settings import (
    KS_PER_E,
    ParameterTableConfig,
    StellarParametersConfig,
)
from scrframe.plugin import ExtinctionCatalogue, Part, ReferenceCatalogue, hookimpl
from scrframe.tables import Extinctions, SimulatedStars
from scrframe.tables.columns import EXTINCTION_REQUIRED, REFERENCE_REQUIRED

#: Where the table is written, below the data root.
TABLE = Path("apogee") / "allStar_simulated.fits"
#: The survey targets giants: share of the giants and of the other stars that it has.
GIANT_LOGG, GIANT_SHARE, OTHER_SHARE = 3.8, 0.9, 0.25
#: Errors of simulated parameters: T_eff (relative), log g, [M/H].
ERRORS = (0.012, 0.08, 0.1)
#: Error of AK_TARG in mag, near that of single stars by near and mid infrared colours.
AK_ERROR = 0.03
#: Share of rows without a usable temperature, and of stars that stand there twice.
MISSING, REPEATED = 0.02, 0.05
#: What stands for a missing value.
NO_VALUE = -9999.0


def fetched(config: StellarParametersConfig) -> dict[str, str]:
    """Return what archives have of it, and the pattern of the files."""
    return {"sources": config.sources}


def write_simulated(stars: SimulatedStars, root: Path, gaia_format: str) -> None:
    """Write ``gaia_source/`` and ``apogee/``; parameters have errors already, those of `ERRORS`."""
    write_sources(stars, root, gaia_format)
    write_table(stars, root)


def write_extinctions(stars: SimulatedStars, root: Path) -> None:
    """Write ``apogee/`` below the data root, if the reference catalogue has not done so."""
    if not (root / TABLE).exists():
        write_table(stars, root)


def write_table(stars: SimulatedStars, root: Path) -> None:
    """Write those of the stars that a spectroscopic survey of giants would have, as FITS."""
    from astropy.table import Table  # noqa: PLC0415 - slow to import

    table = stars.table.filter(stars.table["has_spectrum"])
    column = {name: np.asarray(table[name]) for name in table.column_names}
    # The draws go by the stars, and are the same whichever catalogue asks for the table.
    rng = np.random.default_rng([len(table), 17])
    chance = rng.uniform(0, 1, len(table))
    share = np.where(column["logg"] < GIANT_LOGG, GIANT_SHARE, OTHER_SHARE)
    again = rng.uniform(0, 1, len(table)) < REPEATED
    rows = np.flatnonzero(chance < share)
    rows = np.concatenate([rows, rows[again[rows]]])
    lost = rng.uniform(0, 1, len(rows)) < MISSING
    relative, logg, feh = ERRORS
    teff = column["teff"][rows]
    dust = KS_PER_E * column["extinction"] + AK_ERROR * rng.standard_normal(len(table))
    bright = np.clip(10 ** (-0.2 * (column["g_mag"][rows] - 13)), 0.1, 10)
    written = {
        "APOGEE_ID": np.array([f"simulated{number}" for number in rows], dtype="U24"),
        "GAIAEDR3_SOURCE_ID": column["source_id"][rows],
        "RA": column["ref_ra"][rows],
        "DEC": column["ref_dec"][rows],
        "TEFF": np.where(lost, NO_VALUE, teff).astype(np.float32),
        "TEFF_ERR": (relative * teff).astype(np.float32),
        "LOGG": column["logg"][rows].astype(np.float32),
        "LOGG_ERR": np.full(len(rows), logg, np.float32),
        "M_H": column["feh"][rows].astype(np.float32),
        "M_H_ERR": np.full(len(rows), feh, np.float32),
        "SNR": (100 * bright * rng.lognormal(0, 0.4, len(rows))).astype(np.float32),
        "AK_TARG": dust[rows].astype(np.float32),
    }
    (root / TABLE).parent.mkdir(parents=True, exist_ok=True)
    Table(written).write(root / TABLE, format="fits", overwrite=True)


def parameters_example(directory: Path) -> StellarParametersConfig:
    """Write a tiny table of parameters with its Gaia sources, and return its settings.

    It holds eight stars, whose parameters and dust are simple numbers.
    """
    count = 8
    number = np.arange(count)
    table = pa.table(
        {
            "source_id": 4_000_000_000_000_000_000 + 1000 * number,
            "ref_ra": 107.0 + 0.01 * number,
            "ref_dec": np.full(count, -1.0),
            "pmra": np.zeros(count),
            "pmdec": np.zeros(count),
            "g_mag": 13.5 + 0.1 * number,
            "bp_mag": 14.0 + 0.1 * number,
            "rp_mag": 13.0 + 0.1 * number,
            "reference_mag_err": np.full(count, 0.003),
            "phot_bp_rp_excess_factor": np.full(count, 1.2),
            "has_spectrum": np.ones(count, dtype=bool),
            "extinction": 0.1 + 0.05 * number,
            "extinction_err": np.full(count, 0.01),
            "teff": 4500.0 + 50 * number,
            "logg": np.full(count, 2.5),
            "feh": -0.1 * number,
        }
    )
    none: FloatArray = np.zeros((count, 0))
    stars = SimulatedStars(table, none, none, none, np.zeros(count, np.int64), 2016.0)
    write_simulated(stars, directory, "parquet")
    return StellarParametersConfig()


def extinctions_example(directory: Path) -> ParameterTableConfig:
    """Write a tiny table, and return settings that read it."""
    parameters_example(directory)
    return ParameterTableConfig()


KEY = "parameter_table"


def parts(config: ParameterTableConfig, root: Path) -> list[Part]:
    """Return a part for each file of the table.

    Raises DataError if there is none, or a file lacks a column.
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

    Raises DataError if the file is damaged.
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
    fetched=fetched,
    example=parameters_example,
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
    example=extinctions_example,
)


@hookimpl
def scrframe_reference_catalogues() -> Iterable[ReferenceCatalogue]:
    """Yield the catalogue of stellar parameters."""
    yield STELLAR_PARAMETERS


@hookimpl
def scrframe_extinction_catalogues() -> Iterable[ExtinctionCatalogue]:
    """Yield the table of extinctions."""
    yield PARAMETER_TABLE
