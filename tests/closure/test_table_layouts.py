"""A survey that a description lays out goes from simulation to corrected catalogues."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import chi2

import scrframe

pytestmark = pytest.mark.closure

DESCRIPTION = """
name: tables
band: u
data: {root: sample}
loader:
  kind: table
  table:
    files: "detections/*.parquet"
    columns:
      visit: exposure
      ccd: detector
      ra: {column: ra, unit: rad}
      dec: {column: dec, unit: rad}
      x: {expression: x0 + 1}
      mjd: {column: start, unit: iso}
      mag: {column: flux, unit: nJy}
      mag_err: {column: flux_err, unit: nJy}
      airmass: airmass
      field: target
      extendedness: {column: extendedness, simulated: {star: 0, other: 1}}
    join:
      - {files: visits.csv, on: {exposure: id}, columns: [start, airmass, target]}
    flags: [{column: flags, bits: [0, 3]}]
    rows: ["filter == 'u'"]
    simulated: {filter: u}
    camera: {rows: [[1, 2], [3, 4]], pixels: [2048, 4100], pixel_scale: 0.42 arcsec}
reference: {kind: gaia_xp}
extinction: {values: {kind: zgr23}, curve: {kind: zgr23}}
selection:
  calibration: [extendedness < 0.5, mag < 19.5, mag_err < 0.08, extinction_err < 0.05]
  control: [gal_b > 3.5]
colour_model: {kind: ridge, trend: quadratic}
reddening: {order: 2, extinction_order: 0}
offsets:
  mode: sequential
  levels: [{name: visit, kind: group, by: [visit]}]
writers: [{kind: table_catalogue}]
report: {enabled: false}
# Nothing but photometric noise and offsets of visits: what means average down.
simulation:
  {fields: 3, density: 900.0, other_sources: 0.2, seed: 3, ccd_sd: 0, pixel_sd: 0,
   hidden_scatter: 0,
   law_variation: 0, outliers: 0, variables: 0, defective_column: false, xp_noise: false,
   extinction_noise: false, population_gradients: false}
"""


@pytest.fixture(scope="module")
def description(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "tables.yaml"
    path.write_text(DESCRIPTION, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tree(description) -> Path:
    survey = scrframe.load_survey(description)
    return scrframe.simulate_survey(survey, description.parent / "tree")


@pytest.fixture(scope="module")
def run(description, tree) -> Path:
    survey = scrframe.load_survey(description)
    return scrframe.calibrate(survey, data=tree, out=description.parent / "run", workers=1).path


def test_injected_offsets_are_in_the_corrected_catalogues(run, tree):
    truth = pd.read_parquet(tree / "truth.parquet")
    stars = pd.read_parquet(run / "stars.parquet")
    residual = stars.merge(truth, on=["file", "ccd", "row"], suffixes=("", "_true"))
    assert len(residual) == len(stars)
    noise = (residual.delta - residual.offset_total_true).groupby(residual.file)
    error = noise.std() / np.sqrt(noise.count())
    found = {}
    for path in sorted((run / "catalogues").glob("**/visit_*.parquet")):
        table = pq.read_table(path)
        source = pq.read_table(tree / "detections" / path.name)
        assert table.select(source.column_names).equals(source)
        offset = table["OFFSET_TOTAL"].to_numpy()
        mag = -2.5 * np.log10(table["flux"].to_numpy() * 1e-9 / 3630.780547701002)
        np.testing.assert_allclose(table["MAG_CAL"].to_numpy(), mag + offset, atol=1e-9)
        assert np.ptp(offset) < 1e-12
        found[path.name] = offset[0]
    injected = truth.groupby("file", observed=True).offset_visit.first()
    difference = pd.Series(found) - injected
    assert len(difference) == 6 and injected.std() > 0.02
    weight = 1 / error**2
    pull = (difference - np.average(difference, weights=weight[difference.index])) / error
    # One degree of freedom is the constant that no survey knows of itself.
    assert np.sum(pull**2) < chi2.ppf(0.999, len(pull) - 1)


def test_every_input_is_hashed(run, tree):
    hashed = set(json.loads((run / "summary.json").read_text())["input_sha256"])
    names = {str(path.relative_to(tree)) for path in tree.rglob("*.*") if path.is_file()}
    assert names - hashed == {"simulation.json", "truth.parquet"}


def test_flat_unsorted_tables_give_the_same(run, tree, description, tmp_path):
    """All rows in two files, in any order, and read in parts: no visit is in one piece."""
    tables = [pq.read_table(path) for path in sorted((tree / "detections").iterdir())]
    whole = pa.concat_tables(tables)
    whole = whole.take(np.random.default_rng(1).permutation(len(whole)))
    for name in ("visits.csv", "gaia_source", "gaia_xp", "zgr23"):
        (tmp_path / name).symlink_to(tree / name)
    (tmp_path / "detections").mkdir()
    half = len(whole) // 2
    for number, part in enumerate((whole.slice(0, half), whole.slice(half))):
        path = tmp_path / "detections" / f"flat{number}.parquet"
        pq.write_table(part, path, row_group_size=half // 3)
    in_parts = f"loader.table.rows_per_part={half // 2}"
    survey = scrframe.load_survey(description, overrides=[in_parts])
    done = scrframe.calibrate(survey, data=tmp_path, out=tmp_path / "run", workers=1)
    one, other = (_by_detection(path) for path in (run, done.path))
    assert one.index.equals(other.index)
    # Sums go in another order.
    np.testing.assert_allclose(other.offset_total, one.offset_total, rtol=0, atol=1e-9)
    written = sorted((done.path / "catalogues").glob("**/*.parquet"))
    assert len(written) > 2
    assert sum(pq.read_metadata(path).num_rows for path in written) == len(whole)


def _by_detection(run: Path) -> pd.DataFrame:
    stars = pd.read_parquet(run / "stars.parquet")
    stars["visit"] = stars.visit.astype(str)
    return stars.set_index(["visit", "source_id"]).sort_index()
