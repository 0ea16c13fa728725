"""What the first rows of the inputs tell is told before a run."""

from __future__ import annotations

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

import scrframe
from scrframe.config import SimulationSettings
from scrframe.errors import DataError

DESCRIPTION = """
name: tables
band: u
loader:
  kind: table
  table:
    files: "detections/*.csv"
    columns: {visit: exposure, mjd: start, band: filter}
    camera: {rows: [[1, 2]], pixels: [2048, 4100], pixel_scale: 0.42 arcsec}
reference: {kind: gaia_xp}
extinction: {values: {kind: zgr23}, curve: {kind: zgr23}}
selection: {calibration: [mag < 19.5], control: [gal_b > 3.5]}
colour_model: {kind: ridge}
offsets: {mode: sequential, levels: [{name: visit, kind: group, by: [visit]}]}
writers: []
"""


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    path = tmp_path_factory.mktemp("described") / "survey.yaml"
    path.write_text(DESCRIPTION)
    return scrframe.load_survey(path)


@pytest.fixture(scope="module")
def simulated(survey, tmp_path_factory):
    tree = tmp_path_factory.mktemp("survey") / "tree"
    settings = SimulationSettings(fields=2, density=150.0, seed=3)
    return scrframe.simulate_survey(survey, tree, settings=settings)


def one_band(tree):
    pass


def rewritten(tree, to, **columns):
    path = tree / "detections" / "visit_00001.csv"
    table = csv.read_csv(path)
    for column, change in columns.items():
        at = table.schema.get_field_index(column)
        table = table.set_column(at, column, pa.array(change(table[column].to_numpy())))
    csv.write_csv(table, path.with_name(to))


def other_band(tree):
    path = tree / "detections" / "visit_00002.csv"
    table = csv.read_csv(path)
    at = table.schema.get_field_index("filter")
    csv.write_csv(table.set_column(at, "filter", pa.array(["g"] * len(table))), path)


def other_key(tree):
    rewritten(tree, "visit_00101.csv", exposure=lambda keys: keys + 100)


def other_night(tree):
    rewritten(tree, "visit_00102.csv", start=lambda dates: dates + 30)


def short_spectra(tree):
    (path,) = (tree / "gaia_xp").glob("*.parquet")
    table = pq.read_table(path)
    at = table.schema.get_field_index("bp_coefficients")
    cut = [row[:-1] for row in table["bp_coefficients"].to_pylist()]
    pq.write_table(table.set_column(at, "bp_coefficients", pa.array(cut)), path)


CASES = {
    one_band: None,
    other_band: "detections of the bands g, u",
    other_key: "are one exposure under two keys",
    other_night: "the key of a visit must name a single exposure",
    short_spectra: "bp_coefficients holds an array of 54 values in row 0; expected 55",
}


@pytest.mark.parametrize("change", CASES, ids=lambda change: change.__name__)
def test_first_rows_are_compared(change, survey, simulated, tmp_path):
    tree = tmp_path / "tree"
    shutil.copytree(simulated, tree)
    change(tree)
    problems = scrframe.validate(survey, data=tree).problems
    if CASES[change] is None:
        assert problems == ()
    else:
        assert len(problems) == 1
        assert CASES[change] in problems[0]


def test_positions_in_another_unit_are_suspected(survey, simulated, tmp_path):
    tree = tmp_path / "tree"
    shutil.copytree(simulated, tree)
    for path in (tree / "detections").glob("*.csv"):
        table = csv.read_csv(path)
        for name in ("ra", "dec"):
            values = pa.array(np.deg2rad(table[name].to_numpy()))
            table = table.set_column(table.schema.get_field_index(name), name, values)
        csv.write_csv(table, path)
    with pytest.raises(DataError, match=r"no reference star lies where.* catalogues in radians"):
        scrframe.calibrate(survey, data=tree, out=tmp_path / "run", workers=1, report=False)
