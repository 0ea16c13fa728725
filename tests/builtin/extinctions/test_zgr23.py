"""Extinctions and curve of Zhang, Green & Rix 2023."""

import pickle

import h5py
import numpy as np
import pyarrow as pa
import pytest

from scrframe.builtin.extinctions.zhang_green_rix.plugin import CATALOGUE, CURVE
from scrframe.errors import CalibrationError, DataError
from scrframe.plugin import NoConfig, load_registry
from scrframe.plugin.descriptors import ExtinctionCatalogue, ExtinctionCurve
from scrframe.tables import SimulatedStars

CONFIG = CATALOGUE.config()


def made_up(rows=50):
    rng = np.random.default_rng(5)
    names = ("ref_ra", "ref_dec", "extinction", "extinction_err", "logg", "feh", "parallax")
    table = pa.table(
        {
            "source_id": np.sort(rng.choice(2**60, rows, replace=False)),
            **{name: rng.uniform(0, 2, rows) for name in names},
            "teff": rng.uniform(4000, 7000, rows),
            "quality_flags": rng.integers(0, 16, rows),
            "has_spectrum": np.arange(rows) % 10 > 0,
        }
    )
    none = np.empty((0, 110))
    return SimulatedStars(table, none, none, np.empty((0, 2970)), np.empty(0, int), 2016.0)


@pytest.fixture
def written(tmp_path):
    stars = made_up()
    CATALOGUE.write_simulated(stars, tmp_path)
    return tmp_path, stars.table.filter(stars.table["has_spectrum"])


def the_file(root):
    return root / "zgr23" / "stellar_params_catalog_00.h5"


def read_all(root, source_id):
    (part,) = CATALOGUE.parts(CONFIG, root)
    return CATALOGUE.read(part, CONFIG, np.asarray(source_id))


@pytest.mark.parametrize("block_rows", [7, 500_000])
def test_reads_back_what_was_written(written, monkeypatch, block_rows):
    monkeypatch.setattr("scrframe.io.table_file.BLOCK_ROWS", block_rows)
    root, table = written
    found = read_all(root, table["source_id"].to_numpy())
    assert found.names == CATALOGUE.columns
    np.testing.assert_array_equal(found["source_id"], table["source_id"].to_numpy())
    np.testing.assert_array_equal(found["quality_flags"], table["quality_flags"].to_numpy())
    for name in ("extinction", "extinction_err", "teff", "logg", "feh"):
        # The files hold float32.
        np.testing.assert_allclose(found[name], table[name].to_numpy(), rtol=2**-23)


def test_only_the_stars_asked_for(written):
    root, table = written
    ids = table["source_id"].to_numpy()
    wanted = np.sort(np.append(ids[[3, 20, 41]], [1, 2**61]))
    found = read_all(root, wanted)
    np.testing.assert_array_equal(found["source_id"], ids[[3, 20, 41]])
    assert len(read_all(root, np.array([1, 2]))) == 0
    assert len(read_all(root, np.empty(0, dtype=np.int64))) == 0


def test_a_star_listed_twice_is_read_once(written):
    root, table = written
    with h5py.File(the_file(root), "a") as file:
        file["gdr3_source_id"][1] = file["gdr3_source_id"][0]
        first = file["stellar_params_est"][0, 3]
    found = read_all(root, table["source_id"].to_numpy()[:1])
    assert found["extinction"].tolist() == [first]


def test_nested_folders_by_pattern(written):
    root, _ = written
    config = CATALOGUE.config(files="**/*.h5")
    assert [part.key for part in CATALOGUE.parts(config, root)] == [
        "zgr23/stellar_params_catalog_00.h5"
    ]


def test_no_files(tmp_path):
    with pytest.raises(DataError, match=r"no file of ZGR23; put the files there"):
        CATALOGUE.parts(CONFIG, tmp_path)


def garbage(path):
    path.write_bytes(b"this is not an HDF5 file" * 100)


def empty(path):
    path.write_bytes(b"")


def truncated(path):
    path.write_bytes(path.read_bytes()[:3000])


def without_errors(path):
    with h5py.File(path, "a") as file:
        del file["stellar_params_err"]


def four_parameters(path):
    with h5py.File(path, "a") as file:
        narrow = file["stellar_params_est"][:, :4]
        del file["stellar_params_est"]
        file["stellar_params_est"] = narrow


def fewer_flags(path):
    with h5py.File(path, "a") as file:
        del file["quality_flags"]
        file["quality_flags"] = np.zeros(3, np.uint8)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (garbage, "is not an HDF5 file"),
        (empty, "is not an HDF5 file"),
        (truncated, "cannot be read as HDF5"),
        (without_errors, r"lacks the dataset stellar_params_err"),
        (four_parameters, r"stellar_params_est has shape \(45, 4\); expected \(n, 5\)"),
        (fewer_flags, r"quality_flags has shape \(3,\); others have 45 rows"),
    ],
)
def test_bad_files_are_named_in_one_line(written, damage, message):
    root, _ = written
    damage(the_file(root))
    with pytest.raises(DataError, match=message) as caught:
        CATALOGUE.parts(CONFIG, root)
    assert str(the_file(root)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parts_can_be_sent_to_workers(written):
    root, _ = written
    (part,) = CATALOGUE.parts(CONFIG, root)
    assert pickle.loads(pickle.dumps(part)) == part
    pickle.dumps((CATALOGUE, CURVE))
    CATALOGUE.check(part, CONFIG)


def test_found_through_the_registry():
    registry = load_registry()
    assert registry.get(ExtinctionCatalogue, "zgr23") is CATALOGUE
    assert registry.get(ExtinctionCurve, "zgr23") is CURVE


def curve_at(*wavelength_nm):
    return CURVE.curve(NoConfig(), np.array(wavelength_nm, dtype=float))


def test_curve_has_the_published_values():
    """Three rows of the data release, and half way between two of them."""
    np.testing.assert_array_equal(
        curve_at(392, 402, 992), [4.004029750823975, 3.932934284210205, 1.0053104162216187]
    )
    np.testing.assert_allclose(curve_at(397), (4.004029750823975 + 3.932934284210205) / 2)
    assert curve_at(*np.arange(392, 1002, 10)).shape == (61,)


def test_curve_reaches_the_infrared():
    """Ks of the data release; the curve is per E, where A_V is about 3."""
    np.testing.assert_array_equal(curve_at(2159), [0.2695426046848297])
    assert 2.5 < curve_at(552)[0] < 3.2


@pytest.mark.parametrize("wavelength_nm", [391.9, 354, 4700, np.nan])
def test_curve_ends(wavelength_nm):
    with pytest.raises(CalibrationError, match=r"ends at 392 and 4602\.8 nm"):
        curve_at(500, wavelength_nm)
