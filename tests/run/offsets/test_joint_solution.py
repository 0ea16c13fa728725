"""Columns and records of the joint solution: weights, deviations, errors of the noise."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from scrframe.builtin.offset_levels.keys import GroupConfig, prepare_group
from scrframe.offsets.joint.fit import fit_joint
from scrframe.offsets.joint.problem import JointProblem, JointSolverSettings
from scrframe.run.offsets.joint_solution import joint_record, star_columns
from scrframe.run.offsets.systematics import Shifts
from scrframe.run.sample.selection import StarSelection
from scrframe.tables import Detections, MatchedStars, ReferenceStars

VISITS, STARS = 6, 400
SCALE, FLOOR, SCATTER = 1.5, 0.01, 0.05
#: One star far from the model in all its detections, and one detection far from its star's
#: others; one star is reserved.
FAR, WRONG, RESERVED = 7, (2, 11), 20


@pytest.fixture(scope="module")
def solved():
    """Return a sample, its fit and what stands for the state; every visit sees every star."""
    rng = np.random.default_rng(2)
    visit, star = (values.ravel() for values in np.mgrid[:VISITS, :STARS])
    error = rng.uniform(0.005, 0.03, len(star))
    delta = 0.05 * rng.normal(size=VISITS)[visit] + SCATTER * rng.normal(size=STARS)[star]
    delta += np.hypot(SCALE * error, FLOOR) * rng.normal(size=len(star))
    delta[star == FAR] += 0.6
    delta[(visit == WRONG[0]) & (star == WRONG[1])] -= 0.6
    one = np.ones(len(star))
    table = Detections.from_columns(
        {
            "visit": [f"v{number}" for number in visit],
            "band": ["u"] * len(star),
            "ccd": one,
            "file": ["f"] * len(star),
            "extension": one,
            "row": np.arange(len(star)),
            "ra": one,
            "dec": one,
            "mjd": one,
            "x": one,
            "y": one,
            "mag": one,
            "mag_err": error,
        }
    )
    stars = ReferenceStars(
        pa.table(
            {
                "source_id": np.arange(STARS),
                "ref_ra": np.ones(STARS),
                "ref_dec": np.ones(STARS),
                "ref_epoch": np.full(STARS, 2016.0),
                "pmra": np.zeros(STARS),
                "pmdec": np.zeros(STARS),
                "reference_mag": np.ones(STARS),
                "reference_mag_err": np.ones(STARS),
            }
        )
    )
    control = np.zeros(len(star), dtype=bool)
    sample = MatchedStars(table, stars, star, np.zeros((STARS, 1), np.float32), control)
    judged = StarSelection(np.arange(STARS) == RESERVED, np.zeros(STARS, np.int32))
    used = judged.eligible[star]
    levels = (prepare_group("visit", sample, GroupConfig(by=("visit",))),)
    number = np.unique(star[used], return_inverse=True)[1]
    fit = fit_joint(
        JointProblem(
            levels,
            table.filter(used),
            delta[used],
            number,
            error[used],
            np.ones((STARS - 1, 1)),
            JointSolverSettings(),
        )
    )
    return sample, SimpleNamespace(used=used, stars=judged, terms=None), fit


def test_the_weight_is_that_of_the_detection_times_that_of_its_star(solved):
    sample, state, fit = solved
    weight, used = star_columns(sample, state, fit)["weight"], state.used
    np.testing.assert_array_equal(np.isnan(weight), sample.star == RESERVED)
    star = fit.design.model.star
    expected = fit.robust.detection * fit.robust.star[star]
    # But for a floor that only stars without any weight reach.
    np.testing.assert_allclose(weight[used], expected, rtol=1e-12, atol=1e-6)
    # All detections of the star that is far off, each of which is a good one.
    far = sample.star == FAR
    assert np.all(weight[far] < 1e-3) and np.all(weight[far] > 0)
    np.testing.assert_array_less(0.9, fit.robust.detection[far[used]])
    row = np.flatnonzero((sample.star == WRONG[1]) & (sample.detections["visit"] == "v2"))
    others = (sample.star == WRONG[1]) & (np.arange(len(weight)) != row)
    assert weight[row] < 1e-3 and np.all(weight[others] > 0.5)


def test_the_record_has_errors_of_scale_and_floor_that_hold(solved):
    _, state, fit = solved
    found = joint_record(fit, state, Shifts({}, 1))["photometry"]
    scale_err, floor_err = fit.noise_errors[:2]
    assert (found["scale_err"], found["floor_err_mag"]) == (scale_err, floor_err)
    assert abs(found["scale"] - SCALE) < 4 * found["scale_err"] < 0.4
    assert abs(found["floor_mag"] - FLOOR) < 4 * found["floor_err_mag"] < 0.01


def test_the_distance_to_the_training_stars_is_that_of_the_star(solved):
    sample, state, fit = solved
    nobody_asked = star_columns(sample, state, fit)["domain_distance"]
    assert np.isnan(nobody_asked).all()
    distance = np.linspace(0, 2, STARS, dtype=np.float32)
    judged = StarSelection(state.stars.reserved, state.stars.outside, distance)
    asked = star_columns(sample, SimpleNamespace(used=state.used, stars=judged), fit)
    np.testing.assert_array_equal(asked["domain_distance"], distance[sample.star])
