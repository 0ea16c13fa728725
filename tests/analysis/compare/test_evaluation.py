"""One colour model put to the test, on stars whose colours are known."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from comparing import FAULTS, Linear, everyone, model

from scrframe.analysis.compare.behaviour import INTERVAL, peak_memory, pickled_mb
from scrframe.analysis.compare.evaluation import (
    evaluate,
    keep_evaluation,
    kept_evaluation,
    trainings,
)
from scrframe.analysis.compare.training_set import Folds, TrainingSet, random_folds
from scrframe.plugin import ColourPrediction, FittedColourModel
from scrframe.scr.training import Trend, TrendSettings

STARS, CONTROL, FEATURES = 900, 600, 6
NOISE_MAG = 0.05


def training(trend: str = "none", seeds: int = 2) -> TrainingSet:
    rng = np.random.default_rng(5)
    features = rng.standard_normal((STARS, FEATURES)).astype(np.float32)
    control = np.sort(rng.choice(STARS, CONTROL, replace=False))
    colour = 0.5 + features[control] @ np.linspace(-0.3, 0.3, FEATURES)
    colour = colour + NOISE_MAG * rng.standard_normal(CONTROL)
    folds = [
        Folds(k, random_folds(CONTROL, 4, k), random_folds(CONTROL, 4, 10 + k))
        for k in range(seeds)
    ]
    settings = TrendSettings(trend, 0.1, 2)
    return TrainingSet(features, control, colour, tuple(folds), settings, 1, 1)


def judged(name, given=None, done=lambda units: None):
    backend = everyone()[name]
    return evaluate(backend, backend.config(), given or training(), done)


def test_held_out_predictions_come_from_the_other_folds_alone():
    given = training()
    found = judged("linear", given).held_out
    assert list(found) == [(kind, k) for k in (0, 1) for kind in ("random", "blocked")]
    rows = given.features[given.control]
    for folds in given.folds:
        for number in range(4):
            kept = (folds.random != number) & (folds.blocked != number)
            others = Linear(rows[kept], given.colour_mag[kept])
            for kind in ("random", "blocked"):
                inside = folds.of(kind) == number
                here = found[kind, folds.seed][inside]
                expected = others.predict(rows[inside]).colour_mag
                np.testing.assert_allclose(here, expected, atol=1e-12)


def test_the_trend_is_taken_out_fold_by_fold():
    given = training(trend="quadratic")
    rows, folds = given.features[given.control], given.folds[0]
    found = judged("linear", given).held_out["random", 0]
    inside, kept = folds.random == 2, (folds.random != 2) & (folds.blocked != 2)
    trend = Trend.on(rows[kept], given.trend).predict(rows, given.colour_mag[kept])
    rest = Linear(rows[kept], given.colour_mag[kept] - trend[kept])
    expected = trend[inside] + rest.predict(rows[inside]).colour_mag
    np.testing.assert_allclose(found[inside], expected, atol=1e-12)


def test_all_stars_are_predicted_the_control_stars_held_out():
    given = training()
    found = judged("linear", given)
    others = np.setdiff1d(np.arange(STARS), given.control)
    final = Linear(given.features[given.control], given.colour_mag)
    expected = final.predict(given.features[others]).colour_mag
    np.testing.assert_allclose(found.colour_mag[others], expected, atol=1e-12)
    np.testing.assert_array_equal(found.colour_mag[given.control], found.held_out["random", 0])


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_named_in_one_line(name):
    found = judged(name)
    assert FAULTS[name] in found.fault
    assert "\n" not in found.fault
    assert found.colour_mag is None


def test_an_exception_deep_inside_a_plugin_is_no_fault_of_others():
    def leaves(*_, **__):
        raise SystemExit(3)

    found = evaluate(
        model("leaves", leaves), everyone()["linear"].config(), training(), lambda _: None
    )
    assert found.fault == "SystemExit: 3"


def test_an_interruption_is_not_taken_for_a_fault():
    def stopped(*_, **__):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(
            model("stopped", stopped), everyone()["linear"].config(), training(), lambda _: None
        )


def test_a_model_that_overwrites_its_input_changes_nobody_elses():
    given = training()
    before = given.features.copy(), given.colour_mag.copy()
    assert judged("wasteful", given).fault is None
    np.testing.assert_array_equal(given.features, before[0])
    np.testing.assert_array_equal(given.colour_mag, before[1])


@pytest.mark.parametrize("name", ["linear", "failing", "bad"])
def test_every_unit_of_work_is_told_whatever_happens(name):
    told = []
    judged(name, done=told.append)
    assert sum(told) == trainings(training())


def test_the_backends_own_errors_are_those_of_the_first_blocked_folds():
    class Sure(Linear):
        def predict(self, features):
            plain = super().predict(features)
            return ColourPrediction(plain.colour_mag, np.full(len(features), len(features) / 1e3))

    def fit(features, colour, weights, config, seed, threads):
        return Sure(features, colour)

    given = training()
    found = evaluate(model("sure", fit), everyone()["linear"].config(), given, lambda _: None)
    folds = given.folds[0]
    asked = [int(((folds.random == k) | (folds.blocked == k)).sum()) for k in range(4)]
    np.testing.assert_array_equal(found.err_mag, np.array(asked)[folds.blocked] / 1e3)


def test_each_seed_of_the_folds_trains_with_its_own_seed():
    seeds = []

    def fit(features, colour, weights, config, seed, threads):
        seeds.append(seed)
        return Linear(features, colour)

    given = replace(training(seeds=3), seed=7)
    evaluate(model("seeded", fit), everyone()["linear"].config(), given, lambda _: None)
    assert set(seeds) == {7, 8, 9}
    assert seeds.count(9) == 4


def test_what_is_kept_comes_back_to_the_bit(tmp_path):
    found = judged("linear")
    keep_evaluation(tmp_path / "one.arrow", found)
    back = kept_evaluation(tmp_path / "one.arrow")
    for key, value in found.held_out.items():
        np.testing.assert_array_equal(back.held_out[key], value)
    np.testing.assert_array_equal(back.colour_mag, found.colour_mag)
    assert back.costs == found.costs
    assert (back.fault, back.notes, back.err_mag) == (None, (), None)
    assert kept_evaluation(tmp_path / "two.arrow") is None


def test_a_fault_is_kept_too(tmp_path):
    keep_evaluation(tmp_path / "one.arrow", judged("nan"))
    back = kept_evaluation(tmp_path / "one.arrow")
    assert FAULTS["nan"] in back.fault
    assert back.held_out == {}


class TestCosts:
    def test_memory_is_what_the_block_holds(self):
        with peak_memory() as peak:
            held = np.ones(25_000_000)  # 200 MB
            time.sleep(10 * INTERVAL)
            del held
        assert 190 < peak.above_start_mb < 300

    def test_size_is_that_of_the_pickle(self):
        import pickle

        made = Linear(np.eye(300), np.arange(300.0))
        assert pickled_mb(made) == len(pickle.dumps(made, protocol=5)) / 1e6

    def test_a_model_that_cannot_be_pickled_has_no_size_and_a_note(self):
        class Unpicklable(FittedColourModel):
            def __init__(self, inner):
                self.inner, self.lock = inner, threading.Lock()

            def predict(self, features):
                return self.inner.predict(features)

        def fit(features, colour, weights, config, seed, threads):
            return Unpicklable(Linear(features, colour))

        found = evaluate(
            model("odd", fit), everyone()["linear"].config(), training(), lambda _: None
        )
        assert found.fault is None
        assert found.costs["size_mb"] is None
        assert found.notes == ("the trained model cannot be pickled",)
