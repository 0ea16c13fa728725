"""Each survey's layout, from simulated tables to corrected ones, with its offsets recovered.

Few fields and detectors: what is tested is that every column arrives in the place and the
unit that the description says. A wrong magnitude, error, position, pixel or key cannot give
the injected offsets back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import scrframe
from scrframe.config import SurveyDescription

ROOT = Path(__file__).parents[2]
#: What no mean over the stars of a group averages down is switched off.
COMMON = (
    "simulation.fields=4",
    "simulation.control_fields=2",
    "simulation.overlapping_fields=0",
    "simulation.other_sources=0.1",
    "simulation.hidden_coherent=0",
    "simulation.law_variation=0",
    "simulation.outliers=0",
    "simulation.variables=0",
    "simulation.defective_column=false",
    "simulation.pixel_sd=0",
    "colour_model.kind=gaussian_process",
    "reddening.order=1",
    "reddening.extinction_order=0",
    "reddening.field_slopes=false",
    "offsets.mode=sequential",
    "offsets.min_stars=5",
    "offsets.levels=[{name: visit, kind: group, by: [visit]},"
    " {name: ccd, kind: group, by: [visit, ccd]}]",
    "report.enabled=false",
)
TWO_IN_A_ROW = "loader.table.camera.rows=[[1, 2]]"
#: Two detectors of each camera, and as many stars as they need.
SMALL = {
    "nsc_dr2_u": (
        "simulation.density=3000",
        "loader.table.camera.detectors=[{ccd: 25, east: 0.08 deg, north: 0 deg},"
        " {ccd: 32, east: -0.08 deg, north: 0 deg}]",
    ),
    "rubin_dp1_u": ("simulation.density=5000", TWO_IN_A_ROW),
    "skymapper_dr4_u": ("simulation.density=1200", TWO_IN_A_ROW),
    "skymapper_dr4_v": ("simulation.density=1200", "simulation.seed=2", TWO_IN_A_ROW),
    "sdss_s82_u": ("simulation.density=5000", TWO_IN_A_ROW),
}
VISITS = 8
#: Columns of corrected catalogues, in any mode.
CORRECTED = ("MAG_CAL", "OFFSET_TOTAL", "CAL_FLAGS")


@dataclass(frozen=True)
class Done:
    """A run of simulated tables, and the truth of its stars in the order of `stars`."""

    survey: SurveyDescription
    tree: Path
    run: scrframe.Run
    stars: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]

    def errors(self, *keys: str) -> tuple[np.ndarray, np.ndarray]:
        """Return by group the error of the mean correction and what its stars allow, in mag."""
        code = np.zeros(len(self.stars["ccd"]), dtype=np.int64)
        for key in keys:
            place = np.unique(self.stars[key], return_inverse=True)[1]
            code = code * (place.max() + 1) + place
        code = np.unique(code, return_inverse=True)[1]
        count = np.bincount(code)
        off = self.stars["offset_total"] - self.truth["offset_total"]
        scatter = self.stars["delta"] - self.truth["offset_total"]
        error = np.bincount(code, off - off.mean()) / count
        mean = np.bincount(code, scatter) / count
        variance = np.bincount(code, (scatter - mean[code]) ** 2) / (count - 1)
        return error, np.sqrt(variance / count)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Done]:
    """Return a function from the name of a survey to its finished run."""
    found: dict[str, Done] = {}

    def find(name: str) -> Done:
        if name not in found:
            found[name] = calibrated(name, tmp_path_factory.mktemp(name))
        return found[name]

    return find


def calibrated(name: str, folder: Path) -> Done:
    path = ROOT / "surveys" / f"{name}.yaml"
    survey = scrframe.load_survey(path, overrides=[*COMMON, *SMALL[name]])
    tree = scrframe.simulate_survey(survey, folder / "tree")
    run = scrframe.calibrate(survey, data=tree, out=folder / "run", workers=1)
    stars = columns(run.path / "stars.parquet")
    truth = columns(tree / "truth.parquet")
    place = {key: row for row, key in enumerate(zip(*(truth[k] for k in KEYS), strict=True))}
    rows = [place[key] for key in zip(*(stars[k] for k in KEYS), strict=True)]
    return Done(survey, tree, run, stars, {key: values[rows] for key, values in truth.items()})


KEYS = ("file", "ccd", "row")


def columns(path: Path) -> dict[str, np.ndarray]:
    table = pq.read_table(path)
    return {name: table[name].to_numpy() for name in table.column_names}


@pytest.mark.parametrize("name", SMALL)
class TestLayout:
    def test_stars_are_those_that_were_simulated(self, done, name) -> None:
        result = done(name)
        assert len(np.unique(result.stars["visit"])) == VISITS
        assert len(result.stars["visit"]) > 300
        # A neighbour on the sky may have taken the place of a star in the match.
        assert np.mean(result.stars["source_id"] == result.truth["source_id"]) > 0.995

    def test_magnitudes_and_errors_arrive(self, done, name) -> None:
        result = done(name)
        clean = result.truth["mag_true"] - result.truth["offset_total"]
        pull = (result.stars["mag_obs"] - clean) / np.hypot(
            1.5 * result.stars["mag_err"], result.survey.simulation.photometric_floor
        )
        # Noise is what the simulation adds: 1.5 times the catalogued error, and a floor. A
        # standard deviation of n pulls is known to 1 / sqrt(2 n).
        n = len(pull)
        assert np.std(pull) == pytest.approx(1, abs=5 / np.sqrt(2 * n) + 0.05)

    @pytest.mark.parametrize("keys", [("visit",), ("visit", "ccd")], ids=["visit", "ccd"])
    def test_injected_offsets_are_recovered(self, done, name, keys) -> None:
        error, own = done(name).errors(*keys)
        # Means of a group's stars are as wrong as these scatter, and, by as much again, as
        # the model is wrong for all of them, which two control fields train.
        assert np.sqrt(np.mean(error**2)) < 1.5 * np.sqrt(np.mean(own**2))
        injected = done(name).truth["offset_total"]
        assert np.sqrt(np.mean(error**2)) < 0.35 * injected.std()

    def test_corrected_catalogues(self, done, name) -> None:
        result = done(name)
        written = sorted((result.run.path / "catalogues").rglob("*.parquet"))
        assert len(written) == VISITS
        corrected = pq.read_table(written[0])
        source = next(result.tree.rglob(written[0].name))
        original = pq.read_table(source)
        assert corrected.select(original.column_names).equals(original)  # nothing else changed
        assert set(CORRECTED) <= set(corrected.column_names)
        rows = np.flatnonzero(result.stars["file"] == written[0].name)
        row = result.stars["row"][rows]
        np.testing.assert_allclose(
            corrected["MAG_CAL"].to_numpy()[row], result.stars["mag_cal"][rows], atol=2e-6
        )
