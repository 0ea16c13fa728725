"""The search for settings: judged by planted optima, by scikit-learn, and by whole runs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from pydantic import model_validator
from sklearn.linear_model import Ridge
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

import scrframe
from scrframe.config.plugin_blocks import SearchSettings
from scrframe.errors import CalibrationError
from scrframe.plugin import (
    ColourModel,
    ColourPrediction,
    FittedColourModel,
    PluginConfig,
    load_registry,
)
from scrframe.run.hyperparameters import search_folds, search_settings
from scrframe.scr.training import TrendSettings

STARS = 900


@pytest.fixture(scope="module")
def stars():
    rng = np.random.default_rng(4)
    features = rng.normal(size=(STARS, 5)).astype(np.float32)
    colour = np.sin(features[:, 0]) + features[:, 1] + rng.normal(0, 0.1, STARS)
    return features, colour


class Settings(PluginConfig):
    depth: int = 1
    wrong_mag: float = 0.0

    @model_validator(mode="after")
    def _agree(self):
        if self.depth > 7 and self.wrong_mag > 0:
            raise ValueError("is too deep to be wrong")
        return self


@dataclass
class Fits:
    """A decision tree whose predictions are wrong by a known amount; notes its trainings."""

    seen: list = field(default_factory=list)

    def __call__(self, features, colour_mag, weights, config, seed, threads):
        self.seen.append((config, features[:, 0].copy()))
        tree = DecisionTreeRegressor(max_depth=config.depth, random_state=seed)
        return Fitted(tree.fit(features, colour_mag), config.wrong_mag)


@dataclass
class Fitted(FittedColourModel):
    tree: DecisionTreeRegressor
    wrong_mag: float

    def predict(self, features):
        sign = np.where(np.arange(len(features)) % 2, 1, -1)
        return ColourPrediction(self.tree.predict(features) + sign * self.wrong_mag)


class Nothing(FittedColourModel):
    """Predicts one number."""

    def __init__(self, value):
        self.value = value

    def predict(self, features):
        return ColourPrediction(np.full(len(features), self.value))


def backend(fit):
    return ColourModel(name="tree", summary="", version="1", config=Settings, fit=fit)


def look(stars, search, config=None, fit=None, **more):
    fits = fit or Fits()
    found = search_settings(
        backend(fits),
        config or Settings(),
        search,
        *stars,
        search_folds(STARS, search),
        seed=1,
        threads=1,
        **more,
    )
    return *found, fits


def over(**values):
    return SearchSettings(over={"tree": values}, min_stars=50)


def test_a_planted_optimum_is_found(stars):
    search = over(wrong_mag=[0.3, 0.1, 0.2, 0.0, 0.4]).model_copy(update={"candidates": 5})
    config, record, _ = look(stars, search, Settings(wrong_mag=0.5, depth=4))
    assert config == Settings(wrong_mag=0.0, depth=4)
    assert record["chosen"] == {"wrong_mag": 0.0}
    # Wrong by 0.5 mag with alternating sign adds just that in squares, but for the chance
    # agreement with the tree's own errors: 2 * 0.5 * 0.4 / sqrt(900), five sigma.
    excess = record["sd_as_described_mag"] ** 2 - record["sd_mag"] ** 2
    assert excess == pytest.approx(0.25, abs=5 * 2 * 0.5 * 0.4 / 30)


@pytest.mark.parametrize("depth", [1, 3, 6])
def test_a_candidate_is_judged_as_an_independent_cross_validation_judges(stars, depth):
    features, colour = stars
    search = over(depth=[depth])
    _, record, _ = look(stars, search, Settings(depth=2))
    tree = DecisionTreeRegressor(max_depth=depth, random_state=1)
    split = PredefinedSplit(search_folds(STARS, search))
    expected = np.std(colour - cross_val_predict(tree, features, colour, cv=split))
    tried = {
        each["values"].get("depth", 2): each["sd_mag"] for each in record["rounds"][-1]["tried"]
    }
    # The same trees, grown on the same rows in the same order.
    assert tried[depth] == pytest.approx(expected, rel=1e-12)


def test_the_trend_is_that_of_a_ridge_regression_fold_by_fold(stars):
    features, colour = stars
    search = over(depth=[1])
    _, record, _ = look(
        stars, search, fit=lambda *_, **__: Nothing(0.0), trend=TrendSettings("linear", ridge=0.1)
    )
    ridge = make_pipeline(StandardScaler(), Ridge(0.1))
    split = PredefinedSplit(search_folds(STARS, search))
    predicted = cross_val_predict(ridge, features.astype(float), colour, cv=split)
    # Two solvers of the same well-conditioned normal equations.
    assert record["sd_mag"] == pytest.approx(np.std(colour - predicted), rel=1e-9)


def test_stars_grow_and_candidates_shrink(stars):
    search = over(depth=[1, 2, 3], wrong_mag=[0.0, 0.1, 0.2])
    _, record, fits = look(stars, search, Settings(depth=5))
    rounds = record["rounds"]
    assert [this["stars"] for this in rounds] == [300, 900]
    assert [len(this["tried"]) for this in rounds] == [10, 4]
    first = [each["sd_mag"] for each in rounds[0]["tried"][1:]]
    kept = [rounds[0]["tried"][1 + place]["values"] for place in np.argsort(first)[:3]]
    assert [each["values"] for each in rounds[1]["tried"][1:]] == kept
    # 14 candidates in three folds, each training on two thirds of its round's stars.
    assert len(fits.seen) == 14 * 3
    fold, label = search_folds(STARS, search), stars[0][:, 0]
    trained = [np.isin(label, rows) for _, rows in fits.seen]
    for number, mask in enumerate(trained):
        assert not (mask & (fold == number % 3)).any()
    small, large = trained[0], trained[30]
    assert not (small & ~large).any()
    assert large.sum() == (fold != 0).sum()
    assert 150 < small.sum() < 250


def test_few_stars_all_train_from_the_first_round(stars):
    search = over(depth=[1, 2, 3], wrong_mag=[0.0, 0.1]).model_copy(update={"min_stars": 5000})
    _, record, _ = look(stars, search)
    assert {this["stars"] for this in record["rounds"]} == {STARS}


def test_what_is_described_stays_where_nothing_is_better(stars):
    described = Settings(depth=5)
    config, record, _ = look(stars, over(wrong_mag=[0.2, 0.1]), described)
    assert config is described
    assert record["chosen"] == {"wrong_mag": 0.0}
    assert record["sd_mag"] == record["sd_as_described_mag"]


def test_a_backend_that_is_not_named_is_not_trained(stars):
    described, search = Settings(), SearchSettings(over={"other": {"depth": [1]}})
    config, record, fits = look(stars, search, described)
    assert config is described
    assert (record, fits.seen) == ({}, [])


def test_same_seed_same_search_and_another_draws_others(stars):
    search = over(depth=list(range(1, 8)), wrong_mag=[0.0, 0.01, 0.02, 0.03])
    first, again = (look(stars, search)[1] for _ in range(2))
    other = look(stars, search.model_copy(update={"seed": 2}))[1]
    assert first == again
    tried = [[each["values"] for each in this["rounds"][0]["tried"]] for this in (first, other)]
    assert len(tried[0]) == 10
    assert len({tuple(each.items()) for each in tried[0]}) == 10
    assert tried[0] != tried[1]


def test_combinations_that_the_backend_refuses_are_left_out(stars):
    search = over(depth=[3, 9], wrong_mag=[0.0, 0.1])
    _, record, fits = look(stars, search)
    assert record["refused"] == 1
    assert Settings.model_construct(depth=9, wrong_mag=0.1) not in [each for each, _ in fits.seen]
    with pytest.raises(CalibrationError, match=r"over\.tree: .* every combination.*too deep"):
        look(stars, over(depth=[8, 9], wrong_mag=[0.1, 0.2]))


def test_predictions_that_are_not_finite_are_refused(stars):
    with pytest.raises(CalibrationError, match="'tree' predicted colours that are not finite"):
        look(stars, over(depth=[2]), fit=lambda *_, **__: Nothing(np.nan))


@pytest.mark.parametrize(
    ("name", "few", "over"),
    [
        ("random_forest", {"trees": 10}, {"min_samples_leaf": [2, 5, 20]}),
        ("lightgbm", {"num_trees": 10}, {"num_leaves": [2, 5, 20]}),
    ],
)
def test_the_same_bits_for_any_threads(stars, name, few, over):
    model = load_registry().get(ColourModel, name)
    search = SearchSettings(over={name: over}, min_stars=200)
    fold = search_folds(STARS, search)
    one, two = (
        search_settings(model, model.config(**few), search, *stars, fold, 1, threads)
        for threads in (1, 2)
    )
    assert one == two


def calibrate(tiny, out, *changes, workers=1):
    survey = scrframe.load_survey(
        tiny.description,
        overrides=[*tiny.changes, "offsets.mode=sequential", "offsets.max_rounds=2", *changes],
    )
    return scrframe.calibrate(survey, data=tiny.data, out=out, workers=workers)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_run_with_a_search_is_one_with_what_it_chose(tiny_survey, tmp_path):
    forest = "colour_model.kind=random_forest"
    wanted = (
        forest,
        "colour_model.search.over={random_forest: {min_samples_leaf: [1, 10, 30]}}",
        "colour_model.search.min_stars=200",
    )
    searched = calibrate(tiny_survey, tmp_path / "searched", *wanted)
    record = searched.summary["colour_model"]["search"]
    assert record["chosen"]["min_samples_leaf"] != 3
    assert record["sd_mag"] < record["sd_as_described_mag"]
    assert searched.solution.provenance["search"] == record["chosen"]
    told = f"colour_model.random_forest.min_samples_leaf={record['chosen']['min_samples_leaf']}"
    plain = calibrate(tiny_survey, tmp_path / "plain", forest, told, workers=2)
    assert digest(searched.path / "stars.parquet") == digest(plain.path / "stars.parquet")
    assert "search" not in plain.summary["colour_model"]
    assert "search" not in plain.solution.provenance
