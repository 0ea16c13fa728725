"""What detectors add to visits without stars on them: against the drawn and the fitted terms."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from scrframe.builtin.offset_levels.keys import GroupConfig, prepare_group
from scrframe.offsets.joint.fit import fit_joint
from scrframe.offsets.joint.problem import JointProblem, JointSolverSettings
from scrframe.offsets.joint.results import JointResults
from scrframe.offsets.outliers.weights import OutlierSettings
from scrframe.products.solution import VisitSeen
from scrframe.run.offsets.joint_solution import ccd_parts, visit_spread
from scrframe.tables import Detections, FittedLevel, LevelDesign, MatchedStars
from scrframe.tables.table import derive

#: As many visits with stars as detectors, and one more visit without, in a season of its own.
#: The last detector has no stars in the first visit.
SIZE, STARS = 6, 40
VISIT_SD, CCD_SD, JITTER_SD, ERROR = 0.06, 0.03, 0.01, 0.01
NEEDS = {
    "visit": ("visit",),
    "static": ("ccd",),
    "jitter": ("visit", "ccd"),
    "season": ("season",),
    "season_ccd": ("season", "ccd"),
    "airmass": ("airmass", "ccd"),
}


class AirmassLevel(FittedLevel):
    """Slope on airmass of each detector."""

    name = "airmass"

    def labels(self) -> pa.Table:
        return pa.table({"ccd": np.arange(SIZE)})

    def design(self, detections: Detections) -> LevelDesign:
        rows = np.arange(len(detections))
        weights = detections["airmass"] - 1.0, (rows, detections["ccd"])
        return LevelDesign(sparse.csr_array(weights, shape=(len(rows), SIZE)))

    def state(self) -> dict[str, float]:
        return {}


def drawn(rng: np.random.Generator):
    """Return detections with their stars, differences, and the visits that a run has seen."""
    visit, ccd, star = (values.ravel() for values in np.mgrid[:SIZE, :SIZE, : STARS * SIZE : SIZE])
    star = star + ccd  # dithered: each visit sees a star on another detector
    ccd = (ccd + visit) % SIZE
    seen = ~((visit == 0) & (ccd == SIZE - 1))
    visit, ccd, star = visit[seen], ccd[seen], star[seen]
    static, zero = CCD_SD * rng.normal(size=SIZE), VISIT_SD * rng.normal(size=SIZE)
    delta = zero[visit] + static[ccd] + ERROR * rng.normal(size=len(ccd))
    delta += (JITTER_SD * rng.normal(size=(SIZE, SIZE)))[visit, ccd]
    mjd, one = 55900.0 + 100 * np.arange(SIZE + 1), np.ones(len(ccd))
    mjd[-1] += 365
    columns = {
        "visit": [f"v{number}" for number in visit],
        "band": ["u"] * len(ccd),
        "ccd": ccd,
        "file": ["f"] * len(ccd),
        "extension": ccd,
        "row": np.arange(len(ccd)),
        "ra": one,
        "dec": one,
        "mjd": mjd[visit],
        "x": one,
        "y": one,
        "mag": one,
        "mag_err": ERROR * one,
        "airmass": 1.1 + 0.1 * visit,
    }
    table = derive(Detections.from_columns(columns), "detection")
    visits = [
        VisitSeen(f"v{number}", "f", "", mjd[number], 1, 1, 1, 9, tuple(range(SIZE)))
        for number in range(SIZE + 1)
    ]
    return table, star, delta, static, visits


class Solved:
    """A survey solved with some levels."""

    def __init__(self, *names: str) -> None:
        table, star, delta, self.static, self.visits = drawn(np.random.default_rng(5))
        zero = np.zeros(len(table), dtype=np.int64)
        matched = MatchedStars(table, table, zero, np.zeros((1, 1), np.float32), zero == 1)
        self.levels = tuple(
            AirmassLevel()
            if name == "airmass"
            else prepare_group(name, matched, GroupConfig(by=NEEDS[name]))
            for name in names
        )
        self.fit = fit_joint(
            JointProblem(
                self.levels,
                table,
                delta,
                star,
                np.full(len(star), ERROR),
                np.ones((star.max() + 1, 1)),
                JointSolverSettings(outliers=OutlierSettings(False), max_rounds=5),
            )
        )
        self.parts = ccd_parts(self.fit, JointResults(self.fit), self.levels, NEEDS, self.visits)

    def found(self, name: str) -> np.ndarray:
        return self.fit.estimate.parameters[self.fit.design.term(name).columns]

    def sd(self, name: str) -> float:
        return self.fit.estimate.sd_mag[name]

    def errors(self, name: str) -> np.ndarray:
        columns = self.fit.design.term(name).columns
        return np.sqrt(self.fit.factor.diagonal()[columns])


@pytest.fixture(scope="module")
def plain() -> Solved:
    return Solved("visit", "static", "jitter")


def test_as_many_visits_as_detectors_are_not_confused(plain):
    widths = {term.name: term.width for term in plain.fit.design.model.terms}
    assert widths["visit"] == widths["static"] == SIZE
    np.testing.assert_array_equal(plain.parts.ccd, np.arange(SIZE))
    expected = plain.found("static") - plain.found("static").mean()
    shape = SIZE + 1, 1
    np.testing.assert_allclose(plain.parts.offset_mag, np.tile(expected, shape), atol=1e-12)
    errors = np.tile(plain.errors("static"), shape)
    np.testing.assert_allclose(plain.parts.err_mag, errors, rtol=1e-9)
    assert plain.parts.jitter_sd_mag == pytest.approx(plain.sd("jitter"))
    assert visit_spread(plain.fit) == pytest.approx(plain.sd("visit"))
    # The truth, within four errors.
    error = np.hypot(plain.errors("static"), JITTER_SD / np.sqrt(SIZE))
    assert np.all(np.abs(expected - plain.static + plain.static.mean()) < 4 * error)


def test_what_a_season_has_is_its_visits_part_on_all_detectors(plain):
    seasons = Solved("visit", "season", "static", "jitter")
    found = seasons.found("static") - seasons.found("static").mean()
    np.testing.assert_allclose(seasons.parts.offset_mag, np.tile(found, (SIZE + 1, 1)), atol=1e-12)
    np.testing.assert_allclose(
        seasons.parts.err_mag, np.tile(seasons.errors("static"), (SIZE + 1, 1)), rtol=1e-9
    )
    assert seasons.parts.jitter_sd_mag == pytest.approx(seasons.sd("jitter"))


def test_a_detector_in_a_season_without_stars_may_be_anywhere_within_the_spread():
    solved = Solved("visit", "season_ccd", "jitter")
    level = solved.levels[1]
    labels = level.labels().to_pylist()
    place = {(row["season"], row["ccd"]): number for number, row in enumerate(labels)}
    # The visits' dates: two seasons of solved visits, and one of the last visit.
    season = [2011, 2011, 2011, 2011, 2012, 2012]
    columns = np.array([[place[year, ccd] for ccd in range(SIZE)] for year in season])
    own = solved.found("season_ccd")[columns]
    expected = own - own.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(solved.parts.offset_mag[:-1], expected, atol=1e-12)
    errors = solved.errors("season_ccd")[columns]
    np.testing.assert_allclose(solved.parts.err_mag[:-1], errors, rtol=1e-9)
    np.testing.assert_allclose(solved.parts.offset_mag[-1], 0, atol=1e-12)
    np.testing.assert_allclose(solved.parts.err_mag[-1], solved.sd("season_ccd"), rtol=1e-12)


def test_what_needs_more_than_is_known_of_an_exposure_counts_as_jitter():
    solved = Solved("visit", "static", "airmass", "jitter")
    static = solved.found("static") - solved.found("static").mean()
    np.testing.assert_allclose(solved.parts.offset_mag, np.tile(static, (SIZE + 1, 1)), atol=1e-12)
    # Airmass less one by exposure, of which one has no stars; each slope is drawn by itself.
    basis = np.repeat(0.1 + 0.1 * np.arange(SIZE), [SIZE - 1, *[SIZE] * (SIZE - 1)])
    slope = solved.sd("airmass") * np.sqrt(np.mean(basis**2))
    jitter = np.hypot(solved.sd("jitter"), slope)
    assert solved.parts.jitter_sd_mag == pytest.approx(jitter, rel=1e-12)
