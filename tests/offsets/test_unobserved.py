"""The fallback chain: against dense linear algebra, and errors that hold on drawn truth."""

import numpy as np
import pytest
from scipy.linalg import block_diag

from scrframe.errors import CalibrationError, DataError
from scrframe.offsets.unobserved import (
    CcdParts,
    KnownVisits,
    SolvedExposures,
    _Nested,
    complete_exposures,
    predict_unobserved_visits,
)
from scrframe.tables import LEVELS, Detections, ExposureTable

SEASON, FIELD, OWN, STATIC, JITTER = 0.02, 0.03, 0.05, 0.02, 0.01
CCDS = np.array([1, 2, 5, 7])


def visits(fields=60, seasons=8, per_field=3, rng=None):
    """Return known visits; the last season holds the last two fields only."""
    rng = rng or np.random.default_rng(0)
    season = rng.integers(0, seasons - 1, fields)
    season[-2:] = seasons - 1
    field = np.repeat(np.arange(fields), per_field)
    name = tuple(f"v{number:03d}" for number in range(len(field)))
    return KnownVisits(name, field, season[field])


def dense(known, solved, y, err, spread):
    """Return -2 log of the restricted likelihood, and prediction and variance, densely."""
    eye = np.eye
    groups = [eye(g.max() + 1)[g] for g in (known.season, known.field)]
    z = np.hstack(groups)
    g = block_diag(*(eye(m.shape[1]) * s**2 for m, s in zip(groups, spread[:2], strict=True)))
    v = z[solved] @ g @ z[solved].T + np.diag(err**2 + spread[2] ** 2)
    inverse, one = np.linalg.inv(v), np.ones(len(y))
    information = one @ inverse @ one
    mean = one @ inverse @ y / information
    deviance = np.linalg.slogdet(v)[1] + np.log(information)
    deviance += (y - mean) @ inverse @ (y - mean)
    gain = z @ g @ z[solved].T @ inverse
    left = 1 - gain @ one
    variance = np.diag(z @ g @ z.T - gain @ z[solved] @ g @ z.T) + left**2 / information
    return deviance, mean + gain @ (y - mean), variance + spread[2] ** 2


def test_likelihood_and_prediction_are_those_of_dense_algebra():
    rng = np.random.default_rng(4)
    known = visits(fields=12, seasons=4, rng=rng)
    solved = np.flatnonzero((known.season < 3) & (rng.random(len(known.name)) < 0.7))
    y, err = rng.normal(0.1, 0.06, len(solved)), rng.uniform(0.002, 0.02, len(solved))
    model = _Nested(known, solved, y, err)
    spreads = np.array([[0.02, 0.03, 0.05], [0.05, 0.001, 0.02]])
    truth = [dense(known, solved, y, err, spread) for spread in spreads]
    difference = model.deviance(spreads[0]) - model.deviance(spreads[1])
    assert difference == pytest.approx(truth[0][0] - truth[1][0], abs=1e-8)
    for spread, (_, offset, variance) in zip(spreads, truth, strict=True):
        found = model.predict(spread)
        np.testing.assert_allclose(found[0], offset, atol=1e-12)
        np.testing.assert_allclose(found[1], variance, rtol=1e-9)


def draw(rng):
    """Draw a nested survey, hide visits and exposures, and complete it: truth and table."""
    known = visits(rng=rng)
    v, c = len(known.name), len(CCDS)
    part = rng.normal(0, FIELD, 60)[known.field] + rng.normal(0, SEASON, 8)[known.season]
    visit = 0.1 + part + rng.normal(0, OWN, v)
    static = rng.normal(0, STATIC, (v, c))
    truth = visit[:, None] + static + rng.normal(0, JITTER, (v, c))
    hidden = (known.season == 7) | np.isin(known.field, [0, 1, 2, 3])
    hidden[14::9] = True
    visit_err = rng.uniform(0.002, 0.01, v)
    solved = np.where(hidden, np.nan, visit + visit_err * rng.normal(size=v))
    static_err = rng.uniform(0.001, 0.004, (v, c))
    ccds = CcdParts(CCDS, static + static_err * rng.normal(size=(v, c)), static_err, JITTER)
    seen = ~hidden[:, None] & (rng.random((v, c)) < 0.9)
    row, column = np.nonzero(seen)
    err = rng.uniform(0.003, 0.012, len(row))
    value = truth[row, column] + err * rng.normal(size=len(row))
    exposures = SolvedExposures(row, CCDS[column], value, err, np.full(len(row), 30))
    table = complete_exposures(known, solved, visit_err, exposures, ccds, OWN)
    return known, hidden, truth, table


def test_errors_hold_at_every_level_and_no_exposure_is_left_out():
    rng = np.random.default_rng(11)
    squares = {level: [] for level in LEVELS}
    for _ in range(40):
        _, hidden, truth, table = draw(rng)
        assert len(table) == truth.size
        assert np.isfinite(table.offset_mag).all()
        assert np.all(table.err_mag > 0)
        assert np.array_equal(table.count > 0, table.level == "ccd")
        of_hidden = np.isin(table.level, ["field", "season", "survey"]).reshape(truth.shape)
        assert np.array_equal(of_hidden.all(axis=1), hidden)
        assert np.array_equal(of_hidden.any(axis=1), hidden)
        pull = (table.offset_mag - truth.ravel()) / table.err_mag
        for level in LEVELS:
            squares[level].append(np.mean(pull[table.level == level] ** 2))
    for level, each in squares.items():
        # Pulls of one draw hang together: the error comes from the draws.
        mean = np.mean(each)
        error = np.std(each) / np.sqrt(len(each)) / (2 * np.sqrt(mean))
        assert np.sqrt(mean) == pytest.approx(1, abs=max(0.05, 3 * error)), level


