"""The random forest: accuracy, determinism, and the identities of its smoother."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from pydantic import ValidationError

from scrframe.builtin.colour_models.forest import Grid
from scrframe.builtin.colour_models.random_forest import RandomForestConfig, fit
from scrframe.errors import CalibrationError

NOISE_MAG = 0.05
QUICK = RandomForestConfig(trees=30)


def surface(features: np.ndarray) -> np.ndarray:
    """A smooth colour of two of the features."""
    return np.sin(2 * features[:, 0]) + 0.5 * features[:, 1] ** 2


def stars(n: int, seed: int, noise: float = NOISE_MAG) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.uniform(-1, 1, (n, 12)).astype(np.float32)
    return features, surface(features) + rng.normal(0, noise, n)


@pytest.fixture(scope="module")
def trained():
    features, colour = stars(2000, 1)
    return features, colour, fit(features, colour, None, QUICK, seed=7, threads=2)


def test_recovers_a_smooth_function_within_the_noise():
    config = RandomForestConfig(trees=50, max_features=1.0)
    forest = fit(*stars(5000, 1), None, config, seed=1, threads=2)
    features, _ = stars(2000, 2)
    error = forest.predict(features).colour_mag - surface(features)
    # A constant would miss by the sd of the surface (0.65 mag).
    assert np.std(error) < NOISE_MAG
    assert abs(np.mean(error)) < NOISE_MAG / 10


def test_same_bits_for_any_number_of_threads():
    features, colour = stars(700, 3)
    query, _ = stars(40_001, 4)
    one, two = (fit(features, colour, None, QUICK, 5, threads) for threads in (1, 2))
    assert one.predict(query).colour_mag.tobytes() == two.predict(query).colour_mag.tobytes()
    smooth_one, smooth_two = one.smoother(query), two.smoother(query)
    assert smooth_one.predict(colour).tobytes() == smooth_two.predict(colour).tobytes()
    assert smooth_one.held_out(colour).tobytes() == smooth_two.held_out(colour).tobytes()
    other = fit(features, colour, None, QUICK, 6, 2)
    assert not np.array_equal(other.predict(query).colour_mag, one.predict(query).colour_mag)


def test_a_row_does_not_depend_on_its_neighbours(trained):
    _, _, forest = trained
    query, _ = stars(500, 8)
    colour = forest.predict(query).colour_mag
    order = np.random.default_rng(9).permutation(len(query))
    assert np.array_equal(forest.predict(query[order]).colour_mag, colour[order])
    assert np.array_equal(forest.predict(query[:1]).colour_mag, colour[:1])
    assert forest.predict(query[:0]).colour_mag.shape == (0,)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("steps", [None, 128])
def test_leaf_means_are_those_of_scikit_learn(weighted, steps):
    features, colour = stars(400, 10)
    weights = np.random.default_rng(11).uniform(0.2, 5, 400) if weighted else None
    forest = fit(features, colour, weights, QUICK.model_copy(update={"steps": steps}), 1, 1)
    query, _ = stars(300, 12)
    codes = query if forest.grid is None else forest.grid.round(query)
    library = np.mean([tree.splits.predict(codes) for tree in forest.trees], axis=0)
    assert np.abs(forest.predict(query).colour_mag - library).max() < 1e-12


def test_smoother_agrees_with_the_forest_and_is_linear(trained):
    _, colour, forest = trained
    query, _ = stars(900, 13)
    smoother = forest.smoother(query)
    assert np.abs(smoother.predict(colour) - forest.predict(query).colour_mag).max() < 1e-12
    other = np.random.default_rng(14).normal(size=len(colour))
    mixed = smoother.predict(2 * colour - 3 * other)
    parts = 2 * smoother.predict(colour) - 3 * smoother.predict(other)
    assert np.abs(mixed - parts).max() < 1e-12
    assert np.abs(smoother.predict(np.full(len(colour), 1.25)) - 1.25).max() < 1e-12


def test_smoother_is_a_refit_with_the_same_splits(trained):
    """Colours times a power of two leave the splits alone, so a refit must agree."""
    features, colour, forest = trained
    query, _ = stars(200, 15)
    moved = -4 * colour
    refit = fit(features, moved, None, QUICK, seed=7, threads=2)
    smooth = forest.smoother(query).predict(moved)
    assert np.abs(smooth - refit.predict(query).colour_mag).max() < 1e-12


def test_held_out_uses_no_star_s_own_colour(trained):
    features, colour, forest = trained
    smoother = forest.smoother(features[:1])
    before = smoother.held_out(colour)
    for row in (0, 17, 1999):
        moved = colour.copy()
        moved[row] += 10
        after = smoother.held_out(moved)
        assert after[row] == before[row]
        assert not np.array_equal(after, before)


def test_held_out_sees_no_signal_in_pure_noise():
    features, _ = stars(1500, 16)
    noise = np.random.default_rng(17).normal(size=1500)
    forest = fit(features, noise, None, RandomForestConfig(trees=60), 1, 2)
    held_out = forest.smoother(features[:1]).held_out(noise)
    inside = forest.predict(features).colour_mag
    # The correlation of independent numbers scatters by 1 / sqrt(1500) = 0.026; leaving a
    # star out also moves its leaf's mean away from it, never towards it.
    assert np.corrcoef(held_out, noise)[0, 1] < 0.08
    assert np.corrcoef(inside, noise)[0, 1] > 0.8


def test_held_out_error_is_that_of_new_stars(trained):
    _, colour, forest = trained
    query, truth = stars(2000, 18)
    new = np.std(forest.predict(query).colour_mag - truth)
    held_out = np.std(forest.smoother(query[:1]).held_out(colour) - colour)
    # Fewer trees vote out of bag, so its error is slightly larger.
    assert 0.95 < held_out / new < 1.15


def test_a_star_in_every_bag_falls_back_on_its_leaf_without_it():
    features, colour = stars(300, 19)
    forest = fit(features, colour, None, RandomForestConfig(trees=10), 2, 1)
    always = np.flatnonzero(np.all([tree.bag > 0 for tree in forest.trees], axis=0))
    assert len(always)  # 0.632^10 of 300 stars: about three
    held_out = forest.smoother(features[:1]).held_out(colour)
    for row in always:
        expected = []
        for tree in forest.trees:
            mates = (tree.leaves == tree.leaves[row]) & (np.arange(300) != row)
            expected.append(np.average(colour[mates], weights=tree.bag[mates]))
        assert held_out[row] == pytest.approx(np.mean(expected), abs=1e-12)


def test_a_star_alone_in_all_its_leaves_gets_the_mean_of_the_others():
    features, colour = stars(300, 19)
    config = RandomForestConfig(trees=10, min_samples_leaf=1)
    forest = fit(features, colour, None, config, 2, 1)
    always = np.flatnonzero(np.all([tree.bag > 0 for tree in forest.trees], axis=0))
    assert len(always)
    others = (colour.sum() - colour[always]) / 299
    held_out = forest.smoother(features[:1]).held_out(colour)[always]
    assert held_out == pytest.approx(others, abs=1e-12)


def test_weights_count():
    features, colour = stars(600, 20)
    shifted = np.r_[colour, colour + 1]
    both = np.r_[features, features]
    weights = np.r_[np.ones(600), np.zeros(600)]
    forest = fit(both, shifted, weights, QUICK, 1, 1)
    plain = fit(features, colour, None, QUICK, 1, 1)
    query, _ = stars(100, 21)
    # Stars without weight are as good as absent, up to the random choice of features.
    assert abs(np.mean(forest.predict(query).colour_mag - plain.predict(query).colour_mag)) < 0.02
    # Leaves of 40 stars, so that nearly all hold both kinds in proportion.
    broad = QUICK.model_copy(update={"min_samples_leaf": 40})
    ones, nines = np.ones(600), np.full(600, 9)
    equal = fit(both, shifted, np.r_[ones, ones], broad, 1, 1).predict(query).colour_mag
    heavy = fit(both, shifted, np.r_[ones, nines], broad, 1, 1).predict(query).colour_mag
    assert np.mean(heavy - equal) == pytest.approx(0.4, abs=0.02)


def test_pickling_keeps_predictions(trained):
    _, colour, forest = trained
    query, _ = stars(100, 22)
    again = pickle.loads(pickle.dumps(forest))
    assert np.array_equal(again.predict(query).colour_mag, forest.predict(query).colour_mag)
    smoother = pickle.loads(pickle.dumps(forest.smoother(query)))
    assert np.array_equal(smoother.predict(colour), forest.predict(query).colour_mag)


def test_leaf_numbers_are_compact(trained):
    _, _, forest = trained
    query, _ = stars(1000, 23)
    smoother = forest.smoother(query)
    assert smoother.leaves.shape == (30, 1000)
    assert smoother.leaves.dtype == np.uint16
    assert max(tree.splits.get_n_leaves() for tree in forest.trees) > 255


def test_grid_keeps_order_and_tails():
    rng = np.random.default_rng(24)
    values = np.sort(rng.normal(size=(5000, 1)), axis=0).astype(np.float32)
    values[-1] = 40  # far outside, still a step of its own
    codes = Grid.of(values, 64).round(values)[:, 0]
    assert (np.diff(codes) >= 0).all()
    assert codes[-1] > codes[-2] + 100
    middle = (values > np.quantile(values, 0.01)) & (values < np.quantile(values, 0.99))
    assert len(np.unique(codes[middle[:, 0]])) == 64
    constant = np.full((10, 1), 3, dtype=np.float32)
    assert np.array_equal(Grid.of(constant, 64).round(constant), np.zeros((10, 1)))


def test_bad_input_gets_one_clear_line(trained):
    features, colour, forest = trained
    with pytest.raises(CalibrationError, match="trained on 12 features"):
        forest.predict(features[:, :5])
    with pytest.raises(CalibrationError, match="trained on 12 features"):
        forest.smoother(features[:, :5])
    broken = features[:50].copy()
    broken[3, 2] = np.nan
    for call in (forest.predict, forest.smoother):
        with pytest.raises(CalibrationError, match="1 of 50 stars have features that are not"):
            call(broken)
    with pytest.raises(CalibrationError, match="1 of 50 stars"):
        fit(broken, colour[:50], None, QUICK, 1, 1)
    with pytest.raises(CalibrationError, match="colours hold values that are not finite"):
        fit(features, np.where(np.arange(2000) == 5, np.nan, colour), None, QUICK, 1, 1)
    with pytest.raises(CalibrationError, match="weights hold values that are negative"):
        fit(features, colour, -np.ones(2000), QUICK, 1, 1)
    with pytest.raises(CalibrationError, match=r"only 4 stars .* at least 6"):
        fit(features[:4], colour[:4], None, QUICK, 1, 1)
    with pytest.raises(CalibrationError, match="cannot train on features of shape"):
        fit(features, colour[:-1], None, QUICK, 1, 1)
    smoother = forest.smoother(features[:1])
    with pytest.raises(CalibrationError, match="trained on colours of shape"):
        smoother.predict(colour[:-1])
    with pytest.raises(CalibrationError, match="not finite"):
        smoother.held_out(np.full(2000, np.nan))


@pytest.mark.parametrize(
    "setting", [{"trees": 5}, {"max_features": 0}, {"max_features": "log2"}, {"tree": 50}]
)
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ValidationError):
        RandomForestConfig(**setting)


@pytest.mark.parametrize(
    "setting",
    [{"max_features": "sqrt"}, {"max_depth": 4}, {"bootstrap_fraction": 0.3}, {"steps": None}],
)
def test_every_setting_changes_the_forest(setting, trained):
    features, colour, forest = trained
    other = fit(features, colour, None, QUICK.model_copy(update=setting), 7, 2)
    assert not np.array_equal(
        other.predict(features).colour_mag, forest.predict(features).colour_mag
    )


def test_error_is_the_scatter_of_the_stars_in_the_leaves(trained):
    features, colour, forest = trained
    query, _ = stars(400, 25)
    assert forest.predict(query).err_mag is None
    told = fit(features, colour, None, QUICK.model_copy(update={"errors": True}), 7, 2)
    found = told.predict(query)
    assert np.array_equal(found.colour_mag, forest.predict(query).colour_mag)
    codes = told.grid.round(query)
    for row in (0, 399):
        share = np.zeros(len(colour))  # weight of each training star in the prediction
        for tree in told.trees:
            mass = tree.bag * (tree.leaves == tree.find(codes)[row])
            share += mass / mass.sum() / len(told.trees)
        spread = np.average((colour - share @ colour) ** 2, weights=share)
        assert found.err_mag[row] == pytest.approx(np.sqrt(spread), rel=1e-9)


def test_error_covers_new_observations_where_there_is_only_noise():
    features, _ = stars(2000, 26)
    noise = np.random.default_rng(27).normal(0, 0.2, 4000)
    config = QUICK.model_copy(update={"errors": True})
    found = fit(features, noise[:2000], None, config, 7, 2).predict(stars(2000, 28)[0])
    pull = (found.colour_mag - noise[2000:]) / found.err_mag
    # Predictions scatter by a fifth of the noise, which is missing in the leaves:
    # sqrt((1 + 0.04) / (1 - 0.04)) = 1.04. The sd of 2000 pulls is known to 1.6 per cent.
    assert np.std(pull) == pytest.approx(1.04, abs=0.05)


def test_an_engine_of_old_descriptions_is_warned_of_and_not_used(trained):
    features, colour, forest = trained
    with pytest.warns(FutureWarning, match=r"random_forest\.engine: intelex is no longer used"):
        config = type(QUICK).model_validate(QUICK.model_dump() | {"engine": "intelex"})
    found = fit(features, colour, None, config, 7, 2).predict(features[:50]).colour_mag
    assert found.tobytes() == forest.predict(features[:50]).colour_mag.tobytes()
