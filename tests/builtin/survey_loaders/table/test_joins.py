"""Tables joined by one key and by two; pandas is the independent reader."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scrframe.errors import DataError

EXPOSURES = {"id": [13, 9007199254740993, 12], "airmass": [1.3, 1.1, 1.2], "name": ["c", "a", "b"]}


@pytest.mark.parametrize("name", ["e.parquet", "e.csv", "e.fits", "e.ecsv", "e.vot"])
def test_join_by_one_key(name, tmp_path, columns, configure, read, write):
    write(tmp_path / "t.csv", columns)
    write(tmp_path / name, EXPOSURES)
    joined = {"files": name, "on": {"exp": "id"}, "columns": {"am": "airmass", "name": "name"}}
    found = read(configure("t.csv", join=[joined], columns={"airmass": "am", "field": "name"}))
    expected = pd.DataFrame({"exp": columns["exp"]}).merge(
        pd.DataFrame(EXPOSURES), left_on="exp", right_on="id", how="left"
    )
    np.testing.assert_array_equal(found["airmass"], expected.airmass)
    assert list(found["field"]) == list(expected.name)


def test_join_by_two_keys_after_another(tmp_path, columns, configure, read, write):
    write(tmp_path / "t.parquet", columns)
    write(tmp_path / "exposures.parquet", {**EXPOSURES, "night": [3, 1, 2]})
    grid = {"night": np.repeat([3, 1, 2], 4), "chip": np.tile([4, 2, 3, 1], 3)}
    ccds = {**grid, "seeing": np.arange(12) / 10}
    write(tmp_path / "ccds" / "one.parquet", {name: each[:5] for name, each in ccds.items()})
    write(tmp_path / "ccds" / "two.parquet", {name: each[5:] for name, each in ccds.items()})
    joins = [
        {"files": "exposures.parquet", "on": {"exp": "id"}, "columns": ["night"]},
        {"files": "ccds/*", "on": {"night": "night", "det": "chip"}, "columns": ["seeing"]},
    ]
    found = read(configure("t.parquet", join=joins, columns={"seeing": "seeing"}))
    night = pd.Series([3, 1, 2], index=EXPOSURES["id"])[columns["exp"]].to_numpy()
    by_key = pd.DataFrame(ccds).set_index(["night", "chip"]).seeing
    expected = by_key.loc[list(zip(night, columns["det"], strict=True))].to_numpy()
    np.testing.assert_array_equal(found["seeing"], expected)


def test_joined_tables_are_no_catalogues(tmp_path, columns, configure, read, write):
    write(tmp_path / "cat" / "t.parquet", columns)
    write(tmp_path / "cat" / "visits.parquet", EXPOSURES)
    joined = {"files": "cat/visits.parquet", "on": {"exp": "id"}, "columns": ["airmass"]}
    found = read(configure("cat", join=[joined], columns={"airmass": "airmass"}))
    assert set(found["file"]) == {"t.parquet"}


def test_parts_change_with_what_is_joined(tmp_path, columns, configure, write):
    from scrframe.builtin.survey_loaders.table import loader

    write(tmp_path / "t.parquet", columns)
    write(tmp_path / "e.parquet", EXPOSURES)
    joined = {"files": "e.parquet", "on": {"exp": "id"}, "columns": ["airmass"]}
    config = configure("t.parquet", join=[joined], columns={"airmass": "airmass"})
    (before,) = loader.parts(config, tmp_path)
    write(tmp_path / "e.parquet", {**EXPOSURES, "further": [1, 2, 3]})
    (after,) = loader.parts(config, tmp_path)
    assert before.key == after.key and before.fingerprint != after.fingerprint
    assert before.also == (tmp_path / "e.parquet",)


def test_further_catalogues_find_the_tables_to_join(tmp_path, columns, configure, write):
    from scrframe.builtin.survey_loaders.table import loader
    from scrframe.plugin import file_part

    path = write(tmp_path / "deep" / "new" / "t.parquet", columns)
    write(tmp_path / "e.parquet", EXPOSURES)
    joined = {"files": "e.parquet", "on": {"exp": "id"}, "columns": ["airmass"]}
    config = configure("cat/*", join=[joined], columns={"airmass": "airmass"})
    found = loader.read(file_part(path, "t.parquet"), config, ["airmass"])
    assert np.isfinite(found["airmass"]).all()
    (tmp_path / "e.parquet").unlink()
    with pytest.raises(DataError, match=r"no table to join matches 'e\.parquet' beside it"):
        loader.read(file_part(path, "t.parquet"), config, ["airmass"])


@pytest.mark.parametrize(
    ("exposures", "message"),
    [
        (
            {"id": [13, 12, 13], "airmass": [1, 2, 3]},
            r"e\.csv, row 2: the key id = 13 appears twice",
        ),
        ({"id": [13, 12], "airmass": [1, 2]}, r"row 5: exp = 9007199254740993 has no partner in"),
        ({"id": [1], "air_mass": [1]}, r'has no column "airmass" for the join.*"air_mass"'),
    ],
)
def test_bad_joins(exposures, message, tmp_path, columns, configure, read, write):
    columns["exp"] = np.where(np.arange(60) < 5, 12, columns["exp"])
    columns["exp"][5] = 9007199254740993
    write(tmp_path / "t.parquet", columns)
    write(tmp_path / "e.csv", exposures)
    joined = {"files": "e.csv", "on": {"exp": "id"}, "columns": ["airmass"]}
    with pytest.raises(DataError, match=message):
        read(configure("t.parquet", join=[joined], columns={"airmass": "airmass"}))


def test_partners_may_be_optional(tmp_path, columns, configure, read, write):
    write(tmp_path / "t.parquet", columns)
    write(tmp_path / "e.csv", {"id": [13], "airmass": [1.3]})
    joined = {"files": "e.csv", "on": {"exp": "id"}, "columns": ["airmass"], "required": False}
    found = read(configure("t.parquet", join=[joined], columns={"airmass": "airmass"}))
    np.testing.assert_array_equal(np.isfinite(found["airmass"]), columns["exp"] == 13)