def test_each_level_says_where_its_offset_came_from_and_errs_more():
    known, _, truth, table = draw(np.random.default_rng(3))
    level = table.level.reshape(truth.shape)[:, 0]
    assert set(level[known.field < 4]) == {"season"}
    assert set(level[known.season == 7]) == {"survey"}
    assert "field" in set(level)
    error = [np.median(table.err_mag[table.level == name]) for name in LEVELS]
    assert error == sorted(error)


def test_with_one_field_a_season_no_level_claims_more_than_it_knows():
    # Fields are seasons here: only one of the two can be told.
    season = np.repeat(np.arange(6), 3)
    known = KnownVisits(tuple("abcdefghijklmnopqr"), season, season)
    rng = np.random.default_rng(8)
    offset = rng.normal(0, 0.1, 6)[season] + rng.normal(0, 0.01, 18)
    offset[[4, 15, 16, 17]] = np.nan
    predicted = predict_unobserved_visits(known, offset, np.full(18, 0.002), 0.05)
    assert predicted.season_sd_mag == 0
    assert predicted.level[4] == "field"
    assert set(predicted.level[15:]) == {"survey"}
    # Visits of the field agree to 0.01 mag; without any the spread of fields counts.
    assert abs(predicted.offset_mag[4] - np.mean(offset[[3, 5]])) < 0.01
    assert predicted.err_mag[15] > 5 * predicted.err_mag[4]


@pytest.mark.parametrize("solved", [1, 2])
def test_few_visits_take_the_spread_that_is_given(solved):
    known = KnownVisits(tuple("abcd"), np.arange(4), np.zeros(4, dtype=np.int64))
    offset = np.array([0.1, 0.3, np.nan, np.nan])
    offset[solved:] = np.nan
    predicted = predict_unobserved_visits(known, offset, np.full(4, 0.003), 0.05)
    assert predicted.offset_mag[3] == pytest.approx(np.mean(offset[:solved]))
    expected = (0.05**2 + 0.003**2) / solved + 0.05**2
    assert predicted.err_mag[3] == pytest.approx(np.sqrt(expected))
    assert predicted.level[3] == "survey"


def test_without_any_solved_visit_it_says_so():
    known = visits(fields=4, seasons=2)
    nothing = np.full(len(known.name), np.nan)
    with pytest.raises(CalibrationError, match="no visit has an offset"):
        predict_unobserved_visits(known, nothing, nothing, 0.05)


def test_a_solved_exposure_of_an_unknown_ccd_is_refused():
    known = KnownVisits(("a",), np.array([0]), np.array([0]))
    one = np.ones(1)
    exposures = SolvedExposures(np.array([0]), np.array([3]), one, one, np.array([5]))
    ccds = CcdParts(CCDS, np.zeros((1, 4)), np.zeros((1, 4)), 0.01)
    with pytest.raises(CalibrationError, match="ccd 3"):
        complete_exposures(known, one, one, exposures, ccds, 0.05)


def table_of(visit, ccd, level=None):
    number = np.zeros(len(ccd))
    levels = np.array(level or ["ccd"] * len(ccd))
    arrays = number, number.copy(), number.copy()
    return ExposureTable(np.array(visit), np.array(ccd), *arrays, levels, np.zeros(len(ccd), int))


def detections(visit, ccd):
    n, zero = len(ccd), np.zeros(len(ccd))
    return Detections.from_columns(
        {
            "visit": visit,
            "band": ["u"] * n,
            "ccd": ccd,
            "file": visit,
            "extension": ccd,
            "row": np.arange(n),
            "ra": zero,
            "dec": zero,
            "mjd": zero,
            "x": zero,
            "y": zero,
            "mag": zero,
            "mag_err": zero,
        }
    )


def test_detections_find_the_row_of_their_exposure():
    table = table_of(["b", "a", "b", "a"], [7, 2, 2, 5])
    asked = detections(["a", "a", "b", "c", "b", "a", "a"], [5, 2, 7, 2, 2, 7, 9])
    # "a" on 7 is no row, although 7 is a CCD of the table; 9 and "c" are unknown.
    assert table.find(asked).tolist() == [3, 1, 0, -1, 2, -1, -1]
    assert table.find(asked.take(np.array([], dtype=np.int64))).tolist() == []
    assert table_of([], []).find(asked).tolist() == [-1] * 7
    assert not table.offset_mag.flags.writeable


def test_a_table_that_contradicts_itself_is_refused():
    with pytest.raises(DataError, match=r"visit 'a', ccd 2 occurs twice"):
        table_of(["a", "b", "a"], [2, 2, 2])
    with pytest.raises(DataError, match="unknown level 'galaxy'"):
        table_of(["a"], [2], ["galaxy"])
    with pytest.raises(DataError, match="differ in length"):
        table_of(["a"], [2, 3])
