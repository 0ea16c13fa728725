"""Real stars: 2MASS J of a thousand from their Gaia XP spectra, where every offset is zero.

2MASS is uniform over the sky to some millimagnitudes, so that what tiles of the sky seem to need
is error. The spectra, magnitudes and extinctions are real, tiles and dates are made.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import scrframe

FOLDER = Path(__file__).parents[1] / "fixtures" / "real_stars"
#: A_J - A_BP per E: the curve of Zhang, Green & Rix, and G_BP of these very spectra.
R_J = -2.057


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    survey = scrframe.load_survey(FOLDER / "survey.yaml")
    out = tmp_path_factory.mktemp("real") / "run"
    return scrframe.calibrate(survey, data=FOLDER, out=out, workers=1, report=False)


@pytest.fixture(scope="module")
def stars(run):
    return pq.read_table(run.path / "stars.parquet").to_pandas()


def test_they_settle_with_the_guards_that_ship(run):
    assert run.summary["colour_model"]["converged"]
    assert run.summary["offsets"]["joint"]["converged"]


def test_spectra_tell_the_colour(run):
    """J lies far to the red of the spectra; errors of its magnitudes alone are 24 mmag."""
    test = run.summary["colour_model"]["test"]
    assert test["r2"] > 0.98
    assert test["dispersion_mag"] < 0.045


def test_the_law_is_that_of_the_curve(run, stars):
    """At the median colour, within three of its errors."""
    place = np.array([stars["colour0"].median()]), np.array([stars["extinction"].median()])
    law = run.solution.law
    assert law.ratio(*place)[0] == pytest.approx(R_J, abs=3 * np.sqrt(law.variance(*place)[0]))
    assert law.variance(*place)[0] < 0.1**2


def test_unreddened_tiles_need_no_offset(run, stars):
    table = run.solution.exposures
    reddening = stars.groupby("visit")["extinction"].median().reindex(table.visit).to_numpy()
    clear = reddening < 0.15
    assert clear.sum() > 8
    offset, error = table.offset_mag[clear], np.hypot(table.err_mag, table.sys_mag)[clear]
    pull = (offset - np.average(offset, weights=error**-2)) / error
    # The mean square of so many scatters by the root of 2 / number; three of these.
    assert np.mean(pull**2) < 1 + 3 * np.sqrt(2 / clear.sum())
