"""Random walks and splines in time against dense covariances and scipy's B-splines."""

import numpy as np
import pytest
from scipy.interpolate import BSpline

from scrframe.builtin.offset_levels.time import (
    RIDGE,
    RandomWalkConfig,
    SplineConfig,
    prepare_random_walk,
    prepare_spline,
)
from scrframe.errors import CalibrationError


@pytest.fixture
def at(table):
    """Return detections at some dates."""

    def build(mjd):
        return table(["v"] * len(mjd), [1] * len(mjd), mjd=mjd)

    return build


@pytest.fixture
def walk(at, matched):
    def build(mjd, **settings):
        config = RandomWalkConfig(by=(), **settings)
        return prepare_random_walk("drift", matched(at(mjd)), config)

    return build


@pytest.fixture
def spline(at, matched):
    def build(mjd, **settings):
        return prepare_spline("drift", matched(at(mjd)), SplineConfig(by=(), **settings))

    return build


DATES = np.array([55900.3, 56000.1, 57000.9])


def test_knots_begin_with_the_first_day_and_cover_the_last(walk):
    labels = walk(DATES, step="180 d").labels().to_pydict()
    assert labels["knot"] == list(range(8))
    assert labels["knot_mjd"] == [55900.0 + 180 * n for n in range(8)]
    assert walk(DATES[:1], step="1 yr").labels().to_pydict()["knot_mjd"] == [55900.0, 56265.25]


def test_a_walk_is_linear_between_knots_and_stands_still_outside(walk, at):
    level = walk(DATES, step="180 d")
    knots = level.labels().column("knot_mjd").to_numpy()
    values = np.random.default_rng(1).normal(size=len(knots))
    dates = np.concatenate([np.linspace(55900, 57160, 400), knots, [40000.0, 60000.0]])
    found = level.design(at(dates)).weights @ values
    np.testing.assert_allclose(found, np.interp(dates, knots, values), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("step", "memory"), [(180, 1500), (1000, 10), (1, 1e5)])
def test_the_precision_of_a_walk_inverts_its_covariance(walk, step, memory):
    level = walk(
        DATES[:1] + np.array([[0], [40 * step]]).ravel(), step=f"{step} d", memory=f"{memory} d"
    )
    knots = level.labels().column("knot_mjd").to_numpy()
    assert len(knots) > 40
    covariance = np.exp(-np.abs(knots[:, np.newaxis] - knots) / memory)
    precision = level.precision()
    assert precision.nnz == 3 * len(knots) - 2
    # As precise as the condition of the covariance allows.
    product = precision.toarray() @ covariance
    tolerance = 1e-14 * np.linalg.cond(covariance)
    np.testing.assert_allclose(product, np.eye(len(knots)), rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", ["walk", "spline"])
def test_weights_sum_to_one_at_any_date(request, at, kind):
    level = request.getfixturevalue(kind)(DATES, step="100 d")
    dates = np.concatenate([np.linspace(55000, 58000, 777), DATES])
    weights = level.design(at(dates)).weights
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=0, atol=1e-14)
    assert weights.data.min() >= 0


def test_a_spline_is_made_of_b_splines(spline, at):
    level = spline(DATES, step="180 d")
    labels = level.labels().to_pydict()
    assert labels["knot_mjd"] == [55900.0 + 180 * n for n in range(-1, 9)]
    knots = 55900.0 + 180 * np.arange(-3, 11)
    dates = np.linspace(55900, 57160, 333)
    expected = BSpline.design_matrix(dates, knots, 3).toarray()
    found = level.design(at(dates)).weights.toarray()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
    # Before the first and after the last knot the spline stands still.
    ends = level.design(at(np.array([40000.0, 55900.0, 57160.0, 60000.0]))).weights.toarray()
    np.testing.assert_array_equal(ends[[0, 3]], ends[[1, 2]])


def test_a_spline_is_stiff_and_of_variance_one(spline, at):
    level = spline(DATES, step="100 d")
    labels = level.labels().to_pydict()
    count = len(labels["knot"])
    dense = level.precision().toarray()
    values = np.random.default_rng(2).normal(size=count)
    line = np.linspace(-1, 1, count)
    scale = line @ dense @ line / (RIDGE * np.sum(line**2))
    expected = scale * (np.sum(np.diff(values, 2) ** 2) + RIDGE * np.sum(values**2))
    assert values @ dense @ values == pytest.approx(expected, rel=1e-11)
    knots = np.array(labels["knot_mjd"][1:-1])
    weights = level.design(at(knots)).weights.toarray()
    variance = np.diag(weights @ np.linalg.inv(dense) @ weights.T)
    assert variance.mean() == pytest.approx(1, rel=1e-12)
    # In the middle of a long spline the ends do not tell.
    assert np.all((variance > 0.5) & (variance < 3.0))


@pytest.mark.parametrize("kind", ["walk", "spline"])
def test_what_cannot_have_knots_is_refused(request, kind):
    build = request.getfixturevalue(kind)
    with pytest.raises(CalibrationError, match=r"levels\.drift: no detection has a date"):
        build(np.array([np.nan]))
    message = r"a step of 0\.125 d makes 8808 intervals between mjd 55900\.3 and 57000\.9"
    with pytest.raises(CalibrationError, match=message):
        build(DATES, step="0.125 d")
