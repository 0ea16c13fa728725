"""Writes simulated stars as APOGEE's allStar table, with Gaia's sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from scrframe.arrays import FloatArray
from scrframe.builtin.reference_catalogues.gaia.write import write_sources
from scrframe.builtin.reference_catalogues.parameters.settings import KS_PER_E
from scrframe.tables import SimulatedStars

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


def write_simulated(stars: SimulatedStars, root: Path, gaia_format: str) -> None:
    """Write ``gaia_source/`` and ``apogee/`` below the data root.

    Parameters
    ----------
    stars : SimulatedStars
        Their parameters have errors already, those of `ERRORS`.
    root : Path
    gaia_format : {"parquet", "csv"}
        Of the Gaia sources.
    """
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


def write_example(directory: Path) -> None:
    """Write eight stars, whose parameters and dust are simple numbers."""
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
