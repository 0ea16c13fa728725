"""A run of two surveys of the same stars: each as alone within its errors, and a run like any."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

import scrframe
from scrframe.analysis.combined import CombinedRun, calibrate_combined
from scrframe.cli.rendering import combined_lines, combined_table, rendered
from scrframe.config import load_combined
from scrframe.errors import DataError

SHIPPED = Path(__file__).parents[2] / "surveys" / "vphas_u.yaml"
#: Two surveys in one band: colours and law are the same, of the scatter nearly all.
TWO = f"""\
name: two
members:
  - {SHIPPED}
  - survey: {SHIPPED}
    set: {{name: again, simulation.shared_scatter: 0.9, simulation.visit_sd: 0.04}}
share: {{stars: true, terms: [ccd_static]}}
"""
SMALL = (
    "simulation.fields=2",
    "simulation.density=1000",
    "simulation.other_sources=0.1",
    "simulation.seed=3",
    "colour_model.kind=ridge",
    "offsets.levels.pixel.size=1025 pix",
    "offsets.max_rounds=2",
    "offsets.joint.max_rounds=4",
    "offsets.joint.systematics={}".format(
        "{law: false, law_regions: false, reference_region: false, colour_model: false,"
        " extinction: false}"
    ),
    "report.enabled=false",
)


@dataclass(frozen=True)
class Both:
    """The run of both, and its table of offsets."""

    run: CombinedRun
    offsets: Table

    def of(self, name: str) -> Table:
        return self.offsets[self.offsets["survey"] == name]


@pytest.fixture(scope="module")
def description(tmp_path_factory):
    path = tmp_path_factory.mktemp("two") / "two.yaml"
    path.write_text(TWO, encoding="utf-8")
    return load_combined(path, overrides=SMALL)


@pytest.fixture(scope="module")
def both(description, tmp_path_factory) -> Both:
    out = tmp_path_factory.mktemp("runs") / "two"
    run = calibrate_combined(description, data="sample", out=out, workers=1)
    return Both(run, Table.read(out / "shared" / "offsets.ecsv"))


NAMES = ("vphas_u", "again")


def test_each_survey_has_a_run_of_its_own_and_nothing_else_is_left(both):
    folder = both.run.path
    assert sorted(path.name for path in folder.iterdir()) == ["again", "shared", "vphas_u"]
    assert [path.name for path in folder.parent.iterdir()] == ["two"]
    for name in NAMES:
        run = both.run.runs[name]
        assert run.path == folder / name
        assert json.loads((run.path / "summary.json").read_text())["survey"] == name
        assert {path.name for path in run.path.iterdir()} >= {
            "summary.json",
            "stars.parquet",
            "star_catalogue.parquet",
            "solution",
            "catalogues",
        }
        assert len(list((run.path / "catalogues").rglob("*.fits*"))) == 4
    written = json.loads((folder / "shared" / "summary.json").read_text())
    for key in ("name", "share", "stars", "members"):
        assert written[key] == both.run.summary[key]


def test_the_scatter_that_both_have_is_found(both):
    (found,) = both.run.summary["stars"]
    assert found["members"] == list(NAMES)
    assert found["common"] > 1000
    # Errors of spectra and extinctions are all in common, of the hidden scatter nine tenths.
    assert found["correlation"] - 0.9 > -4 * found["error"]
    assert found["shared"] == pytest.approx(min(found["correlation"], 0.98))
    (term,) = both.run.summary["terms"]
    assert (term["columns"], term["common"]) == (32, 32)


@pytest.mark.parametrize("name", NAMES)
def test_errors_are_smaller_and_offsets_those_alone_within_their_errors(both, name):
    table = both.of(name)
    assert len(table) == 4 * 32
    alone, together = (np.array(table[f"err_{which}"]) for which in ("alone", "together"))
    assert np.all(together <= alone * (1 + 1e-9))
    assert np.mean(together) < 0.995 * np.mean(alone)
    moved = np.array(table["offset_together"] - table["offset_alone"])
    assert np.all(np.abs(moved) < 3 * alone)
    figures = both.run.summary["members"][name]
    # 128 exposures, but only some tens of independent changes.
    assert figures["difference_mag"] < 2 * figures["difference_expected_mag"]


@pytest.mark.parametrize("name", NAMES)
def test_offsets_and_errors_of_both_are_in_the_products(both, name):
    table = both.of(name)
    exposures = Table.read(both.run.path / name / "solution" / "exposures.ecsv")
    given = {(row["visit"], row["ccd"]): row for row in exposures}
    for row in table:
        there = given[row["visit"], row["ccd"]]
        assert there["offset"] == pytest.approx(row["offset_together"], abs=1e-9)
        assert there["offset_err"] == pytest.approx(row["err_together"], abs=1e-9)


def test_what_is_said_of_a_survey_alone_is_its_own_run(both, description, tmp_path):
    survey = description.members[0]
    scrframe.calibrate(survey, data="sample", out=tmp_path / "alone", workers=1)
    exposures = Table.read(tmp_path / "alone" / "solution" / "exposures.ecsv")
    given = {(row["visit"], row["ccd"]): row for row in exposures}
    for row in both.of(survey.name):
        there = given[row["visit"], row["ccd"]]
        assert there["offset"] == pytest.approx(row["offset_alone"], abs=1e-9)
        assert there["offset_err"] == pytest.approx(row["err_alone"], abs=1e-9)


def test_the_screen_shows_errors_and_what_is_shared(both):
    shown = rendered([combined_table(both.run.summary)], False)
    for name in NAMES:
        figures = both.run.summary["members"][name]
        row = next(line for line in shown.splitlines() if line.strip().startswith(name))
        assert f"{1000 * figures['err_alone_mag']:.2f}" in row
        assert f"{1000 * figures['err_together_mag']:.2f}" in row
    lines = list(combined_lines(both.run.summary, both.run.path))
    assert lines[0].startswith("stars of vphas_u and again: ")
    assert lines[0].endswith(": shared")
    assert lines[1].startswith("term ccd_static: 32 of 32 columns in common")
    assert "vphas_u/, again/, each a run of its own, and shared/" in lines[2]


def test_a_survey_without_data_is_named_and_nothing_is_left(description, tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match=r"survey vphas_u: data root .* does not exist"):
        calibrate_combined(description, data=tmp_path / "data", out=tmp_path / "runs" / "two")
    assert not (tmp_path / "runs").exists()
