"""Tiles of the sky in place of the names of pointings, and flags by the name of their column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scrframe.builtin.survey_loaders.table import loader
from scrframe.builtin.survey_loaders.table.settings import TableConfig
from scrframe.builtin.survey_loaders.table.source import Source
from scrframe.errors import DataError
from scrframe.plugin import file_part

COLUMNS = {
    "visit": "exposure",
    "field": {"tile": ["centre_ra", "centre_dec"], "size": "2 deg"},
}


def detections(path: Path, centres: list[tuple[float, float]], **more: list[object]) -> Path:
    """Write a table of one detection an exposure."""
    count = len(centres)
    plain = {name: np.full(count, 10.0) for name in ("ra", "dec", "x", "y", "mag", "mag_err")}
    table = {
        **plain,
        "exposure": [f"e{number}" for number in range(count)],
        "ccd": np.ones(count, int),
        "mjd": np.full(count, 57000.0),
        "centre_ra": [centre[0] for centre in centres],
        "centre_dec": [centre[1] for centre in centres],
        **more,
    }
    pq.write_table(pa.table(table), path)
    return path


def read(path: Path, **settings: object) -> object:
    config = TableConfig(files="*.parquet", columns=COLUMNS, **settings)
    return loader.read(file_part(path, path.name), config, None)


def test_neighbours_share_a_tile_and_distant_fields_do_not(tmp_path: Path) -> None:
    centres = [(53.0, -27.0), (53.4, -27.3), (59.1, -48.7), (359.9, 0.4), (-0.1, 0.4)]
    found = read(detections(tmp_path / "a.parquet", centres))
    codes, labels = found.codes("field")
    names = [labels[code] for code in codes]
    assert names[0] == names[1]
    assert names[3] == names[4]  # 359.9 and -0.1 deg are one place
    assert len(set(names)) == 3
    # A tile is called by its centre, which is within a tile's half diagonal.
    ra, dec = float(names[0][:7]), float(names[0][7:])
    assert abs(dec + 27) <= 1
    assert abs(ra - 53) * np.cos(np.deg2rad(dec)) <= 1.1


def test_exposure_without_a_position_is_refused(tmp_path: Path) -> None:
    path = detections(tmp_path / "a.parquet", [(53.0, -27.0), (np.nan, -27.0)])
    with pytest.raises(DataError, match=r"a\.parquet, row 1: field .*has no position"):
        read(path)


@pytest.mark.parametrize("given", [{"tile": ["a", "b"]}, {"column": "a", "size": "2 deg"}])
def test_tile_needs_a_size(given: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="needs tile and size together"):
        Source(**given)


def test_flag_may_be_written_as_its_column(tmp_path: Path) -> None:
    path = detections(tmp_path / "a.parquet", [(53.0, -27.0)] * 3, bad=[False, True, None])
    short, long = read(path, flags=["bad"]), read(path, flags=[{"column": "bad"}])
    assert short["usable"].tolist() == long["usable"].tolist() == [True, False, False]
