"""Simulated stars as Gaia products: what is written reads back, here and elsewhere."""

import gzip

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from scrframe.builtin.reference_catalogues.gaia import write
from scrframe.builtin.reference_catalogues.gaia.plugin import GAIA_XP
from scrframe.spectra import load_operator
from scrframe.tables import Spectra

COPIED = (
    "ref_ra",
    "ref_dec",
    "pmra",
    "pmdec",
    "g_mag",
    "bp_mag",
    "rp_mag",
    "phot_bp_rp_excess_factor",
)
ARCHIVE_COLUMNS = [
    "source_id",
    "solution_id",
    *(
        f"{band}_{name}"
        for band in ("bp", "rp")
        for name in (
            "basis_function_id",
            "degrees_of_freedom",
            "n_parameters",
            "n_measurements",
            "n_rejected_measurements",
            "standard_deviation",
            "chi_squared",
            "coefficients",
            "coefficient_errors",
            "coefficient_correlations",
            "n_relevant_bases",
            "relative_shrinking",
        )
    ),
]


@pytest.mark.parametrize("gaia_format", ["parquet", "csv"])
def test_reads_back(stars, tmp_path, monkeypatch, gaia_format, read_sources, read_features):
    # Several files and row groups.
    monkeypatch.setattr(write, "GROUP_ROWS", 7)
    monkeypatch.setattr(write, "FILE_ROWS", 14)
    GAIA_XP.write_simulated(stars, tmp_path, gaia_format)
    table = stars.table.filter(stars.table["has_spectrum"])
    found = read_sources(tmp_path)
    np.testing.assert_array_equal(found["source_id"], table["source_id"].to_numpy())
    for name in COPIED:
        np.testing.assert_array_equal(found[name], table[name].to_numpy())
    # The archive gives the ratio of flux and error in float32.
    np.testing.assert_allclose(
        found["reference_mag_err"], table["reference_mag_err"].to_numpy(), rtol=2**-23
    )
    spectra = Spectra.concat(read_features(tmp_path, found))
    np.testing.assert_array_equal(spectra.source_id, table["source_id"].to_numpy())
    operator = load_operator("paper")
    bp, rp = slice(0, 55), slice(55, 110)
    flux = operator.flux(stars.coefficients[:, bp], stars.coefficients[:, rp])
    np.testing.assert_array_equal(spectra.flux, flux.astype(np.float32))
    packed = stars.correlations[stars.correlation_of]
    error = operator.flux_error_exact(
        stars.coefficient_errors[:, bp],
        packed[:, :1485],
        stars.coefficient_errors[:, rp],
        packed[:, 1485:],
    )
    # Errors and correlations are float32 in the archive; terms of both signs add up.
    np.testing.assert_allclose(spectra.snr, np.median(flux / error, axis=1), rtol=1e-5)
    assert not spectra.flags.any()


def test_bulk_files_are_ecsv(stars, tmp_path):
    GAIA_XP.write_simulated(stars, tmp_path, "csv")
    path = tmp_path / "gaia_source" / "GaiaSource_simulated.csv.gz"
    assert path.read_bytes()[4:8] == bytes(4)  # no time stamp: the same stars, the same bytes
    with gzip.open(path, "rt") as handle:
        table = Table.read(handle.read(), format="ascii.ecsv")
    assert table["ra"].unit == "deg"
    np.testing.assert_array_equal(table["ra"], stars.table["ref_ra"].to_numpy())
    assert table["has_xp_continuous"].dtype == bool
    (path,) = (tmp_path / "gaia_xp").iterdir()
    with gzip.open(path, "rt") as handle:
        table = Table.read(handle.read(), format="ascii.csv", comment="#")
    assert table.colnames == ARCHIVE_COLUMNS
    assert table["bp_coefficients"][0].startswith("[")


@pytest.mark.parametrize("gaia_format", ["parquet", "csv"])
def test_gaiaxpy_takes_the_files(stars, tmp_path, gaia_format):
    gaiaxpy = pytest.importorskip("gaiaxpy")
    pd = pytest.importorskip("pandas")
    GAIA_XP.write_simulated(stars, tmp_path, gaia_format)
    (path,) = (tmp_path / "gaia_xp").iterdir()
    if gaia_format == "csv":
        source = tmp_path / "unpacked.csv"
        source.write_bytes(gzip.decompress(path.read_bytes()))
    else:
        assert pq.read_schema(path).names == ARCHIVE_COLUMNS
        source = pd.read_parquet(path)
    theirs, _ = gaiaxpy.calibrate(source, sampling=np.arange(392, 1002, 10), save_file=False)
    bp, rp = slice(0, 55), slice(55, 110)
    flux = load_operator("paper").flux(stars.coefficients[:, bp], stars.coefficients[:, rp])
    np.testing.assert_allclose(np.stack(theirs["flux"].to_list()), flux, rtol=1e-12)


def test_same_stars_same_files(stars, tmp_path):
    for name in ("one", "two"):
        GAIA_XP.write_simulated(stars, tmp_path / name, "parquet")
    for path in (tmp_path / "one").rglob("*.parquet"):
        other = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == other.read_bytes()


def test_no_star_has_a_spectrum(stars, tmp_path, read_sources):
    from dataclasses import replace

    table = stars.table.set_column(
        stars.table.column_names.index("has_spectrum"),
        "has_spectrum",
        [np.zeros(len(stars.table), dtype=bool)],
    )
    none = replace(
        stars,
        table=table,
        coefficients=stars.coefficients[:0],
        coefficient_errors=stars.coefficient_errors[:0],
        correlation_of=stars.correlation_of[:0],
    )
    GAIA_XP.write_simulated(none, tmp_path, "parquet")
    assert len(read_sources(tmp_path)) == 0
