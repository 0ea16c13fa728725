"""Two runs against each other: one with itself, with injected differences, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from scrframe.analysis.crosscheck.differences import compare_runs
from scrframe.analysis.crosscheck.page import saved_figure
from scrframe.analysis.crosscheck.run import crosscheck
from scrframe.analysis.montecarlo import products as montecarlo
from scrframe.errors import ConfigError, DataError
from scrframe.products.finished_run import open_run


@pytest.fixture(scope="module")
def data(tiny_run):
    return open_run(tiny_run.path).data()


class Changed(dict):
    """Columns of a run, some of them changed."""

    def __init__(self, columns, **changes):
        super().__init__({name: columns[name] for name in columns} | changes)


def moved(data, visit, shift_mag, noise_mag, seed=0):
    """Return a run with other model magnitudes: a visit's shifted, and each star's with noise."""
    random = np.random.default_rng(seed)
    visits = data.visit_table
    offset, exposures = visits.offset_mag.copy(), data.exposures
    offset[visit] += shift_mag
    of_exposure = exposures.offset_mag + shift_mag * (exposures.visit == visits.visit[visit])
    star = np.unique(data.star("source_id"), return_inverse=True)[1]
    # RunResiduals are what is left after the offsets: these took up the shift.
    noise = random.normal(0, noise_mag, star.max() + 1)[star]
    columns = Changed(data.stars, delta=data.star("delta") + noise)
    return replace(
        data,
        stars=columns,
        visit_table=replace(visits, offset_mag=offset),
        exposures=replace(exposures, offset_mag=of_exposure),
    )


def test_a_run_agrees_with_itself(data):
    found = compare_runs(data, data, 20)
    for agreement in (
        found.visits.agreement,
        found.exposures.ccd_term,
        found.exposures.total,
        *found.levels.values(),
    ):
        assert not agreement.difference_mag.any()
        assert not agreement.disagrees.any()
    assert not found.visits.errors.err_mag.any()
    assert np.array_equal(found.visits.errors.stars_a, found.visits.errors.shared)
    assert found.visits.agreement.judged.all()


def test_an_injected_difference_is_found_where_it_is(data):
    noise_mag, shift_mag = 0.02, 0.05
    found = compare_runs(data, moved(data, 2, shift_mag, noise_mag), 20)
    visits = found.visits
    # The median of the other visits' differences, which are none, is the constant.
    assert visits.agreement.difference_mag == pytest.approx([0, 0, shift_mag, 0], abs=1e-12)
    assert np.flatnonzero(visits.agreement.disagrees).tolist() == [2]
    # Robust weights are near 1: the error is that of a mean of as many stars.
    stars = visits.errors.shared
    assert visits.errors.err_mag == pytest.approx(noise_mag / np.sqrt(stars), rel=0.15)
    expected = shift_mag / visits.errors.err_mag[2]
    assert visits.agreement.significance[2] == pytest.approx(expected, rel=1e-9)
    own = np.hypot(visits.err_a_mag, visits.err_b_mag)
    assert visits.if_independent[2] == pytest.approx(shift_mag / own[2], rel=1e-9)
    total = found.exposures.total.difference_mag
    here = found.exposures.visit == visits.visit[2]
    assert np.allclose(total[here] - np.median(total[~here]), shift_mag, atol=1e-12)
    # The visit took it all: what CCDs add is the same.
    assert np.allclose(found.exposures.ccd_term.difference_mag, 0, atol=1e-12)


def test_a_constant_of_the_survey_is_no_difference(data):
    visits = data.visit_table
    other = replace(data, visit_table=replace(visits, offset_mag=visits.offset_mag + 0.3))
    found = compare_runs(data, other, 20).visits.agreement
    assert found.constant_mag == pytest.approx(0.3, abs=1e-12)
    assert not found.disagrees.any()
    assert found.sd_mag == pytest.approx(0, abs=1e-12)


def test_only_visits_that_both_have_are_compared(data):
    visits = data.visit_table
    renamed = replace(visits, visit=("other", *visits.visit[1:]))
    names = np.where(data.exposures.visit == visits.visit[0], "other", data.exposures.visit)
    other = replace(
        data, visit_table=renamed, exposures=replace(data.exposures, visit=names), levels={}
    )
    found = compare_runs(data, other, 20)
    assert found.visits.visit.tolist() == list(visits.visit[1:])
    assert visits.visit[0] not in found.exposures.visit
    assert np.array_equal(
        found.visits.errors.stars_a, compare_runs(data, data, 20).visits.errors.stars_a[1:]
    )


def test_few_stars_are_not_judged(data):
    most = compare_runs(data, data, 20).visits.errors.shared
    found = compare_runs(data, data, int(most.max())).visits.agreement
    assert found.judged.tolist() == (most == most.max()).tolist()


def test_products(tiny_run, tmp_path):
    found = crosscheck(tiny_run.path, tiny_run.path, out=tmp_path / "cc")
    names = {path.name for path in found.path.iterdir()}
    assert names == {
        "crosscheck.json",
        "crosscheck.ecsv",
        "crosscheck_exposures.ecsv",
        "index.html",
        "figures",
    }
    plain = json.loads((found.path / "crosscheck.json").read_text(encoding="utf-8"))
    assert plain["common_visits"] == 4 == plain["visit"]["judged"]
    assert plain["visit"]["sd_mag"] == 0
    assert plain["shared_stars"] == 1
    assert plain["disagree"] == []
    assert plain["data_note"].startswith("simulated")
    table = Table.read(found.path / "crosscheck.ecsv")
    assert str(table["difference"].unit) == "mag"
    assert not np.any(np.asarray(table["difference"]))
    figures = found.path / "figures"
    assert {path.suffix for path in figures.glob("crosscheck.*")} == {".png", ".pdf", ".ecsv"}
    before = {path.name: path.read_bytes() for path in found.path.glob("*.*")}
    again = crosscheck(tiny_run.path, tiny_run.path, out=tmp_path / "cc")
    assert {path.name: path.read_bytes() for path in again.path.glob("*.*")} == before
    shown = saved_figure(found.path)
    assert (shown.name, len(shown.data)) == ("crosscheck", len(table))


def test_a_report_shows_no_other_results_than_whole_ones(tiny_run, tmp_path):
    with pytest.raises(DataError, match=r"not a directory of a cross-check; it has no crosscheck"):
        saved_figure(tiny_run.path)
    with pytest.raises(DataError, match=r"not a directory of a Monte Carlo; it has no montecarlo"):
        montecarlo.saved_figure(tmp_path)
    found = crosscheck(tiny_run.path, tiny_run.path, out=tmp_path / "cc")
    (found.path / "crosscheck.json").write_text("{}", encoding="utf-8")
    with pytest.raises(DataError, match=r"crosscheck\.ecsv: is damaged"):
        saved_figure(found.path)


def test_nothing_is_left_of_one_that_stops(tiny_run, tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("scrframe.analysis.crosscheck.run.write_page", stop)
    with pytest.raises(KeyboardInterrupt):
        crosscheck(tiny_run.path, tiny_run.path, out=tmp_path / "cc")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_run_is_refused(tiny_run, tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        crosscheck(tiny_run.path, tmp_path / "nowhere", out=tmp_path / "cc")
    broken = tmp_path / "broken"
    shutil.copytree(tiny_run.path, broken)
    (broken / "stars.parquet").unlink()
    with pytest.raises(DataError, match=r"stars\.parquet: not found"):
        crosscheck(tiny_run.path, broken, out=tmp_path / "cc")
    assert not (tmp_path / "cc").exists()


def test_what_is_no_crosscheck_is_not_replaced(tiny_run, tmp_path):
    (tmp_path / "mine").mkdir()
    kept = tmp_path / "mine" / "notes.txt"
    kept.write_text("mine")
    with pytest.raises(ConfigError, match="choose another --out"):
        crosscheck(tiny_run.path, tiny_run.path, out=tmp_path / "mine")
    assert kept.read_text() == "mine"


def test_other_bands_and_other_visits_are_refused(data):
    with pytest.raises(DataError, match='band "u" and run B "g"'):
        compare_runs(data, replace(data, band="g"), 20)
    names = tuple(f"other {name}" for name in data.visit_table.visit)
    other = replace(data, visit_table=replace(data.visit_table, visit=names))
    with pytest.raises(DataError, match="no visit in common: A has 4, the first being"):
        compare_runs(data, other, 20)


def test_too_few_stars_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="min_stars of 2 or more"):
        crosscheck(Path("a"), Path("b"), out=tmp_path / "cc", min_stars=1)
