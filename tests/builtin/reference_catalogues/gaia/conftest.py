"""A few stars with the real spectra of the fixture, scaled so that no two are alike."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from scrframe.builtin.reference_catalogues.gaia.plugin import GAIA_XP
from scrframe.tables import ReferenceStars, SimulatedStars

FIXTURES = Path(__file__).parents[3] / "fixtures" / "gaia"


def parsed(column):
    return np.array([np.array(text.strip("()").split(","), float) for text in column.to_pylist()])


def made_up_stars(rows=40):
    """Return stars in real correlations, every tenth without a spectrum."""
    raw = pacsv.read_csv(FIXTURES / "xp_continuous_raw.csv")
    both = {
        name: np.hstack([parsed(raw[f"{band}_coefficient{name}"]) for band in ("bp", "rp")])
        for name in ("s", "_errors", "_correlations")
    }
    rng = np.random.default_rng(2)
    has = np.arange(rows) % 10 > 0
    kind = rng.integers(0, 2, has.sum())
    scale = rng.uniform(0.5, 2, (has.sum(), 1))
    uniform = {
        "ref_ra": (105, 110),
        "ref_dec": (-3, 3),
        "pmra": (-9, 9),
        "pmdec": (-9, 9),
        "g_mag": (13, 18),
        "bp_mag": (13, 18),
        "rp_mag": (13, 17.5),
        "reference_mag_err": (0.001, 0.01),
        "phot_bp_rp_excess_factor": (1.1, 1.3),
        "extinction": (0, 2),
        "extinction_err": (0.01, 0.02),
        "teff": (4000, 7000),
        "logg": (1, 5),
        "feh": (-2, 0.5),
        "parallax": (0.1, 2),
    }
    table = pa.table(
        {
            "source_id": np.sort(rng.choice(2**58, rows, replace=False)),
            **{name: rng.uniform(*limits, rows) for name, limits in uniform.items()},
            "quality_flags": np.zeros(rows, dtype=np.int16),
            "has_spectrum": has,
        }
    )
    return SimulatedStars(
        table,
        both["s"][kind] * scale,
        both["_errors"][kind],
        both["_correlations"],
        kind,
        2016.0,
    )


@pytest.fixture
def stars():
    return made_up_stars()


@pytest.fixture
def read_sources():
    """Return a function that reads all sources below a root."""

    def read(root, footprint=None, corrections=(), **settings):
        config = GAIA_XP.config(**settings)
        return ReferenceStars.concat(
            GAIA_XP.read_sources(part, config, footprint, corrections)
            for part in GAIA_XP.source_parts(config, root)
        )

    return read


@pytest.fixture
def read_features(read_sources):
    """Return a function that reads the spectra, one part after the other."""

    def read(root, wanted, corrections=(), **settings):
        config = GAIA_XP.config(**settings)
        wanted = wanted.take(np.argsort(wanted["source_id"]))
        return [
            GAIA_XP.read_features(part, config, wanted, corrections)
            for part in GAIA_XP.feature_parts(config, root)
        ]

    return read


@pytest.fixture
def tree(stars, tmp_path):
    """Return a data root with the stars as Parquet."""
    GAIA_XP.write_simulated(stars, tmp_path, "parquet")
    return tmp_path
