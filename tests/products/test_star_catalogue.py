"""The star catalogue, from the columns of stars.parquet with and without those of a joint mode."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scrframe.errors import DataError
from scrframe.products.files import write_parquet
from scrframe.products.stars import star_catalogue


def stars(**columns):
    """Return three stars: one with three detections, one with one, one uncorrected."""
    return pa.table(
        {
            "source_id": np.array([2**60 + 1, 7, 2**60 + 1, 9, 2**60 + 1]),
            "visit": pa.array(["a", "a", "b", "b", "c"]).dictionary_encode(),
            "ccd": np.array([1, 2, 1, 2, 1], dtype=np.int16),
            "ra_deg": np.array([359.9999, 10.0, 0.0001, 11.0, 0.0003]),
            "dec_deg": np.array([-1.0, 2.0, -1.0002, 3.0, -1.0004]),
            "mag_cal": np.array([18.0, 17.0, 18.1, np.nan, 18.2]),
            "mag_err": np.array([0.1, 0.02, 0.1, 0.1, 0.2]),
            "mag_model": np.array([18.05, 17.1, 18.05, 16.0, 18.05]),
            "colour0": np.array([1.0, 1.5, 1.0, 2.0, 1.0]),
            "extinction": np.array([0.5, 0.6, 0.5, 0.7, 0.5]),
            "in_control": np.array([False, False, True, False, False]),
            "flags": np.array([1, 0, 64, 4, 1], dtype=np.int32),
            **columns,
        }
    )


JOINT = {
    "weight": np.array([1.0, np.nan, 0.5, 1.0, 1.0]),
    "mag_cal_err": np.sqrt(np.array([0.1, 0.02, 0.1, 0.1, 0.2]) ** 2 + 0.03**2),
    "offset_total_err": np.full(5, 0.03),
    "mag_cal_sys": np.full(5, 0.005),
    "reserved": np.array([False, True, False, False, False]),
    "star_dev": np.array([np.nan, -0.02, 0.01, 0.03, 0.01]),
    "star_dev_err": np.array([np.nan, 0.05, 0.02, 0.06, 0.02]),
}


def test_one_row_a_star_in_the_order_of_the_identifier():
    found = star_catalogue(stars())
    assert found["source_id"].to_pylist() == [7, 9, 2**60 + 1]
    assert found["n_detections"].to_pylist() == [1, 0, 3]
    assert found["n_visits"].to_pylist() == [1, 0, 3]
    assert found["dof"].to_pylist() == [0, 0, 2]
    assert found["in_control"].to_pylist() == [False, False, True]
    assert found["flags"].to_pylist() == [0, 4, 65]


def test_sequential_mode_weighs_by_the_catalogues_errors():
    found = star_catalogue(stars())
    weight = np.array([100.0, 100.0, 25.0])
    mean = np.average([18.0, 18.1, 18.2], weights=weight)
    assert found["mag_cal"][2].as_py() == pytest.approx(mean)
    assert found["mag_cal_err"][2].as_py() == pytest.approx(weight.sum() ** -0.5)
    assert found["residual"][2].as_py() == pytest.approx(18.05 - mean)
    chi2 = np.sum(weight * (np.array([18.0, 18.1, 18.2]) - mean) ** 2)
    assert found["chi2"][2].as_py() == pytest.approx(chi2)
    for name in ("offset_err", "mag_cal_sys", "star_dev", "star_dev_err"):
        assert np.isnan(found[name].to_numpy()).all()
    assert found["reserved"].to_pylist() == [False] * 3
    assert np.isnan(found["mag_cal"][1].as_py())


def test_joint_mode_weighs_by_its_own_errors_and_weights():
    found = star_catalogue(stars(**JOINT))
    weight = np.array([100.0, 50.0, 25.0])
    share = weight / weight.sum()
    assert found["mag_cal"][2].as_py() == pytest.approx(share @ [18.0, 18.1, 18.2])
    assert found["photometric_err"][2].as_py() == pytest.approx(weight.sum() ** -0.5)
    offset = 0.03 * np.sqrt(np.sum(share**2))
    assert found["offset_err"][2].as_py() == pytest.approx(offset)
    assert found["mag_cal_err"][2].as_py() == pytest.approx(np.hypot(weight.sum() ** -0.5, offset))
    assert found["mag_cal_sys"][2].as_py() == pytest.approx(0.005)
    assert found["star_dev"].to_pylist() == [-0.02, 0.03, 0.01]
    assert found["reserved"].to_pylist() == [True, False, False]
    # The weight of the star of one detection is not known, and counts as 1.
    assert found["mag_cal_err"][0].as_py() == pytest.approx(JOINT["mag_cal_err"][1])


def test_positions_across_the_meridian_of_zero():
    found = star_catalogue(stars())
    mean = 360 + np.mean([-0.0001, 0.0001, 0.0003])
    assert found["ra_deg"][2].as_py() == pytest.approx(mean % 360, abs=1e-9)
    assert found["dec_deg"][2].as_py() == pytest.approx(-1.0002, abs=1e-9)


def test_both_modes_have_the_same_columns_with_units():
    one, other = star_catalogue(stars()), star_catalogue(stars(**JOINT))
    assert one.schema.equals(other.schema, check_metadata=True)
    assert one.schema.field("mag_cal").metadata[b"unit"] == b"mag"
    assert b"unit" not in one.schema.field("chi2").metadata


def test_the_page_of_products_lists_the_columns():
    page = Path(__file__).parents[2] / "docs" / "reference" / "products.md"
    section = page.read_text(encoding="utf-8").partition("## star_catalogue.parquet")[2]
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("|")]
    rows = [tuple(cell.strip().strip("`") for cell in line.split("|")[1:4]) for line in lines[2:]]
    schema = star_catalogue(stars()).schema
    assert rows == [
        (field.name, field.metadata.get(b"unit", b"").decode(), kind(field)) for field in schema
    ]


def kind(field):
    return "float64" if field.type == pa.float64() else str(field.type)


def test_the_file_holds_the_table_and_what_is_said_of_it(tmp_path):
    path = tmp_path / "star_catalogue.parquet"
    table = star_catalogue(stars())
    write_parquet(path, table, {"survey": "demo"})
    assert pq.read_schema(path).metadata[b"survey"] == b"demo"
    assert pq.read_schema(path).field("ra_deg").metadata[b"unit"] == b"deg"
    assert pq.read_table(path)["source_id"].to_pylist() == table["source_id"].to_pylist()


def test_a_missing_column_is_named():
    with pytest.raises(DataError, match=r"needs the column mag_model"):
        star_catalogue(stars().drop_columns(["mag_model"]))


def test_no_detection():
    assert star_catalogue(stars().slice(0, 0)).num_rows == 0
