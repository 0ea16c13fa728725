"""Tables of stellar parameters and of reddening: what is read, left out and refused."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

from scrframe.builtin.reference_catalogues.parameters.plugin import (
    PARAMETER_TABLE,
    STELLAR_PARAMETERS,
)
from scrframe.builtin.reference_catalogues.parameters.settings import (
    KS_PER_E,
    ParameterTableConfig,
    StellarParametersConfig,
)
from scrframe.errors import DataError
from scrframe.plugin import ExtinctionCurve, load_registry
from scrframe.tables import Quantities

IDS = 4_000_000_000_000_000_000 + 1000 * np.arange(8)


@pytest.fixture
def root(tmp_path):
    """Return a data root with eight stars, written by the catalogue itself."""
    STELLAR_PARAMETERS.example(tmp_path)
    return tmp_path


def write(root: Path, **columns):
    """Write another table in place of that of the example."""
    for path in (root / "apogee").iterdir():
        path.unlink()
    table = {
        "GAIAEDR3_SOURCE_ID": IDS,
        "TEFF": 4500.0 + 50 * np.arange(8),
        "TEFF_ERR": np.full(8, 50.0),
        "LOGG": np.full(8, 2.5),
        "LOGG_ERR": np.full(8, 0.08),
        "M_H": np.full(8, -0.2),
        "M_H_ERR": np.full(8, 0.02),
        "SNR": np.full(8, 100.0),
        "AK_TARG": 0.1 * np.arange(8),
    }
    table |= columns
    kept = {name: values for name, values in table.items() if values is not None}
    Table(kept).write(root / "apogee" / "table.fits")


def sources(root, config=None):
    config = config or StellarParametersConfig()
    (part,) = STELLAR_PARAMETERS.source_parts(config, root)
    return STELLAR_PARAMETERS.read_sources(part, config, None, ())


def told(root, config=None) -> Quantities:
    config = config or StellarParametersConfig()
    stars = sources(root, config)
    stars = stars.take(np.argsort(stars["source_id"]))
    (part,) = STELLAR_PARAMETERS.feature_parts(config, root)
    return STELLAR_PARAMETERS.read_features(part, config, stars, ())


def test_stars_have_their_parameters(root):
    write(root)
    stars, found = sources(root), told(root)
    assert np.array_equal(np.sort(stars["source_id"]), IDS)
    assert found.names == ("teff", "logg", "feh")
    assert np.array_equal(found.source_id, IDS)
    assert found.values[:, 0] == pytest.approx(4500.0 + 50 * np.arange(8))
    assert found.values[0, 1:] == pytest.approx([2.5, -0.2])
    assert found.errors[0] == pytest.approx([50.0, 0.08, 0.02])
    assert found.snr == pytest.approx(100.0)
    assert stars["teff"][np.argsort(stars["source_id"])] == pytest.approx(found.values[:, 0])
    assert stars["reference_mag"].min() == pytest.approx(14.0)


def test_values_out_of_range_are_left_out_and_counted(root, caplog):
    teff = np.array([4500.0, np.nan, -9999, 4650, 4700, 4750, 4800, 99999])
    logg = np.array([2.5, 2.5, 2.5, np.nan, 2.5, 2.5, 2.5, 2.5])
    write(root, TEFF=teff, LOGG=logg, GAIAEDR3_SOURCE_ID=np.r_[IDS[:6], -9999, IDS[7]])
    with caplog.at_level(logging.WARNING):
        found = told(root)
    assert np.array_equal(found.source_id, IDS[[0, 4, 5]])
    (line,) = (record.getMessage() for record in caplog.records)
    assert "left out of 8 rows: 1 without a Gaia identifier, 4 with a missing value" in line


def test_of_a_star_that_stands_there_twice_the_best_spectrum_counts(root, caplog):
    ids = IDS.copy()
    ids[[1, 2]] = IDS[0]
    snr = np.array([50.0, 200.0, 70.0, *np.full(5, 100.0)])
    write(root, GAIAEDR3_SOURCE_ID=ids, SNR=snr)
    with caplog.at_level(logging.WARNING):
        found = told(root)
    assert np.array_equal(found.source_id, IDS[[0, 3, 4, 5, 6, 7]])
    assert found.values[0, 0] == pytest.approx(4550.0)
    assert found.snr[0] == pytest.approx(200.0)
    assert "2 of a star that stands there again (the best S/N counts)" in caplog.text


def test_a_row_out_of_range_does_not_stand_for_a_good_one(root):
    ids, teff = IDS.copy(), 4500.0 + 50 * np.arange(8)
    ids[1], teff[1] = IDS[0], -9999
    write(root, GAIAEDR3_SOURCE_ID=ids, TEFF=teff, SNR=np.r_[50.0, 900.0, np.full(6, 100.0)])
    assert told(root).values[0, 0] == pytest.approx(4500.0)


def test_own_names_further_parameters_and_no_errors(root):
    write(root, ALPHA=np.linspace(0, 0.3, 8), TEFF=None, T=np.full(8, 4800.0), TEFF_ERR=None)
    config = StellarParametersConfig.model_validate(
        {
            "columns": {"teff": "t", "snr": None, "further": {"alpha": "ALPHA"}},
            "errors": {"teff": None},
        }
    )
    found = told(root, config)
    assert found.names == ("teff", "logg", "feh", "alpha")
    assert found.values[-1] == pytest.approx([4800.0, 2.5, -0.2, 0.3])
    assert np.isnan(found.errors[:, [0, 3]]).all()
    assert np.isnan(found.snr).all()


@pytest.mark.parametrize("ending", ["csv", "ecsv", "parquet", "vot"])
def test_any_format(root, ending):
    write(root)
    expected = told(root)
    table = Table.read(root / "apogee" / "table.fits")
    (root / "apogee" / "table.fits").unlink()
    path = root / "apogee" / f"table.{ending}"
    if ending == "parquet":
        pq.write_table(pa.table({name: table[name].tolist() for name in table.colnames}), path)
    else:
        written = {"csv": "ascii.csv", "ecsv": "ascii.ecsv", "vot": "votable"}[ending]
        table.write(path, format=written)
    found = told(root)
    assert np.array_equal(found.source_id, expected.source_id)
    assert np.array_equal(found.values, expected.values)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"LOGG": None, "LOGGG": np.full(8, 2.5)}, ["LOGG", 'did you mean "LOGGG"', "columns"]),
        ({"GAIAEDR3_SOURCE_ID": IDS.astype(float)}, ["GAIAEDR3_SOURCE_ID", "64-bit integers"]),
        ({"TEFF": np.full(8, "hot")}, ["TEFF", 'is "hot", expected a number']),
    ],
)
def test_a_wrong_table_is_refused_in_one_line(root, columns, words):
    write(root, **columns)
    with pytest.raises(DataError) as caught:
        told(root)
    message = str(caught.value)
    assert "table.fits" in message and "\n" not in message
    assert all(word in message for word in words)


def test_missing_inputs_are_named(root):
    config = StellarParametersConfig(table="elsewhere/*")
    with pytest.raises(DataError, match=r"elsewhere.*set stellar_parameters\.table"):
        STELLAR_PARAMETERS.feature_parts(config, root)
    config = StellarParametersConfig(sources="elsewhere/*")
    with pytest.raises(DataError, match=r"set stellar_parameters\.sources"):
        STELLAR_PARAMETERS.source_parts(config, root)


def extinctions(root, **settings):
    config = ParameterTableConfig.model_validate(settings)
    (part,) = PARAMETER_TABLE.parts(config, root)
    return PARAMETER_TABLE.read(part, config, IDS)


def test_extinction_is_the_column_times_the_factor(root):
    write(root, AK_TARG=np.array([0.0, 0.1, 0.2, np.nan, -9999, 0.5, 0.6, 0.7]))
    found = extinctions(root, scale=3.5, scale_err=0.7, err=0.02)
    kept = [0, 1, 2, 5, 6, 7]
    assert np.array_equal(found["source_id"], IDS[kept])
    value = np.array([0.0, 0.1, 0.2, 0.5, 0.6, 0.7])
    assert found["extinction"] == pytest.approx(3.5 * value, rel=1e-6)
    assert found["extinction_err"] == pytest.approx(np.hypot(0.07, 0.7 * value), rel=1e-6)


def test_errors_come_from_their_column_where_there_is_one(root):
    error = np.r_[np.nan, np.full(7, 0.01)]
    write(root, AK_ERR=error)
    found = extinctions(root, columns={"extinction_err": "AK_ERR"}, scale=2.0, err=0.05)
    assert found["extinction_err"] == pytest.approx([0.1, *[0.02] * 7])


def test_default_factor_is_that_of_the_shipped_curve():
    curve = load_registry().get(ExtinctionCurve, "zgr23")
    ks = curve.curve(curve.config(), np.array([2159.0]))[0]
    assert pytest.approx(ks, abs=5e-5) == KS_PER_E
    assert ParameterTableConfig().scale == pytest.approx(1 / ks, rel=1e-3)
