"""Results go to plain JSON and back, and to rows of one shape."""

import json

import numpy as np
import pytest

from scrframe.analysis.compare.behaviour import Costs
from scrframe.analysis.compare.result import (
    BackendResult,
    BackendScores,
    Comparison,
    Difference,
    OffsetError,
    Pair,
)
from scrframe.analysis.compare.scores import binned, coverage, disperse
from scrframe.products.files import to_json


def figures(seed):
    rng = np.random.default_rng(seed)
    observed = rng.normal(size=300)
    predicted = observed + rng.normal(0, 0.1, (2, 300))
    residual = predicted - observed
    return BackendScores(
        disperse(predicted, observed),
        tuple(disperse(one, observed) for one in predicted),
        {"extinction": binned(residual, rng.uniform(size=300), "extinction")},
        coverage(residual, np.full_like(residual, 0.1)),
    )


def comparison():
    apart = Difference(-0.01, -0.02, -0.005, "better")
    good = BackendResult(
        "good",
        "A model.",
        "1.0",
        {"trees": 100, "depth": None, "rates": [0.1, 0.2]},
        chosen={"trees": 50},
        notes=("searched 12 settings",),
        folds={"random": figures(1), "blocked": figures(2)},
        offsets={"visit": OffsetError("visit", 0.002, 40)},
        against_reference={"blocked_sd": apart},
    )
    plain = BackendResult("plain", folds={"random": figures(3)})
    broken = BackendResult("broken", fault="predicts values that are not finite")
    return Comparison(
        "mine",
        "u",
        "plain",
        (1, 2),
        5,
        300,
        True,
        "simulated",
        (good, plain, broken),
        (("good",), ("plain",)),
        (Pair("good", "plain", apart),),
    )


def test_json_is_strict_and_comes_back_the_same():
    text = json.dumps(comparison().to_json(), allow_nan=False)
    again = Comparison.from_json(json.loads(text))
    assert json.dumps(again.to_json(), allow_nan=False) == text
    trend = again.backends[0].folds["blocked"].trends["extinction"]
    expected = comparison().backends[0].folds["blocked"].trends["extinction"]
    np.testing.assert_array_equal(trend.mean_mag, expected.mean_mag)
    assert trend.count.dtype == np.int64
    assert trend.rms_mag == expected.rms_mag
    assert again.backends[0].against_reference == comparison().backends[0].against_reference
    assert again.backends[0].settings == comparison().backends[0].settings
    assert (again.ranking, again.pairs) == (comparison().ranking, comparison().pairs)
    assert again.backends[2].fault == "predicts values that are not finite"


def test_numbers_that_are_not_finite_are_null_and_come_back_as_nan():
    empty = BackendScores(disperse(np.full(2, np.nan), np.zeros(2)))
    one = BackendResult("x", folds={"random": empty})
    made = Comparison("s", "u", "x", (1,), 2, 2, False, "", (one,))
    plain = json.loads(json.dumps(made.to_json(), allow_nan=False))
    assert plain["backends"][0]["folds"]["random"]["dispersion"]["sd_mag"] is None
    again = Comparison.from_json(plain)
    assert np.isnan(again.backends[0].folds["random"].dispersion.sd_mag)
    assert again.backends[0].folds["random"].coverage is None


def test_rows_have_the_same_keys_and_say_what_is_missing():
    rows = comparison().rows()
    assert [row["backend"] for row in rows] == ["good", "plain", "broken"]
    assert [row["rank"] for row in rows] == [1, 2, 0]
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    assert rows[0]["blocked_sd_mag"] == figures(2).dispersion.sd_mag
    assert rows[0]["diff_blocked_sd_verdict"] == "better"
    assert rows[0]["offset_visit_count"] == 40
    assert rows[0]["random_trend_extinction_rms_mag"] == pytest.approx(
        figures(1).trends["extinction"].rms_mag
    )
    by_seed = [one.sd_mag for one in figures(1).by_seed]
    assert rows[0]["random_sd_between_seeds_mag"] == pytest.approx(np.std(by_seed, ddof=1))
    assert np.isnan(rows[2]["blocked_sd_mag"])
    assert (rows[1]["offset_visit_count"], rows[1]["diff_blocked_sd_verdict"]) == (0, "")
    types = [{key: type(value) for key, value in row.items()} for row in rows]
    assert types[0] == types[1] == types[2]


def test_another_backend_changes_no_row_of_the_others():
    whole = comparison()
    fewer = Comparison.from_json(
        whole.to_json() | {"backends": [to_json(one) for one in whole.backends[:2]]}
    )
    for row, one in zip(fewer.rows(), whole.rows()[:2], strict=True):
        np.testing.assert_equal(row, one)


def test_costs_come_back():
    costs = Costs("good", 1.5, 4e5, float("nan"), 3.0)
    again = Costs.from_json(json.loads(json.dumps(costs.to_json(), allow_nan=False)))
    assert (again.backend, again.fit_s, again.predict_per_s) == ("good", 1.5, 4e5)
    assert np.isnan(again.peak_memory_mb)
