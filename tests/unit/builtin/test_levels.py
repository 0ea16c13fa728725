"""Groups and bins: who belongs where, and that they survive being stored."""

import numpy as np
import pytest

from scrframe.builtin.levels import (
    BinConfig,
    GroupConfig,
    bin_count,
    prepare_bin,
    prepare_group,
    restore_bin,
    restore_group,
)
from scrframe.tables import Detections, MatchedStars


def table(visit, ccd, x=None, y=None):
    n = len(visit)
    ones = np.ones(n)
    return Detections.from_columns(
        {
            "visit": visit, "band": ["u"] * n, "ccd": ccd, "file": ["f"] * n,
            "extension": ccd, "row": np.arange(n), "ra": ones, "dec": ones, "mjd": ones,
            "x": ones if x is None else x, "y": ones if y is None else y,
            "mag": ones, "mag_err": ones,
        }
    )  # fmt: skip


def matched(detections):
    zero = np.zeros(len(detections), dtype=np.int64)
    return MatchedStars(detections, detections, zero, np.zeros((1, 1), np.float32), zero == 1)


@pytest.mark.parametrize(
    ("extent", "size", "count"),
    [(4100, 256, 16), (2048, 256, 8), (4100 + 124, 256, 17), (4100 + 123, 256, 16), (10, 256, 1)],
)
def test_a_last_bin_narrower_than_half_a_bin_joins_its_neighbour(extent, size, count):
    assert bin_count(extent, size) == count


def test_groups_are_the_combinations_that_occur():
    level = prepare_group(
        "ccd", matched(table(["b", "a", "b"], [2, 1, 2])), GroupConfig(by=("visit", "ccd"))
    )
    assert level.labels().to_pydict() == {"visit": ["a", "b"], "ccd": [1, 2]}
    other = table(["a", "b", "a", "c"], [1, 2, 2, 1])
    assert level.design(other).partition().tolist() == [0, 1, -1, -1]


def test_a_stored_group_level_is_the_same():
    rng = np.random.default_rng(1)
    detections = table([f"v{n}" for n in rng.integers(0, 9, 200)], rng.integers(1, 33, 200))
    config = GroupConfig(by=("visit", "ccd"))
    level = prepare_group("ccd", matched(detections), config)
    again = restore_group("ccd", level.labels(), level.state(), config)
    assert again.labels().equals(level.labels())
    expected = level.design(detections).partition()
    np.testing.assert_array_equal(again.design(detections).partition(), expected)
    assert expected.min() == 0


def test_bins_follow_the_pixel_convention():
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


def test_bins_are_within_their_edges_and_survive_being_stored():
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


def test_a_detection_without_a_position_has_no_bin():
    detections = table(["v", "v"], [1, 1], x=[np.nan, 3.0], y=[5.0, 5.0])
    level = prepare_bin("pixel", matched(detections), BinConfig())
    assert level.design(detections).partition().tolist() == [-1, 0]
