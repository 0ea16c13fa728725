"""Real stars with real XP spectra and 2MASS magnitudes, which are uniform over the sky.

The errors of their extinctions, from infrared colours, are 0.12 where E itself has 0.3. Visits
are tiles of 3 degrees, so that every offset should be zero but for the law.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import scrframe

pytestmark = [pytest.mark.closure, pytest.mark.slow]

BANDS = ("j", "h", "k", "parameters")
#: A_J - A_BP per E: the ZGR23 curve, and G_BP of these very spectra.
R_J = -2.057
#: Tiles of fewer stars say nothing by themselves.
STARS = 5


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return a function that calibrates a band, once."""
    found: dict[str, scrframe.Run] = {}

    def run(band: str, folder: Path) -> scrframe.Run:
        if band not in found:
            survey = scrframe.load_survey(folder / f"twomass_{band}.yaml")
            out = tmp_path_factory.mktemp("real") / band
            found[band] = scrframe.calibrate(survey, data=folder, out=out, workers=1, report=False)
        return found[band]

    return run


@pytest.mark.parametrize("band", BANDS)
def test_real_stars_settle_with_the_guards_that_ship(runs, extra_data, band):
    summary = runs(band, extra_data("twomass_j")).summary
    assert summary["colour_model"]["converged"]
    assert summary["offsets"]["joint"]["converged"]


def test_the_law_of_j_is_that_of_the_curve(runs, extra_data):
    run = runs("j", extra_data("twomass_j"))
    stars = pq.read_table(run.path / "stars.parquet", columns=["colour0", "extinction"])
    colour0, extinction = (np.median(stars.column(name)) for name in ("colour0", "extinction"))
    ratio = run.solution.law.ratio(np.array([colour0]), np.array([extinction]))
    assert ratio[0] == pytest.approx(R_J, abs=0.03)


def test_unreddened_tiles_scatter_by_their_errors(runs, extra_data):
    run = runs("j", extra_data("twomass_j"))
    table = run.solution.exposures
    stars = pq.read_table(run.path / "stars.parquet", columns=["visit", "extinction"]).to_pandas()
    reddening = stars.groupby("visit")["extinction"].median().reindex(table.visit).to_numpy()
    clear = (reddening < 0.15) & (table.count >= STARS)
    offset, weight = table.offset_mag[clear], table.err_mag[clear] ** -2
    spread = np.sqrt(np.average((offset - np.average(offset, weights=weight)) ** 2, weights=weight))
    assert spread < np.hypot(np.sqrt(1 / weight.mean()), 0.005)
