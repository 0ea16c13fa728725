"""Groups and bins: who belongs where, and that they survive being stored."""

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from scrframe.builtin.offset_levels.keys import GroupConfig, prepare_group, restore_group
from scrframe.builtin.offset_levels.maps import BinConfig, bin_count, prepare_bin, restore_bin
from scrframe.errors import ConfigError


@pytest.mark.parametrize(
    ("extent", "size", "count"),
    [(4100, 256, 16), (2048, 256, 8), (4100 + 124, 256, 17), (4100 + 123, 256, 16), (10, 256, 1)],
)
def test_a_last_bin_narrower_than_half_a_bin_joins_its_neighbour(extent, size, count):
    assert bin_count(extent, size) == count


def test_groups_are_the_combinations_that_occur(table, matched):
    level = prepare_group(
        "ccd", matched(table(["b", "a", "b"], [2, 1, 2])), GroupConfig(by=("visit", "ccd"))
    )
    assert level.labels().to_pydict() == {"visit": ["a", "b"], "ccd": [1, 2]}
    other = table(["a", "b", "a", "c"], [1, 2, 2, 1])
    assert level.design(other).partition().tolist() == [0, 1, -1, -1]


def test_a_stored_group_level_is_the_same(table, matched):
    rng = np.random.default_rng(1)
    detections = table([f"v{n}" for n in rng.integers(0, 9, 200)], rng.integers(1, 33, 200))
    config = GroupConfig(by=("visit", "ccd"))
    level = prepare_group("ccd", matched(detections), config)
    again = restore_group("ccd", level.labels(), level.state(), config)
    assert again.labels().equals(level.labels())
    expected = level.design(detections).partition()
    np.testing.assert_array_equal(again.design(detections).partition(), expected)
    assert expected.min() == 0


def test_bins_follow_the_pixel_convention(table, matched):
    # The first pixel's centre is 1, its edges 0.5 and 1.5.
    x = np.array([0.5, 256.49, 256.5, 4095.0, 4096.5, 4100.5])
    detections = table(["v"] * 6, [1] * 6, x=np.ones(6), y=x)
    config = BinConfig(by=("ccd",), size="256 pix", extent=("2048 pix", "4100 pix"))
    level = prepare_bin("pixel", matched(detections), config)
    labels = level.labels().to_pydict()
    column = level.design(detections).partition()
    assert [labels["y_bin"][c] for c in column] == [0, 0, 1, 15, 15, 15]
    assert [labels["x_bin"][c] for c in column] == [0] * 6
    assert [labels["y_low_pix"][c] for c in column][2] == 256.5


def test_bins_are_within_their_edges_and_survive_being_stored(table, matched):
    rng = np.random.default_rng(2)
    n = 5000
    detections = table(
        ["v"] * n, rng.integers(1, 33, n), rng.uniform(0.5, 2048.5, n), rng.uniform(0.5, 4100.5, n)
    )
    config = BinConfig(by=("ccd",), size="256 pix")
    level = prepare_bin("pixel", matched(detections), config)
    labels, column = level.labels(), level.design(detections).partition()
    assert labels.num_rows == 32 * 8 * 16
    low = labels.column("x_low_pix").to_numpy()[column]
    assert np.all((detections["x"] >= low) & (detections["x"] < low + 256))
    np.testing.assert_array_equal(labels.column("ccd").to_numpy()[column], detections["ccd"])
    again = restore_bin("pixel", labels, level.state(), config)
    np.testing.assert_array_equal(again.design(detections).partition(), column)


def test_a_detection_without_a_position_has_no_bin(table, matched):
    detections = table(["v", "v"], [1, 1], x=[np.nan, 3.0], y=[5.0, 5.0])
    level = prepare_bin("pixel", matched(detections), BinConfig())
    assert level.design(detections).partition().tolist() == [-1, 0]


def test_a_group_that_varies_within_an_exposure_says_so(table, matched):
    sample = matched(table(["v", "v"], [1, 1], classification=[-1, -2], season=[2011, 2011]))
    for by, varies in {
        ("visit", "ccd"): False,
        ("season",): False,
        ("classification",): True,
    }.items():
        assert prepare_group("g", sample, GroupConfig(by=by)).within_exposure is varies


def test_a_nuisance_group(table, matched):
    level = prepare_group(
        "g", matched(table(["v"], [1])), GroupConfig(by=("ccd",), role="nuisance")
    )
    assert level.role == "nuisance"
    assert GroupConfig(by=("ccd",)).role == "correction"


def test_a_missing_value_is_no_key(table, matched):
    season = pa.array([2011, None, 2013], type=pa.int32())
    detections = table(["v"] * 3, [1] * 3, season=season, seeing=[np.nan, 0.5, 0.7])
    level = prepare_group("g", matched(detections), GroupConfig(by=("season",)))
    assert level.labels().to_pydict() == {"season": [2011, 2013]}
    assert level.design(detections).partition().tolist() == [0, -1, 1]
    level = prepare_group("g", matched(detections), GroupConfig(by=("seeing",)))
    assert level.labels().to_pydict() == {"seeing": [0.5, 0.7]}
    assert level.design(detections).partition().tolist() == [-1, 0, 1]


def test_a_key_that_is_no_column_is_an_error(table, matched):
    with pytest.raises(ConfigError, match='unknown column "visitt"; did you mean "visit"'):
        prepare_group("g", matched(table(["v"], [1])), GroupConfig(by=("visitt",)))


@pytest.mark.parametrize("settings", [{"by": []}, {"by": ["ccd"], "role": "none"}, {}])
def test_settings_of_groups_that_are_refused(settings):
    with pytest.raises(ValidationError):
        GroupConfig.model_validate(settings)
