"""Injected offsets come back with stellar parameters and with synthetic photometry alike."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import scrframe
from scrframe.analysis.explain import explain
from scrframe.cli.explain import explanation_text

from . import truth
from .conftest import CLEAN, DESCRIPTION

SMALL = ("simulation.other_sources=0", "report.enabled=false")
#: A visit's stars allow s / sqrt(n). The colours are learnt from no more stars than a visit has,
#: which adds as much again in quadrature, and three fields tell their scatter to a third only.
LEARNT = np.sqrt(2) * 4 / 3
#: Nothing is learnt, but the noise of a star's spectrum is the same in both visits of a field.
KNOWN = np.sqrt(2) * 4 / 3


@pytest.fixture(scope="module")
def close_to(tmp_path_factory):
    """Return a function that simulates and calibrates another description, to (run, truth)."""

    def run(name, *changes):
        folder = tmp_path_factory.mktemp("closure")
        survey = scrframe.load_survey(
            DESCRIPTION.with_name(name), overrides=[*CLEAN, *SMALL, *changes]
        )
        tree = scrframe.simulate_survey(survey, folder / "tree")
        done = scrframe.calibrate(survey, data=tree, out=folder / "run", workers=1)
        return done, truth.compare(done.path, tree)

    return run


def visit_errors(compared):
    """Return errors of the visits' mean offsets and what their stars allow, in mag."""
    columns = compared.columns
    error = columns["offset_total"] - columns["true_offset_total"]
    rest = columns["delta"] - columns["true_offset_total"]
    kept = np.isfinite(error)  # in mode sequential a small group has no offset
    error, rest = error[kept], rest[kept]
    _, visit = np.unique(columns["visit"][kept], return_inverse=True)
    count = np.bincount(visit)
    mean = np.bincount(visit, error) / count
    scatter = np.bincount(visit, (rest - (np.bincount(visit, rest) / count)[visit]) ** 2) / count
    return mean - mean.mean(), np.sqrt(scatter / count)


@pytest.fixture(scope="module")
def parameters(close_to):
    return close_to("vphas_u_apogee.yaml", "simulation.fields=3", "simulation.control_fields=1")


@pytest.fixture(scope="module")
def synthetic(close_to):
    return close_to(
        "vphas_g_synthetic.yaml",
        "simulation.fields=3",
        "simulation.density=1000",
        "offsets.mode=sequential",
        "offsets.levels.pixel.size=1025 pix",
    )


def test_stellar_parameters_reach_the_error_of_their_stars(parameters):
    error, own = visit_errors(parameters[1])
    assert truth.rms(error) < LEARNT * truth.rms(own)
    assert truth.rms(own) < 0.02  # the limit means something: visits differ by 0.06 mag


def test_stellar_parameters_count_what_they_leave_out(parameters):
    counts = parameters[0].summary["counts"]
    cuts = [row["cut"] for row in counts["calibration_cuts"]]
    assert "has teff, logg, feh" in cuts
    assert cuts.index("matched") < cuts.index("teff > 4300") < cuts.index("snr > 20")
    assert counts["calibration"]["stars"] > 800


def test_synthetic_photometry_reaches_the_error_of_its_stars(synthetic):
    error, own = visit_errors(synthetic[1])
    assert truth.rms(error) < KNOWN * truth.rms(own)
    assert truth.rms(own) < 0.001


def test_synthetic_photometry_trains_nothing_and_fits_no_law(synthetic):
    summary = synthetic[0].summary
    assert summary["colour_model"]["kind"] == "none"
    assert summary["colour_model"]["training_stars"] == 0
    assert summary["colour_model"]["converged"]
    assert [point["R"] for point in summary["reddening_law"]["R"]] == [0.0] * 5
    assert json.loads((synthetic[0].path / "summary.json").read_text())["band"] == "g"


@pytest.mark.parametrize(("kind", "likened"), [("parameters", True), ("synthetic", False)])
def test_a_star_is_likened_to_those_trained_on_only_where_there_are_any(kind, likened, request):
    run = request.getfixturevalue(kind)[0]
    stars = pq.read_table(run.path / "stars.parquet", columns=["source_id", "flags"])
    plain = stars.filter(pc.equal(stars["flags"], 0))["source_id"]
    lines = explanation_text(explain(run.path, star=plain[0].as_py()), False).splitlines()
    assert any(line.endswith("no flag") for line in lines)
    assert any("training set" in line for line in lines) == likened


def test_synthetic_photometry_predicts_the_true_magnitude(synthetic):
    columns = synthetic[1].columns
    difference = columns["delta"] - columns["true_offset_total"]
    # u_ZP is the mean of this: the simulated catalogues are on the passband's own AB system.
    assert abs(np.median(difference)) < 0.002
    assert synthetic[0].solution.zero_point_mag == pytest.approx(0.0, abs=0.01)
