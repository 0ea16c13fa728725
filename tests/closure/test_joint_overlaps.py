"""What overlaps and slopes on the extinction are worth, and how bins fare on a large sample."""

from __future__ import annotations

import numpy as np
import pytest

from . import drawn, joint_fit
from .blup import Predictor
from .conftest import closure_seeds
from .drawn import Spread
from .truth import rms

MORE = len(closure_seeds()) > 1
#: Detectors that are used, to be quick; for the bins with one seed, and otherwise.
CCDS, CCDS_BINS = 8, (4, 32)
#: 2 per cent of the coefficient of the extinction, in mag per mag.
LAW_VARIATION = 0.02 * 1.42


def layout(
    pairs: int, singles: int, density: float, ccds: int = CCDS, **more: float
) -> drawn.Sample:
    """Return the detections on some detectors."""
    whole = drawn.pointings(pairs, singles, density, seed=1, **more)
    return whole.take(np.flatnonzero(whole.ccd < ccds))


@pytest.fixture(scope="module")
def overlapping():
    """Return rms errors of sequential, joint and bound, in mmag, two pointings a field."""
    sample, spread = layout(0, 30, 2100), Spread()
    predictor = Predictor(sample, spread)
    found = []
    for seed in closure_seeds():
        draw = drawn.draw(sample, spread, seed)
        joint = joint_fit.solve(sample, draw, spread).errors(draw)
        means, best = joint_fit.sequential(sample, draw), predictor.errors(draw)
        found.append([rms(each.total) for each in (means, joint, best)])
    return 1000 * np.sqrt(np.mean(np.square(found), axis=0))


def test_two_overlapping_pointings_take_two_fifths_off_the_error(
    overlapping, record_property, capsys
):
    means, joint, best = overlapping
    record_property("share", float(joint / means))
    with capsys.disabled():
        print(
            f"\n  two pointings a field, total: sequential {means:.2f} mmag, joint {joint:.2f},"
            f" bound {best:.2f}, joint / sequential {joint / means:.3f},"
            f" {len(closure_seeds())} seed(s)",
            end="",
        )
    assert joint <= 0.6 * means


@pytest.fixture(scope="module")
def varying_law():
    """Return rms errors of visits, in mmag: sequential, joint without and with slopes, bound."""
    spread = Spread(slope=LAW_VARIATION)
    sample = layout(0, 30, 2100, mean_extinction=1.0)
    predictor = Predictor(sample, spread)
    found = []
    for seed in closure_seeds():
        draw = drawn.draw(sample, spread, seed)
        answers = [joint_fit.solve(sample, draw, spread, slopes=slopes) for slopes in (False, True)]
        each = [joint_fit.sequential(sample, draw), *(answer.errors(draw) for answer in answers)]
        found.append([rms(one.by_group("visit")) for one in [*each, predictor.errors(draw)]])
    return 1000 * np.sqrt(np.mean(np.square(found), axis=0))


def test_slopes_halve_the_error_of_visits_where_the_law_varies(
    varying_law, record_property, capsys
):
    means, without, joint, best = varying_law
    record_property("share", float(joint / means))
    with capsys.disabled():
        print(
            f"\n  law varies by 2 %, visits: sequential {means:.2f} mmag, joint without slopes"
            f" {without:.2f}, joint {joint:.2f}, bound {best:.2f}, joint / sequential"
            f" {joint / means:.3f}, joint / without slopes {joint / without:.3f},"
            f" {len(closure_seeds())} seed(s)",
            end="",
        )
    assert joint <= 0.5 * means
    assert joint <= 0.5 * without


def test_bins_reach_the_bound_on_a_large_sample(record_property, capsys):
    """With 250 detections a bin: a million on the whole camera."""
    sample, spread = layout(12, 26, 11000, CCDS_BINS[MORE]), Spread()
    predictor = Predictor(sample, spread)
    draw = drawn.draw(sample, spread, 1)
    joint = joint_fit.solve(sample, draw, spread).errors(draw).by_group("pixel")
    ratio = rms(joint) / rms(predictor.errors(draw).by_group("pixel"))
    record_property("ratio", float(ratio))
    with capsys.disabled():
        print(
            f"\n  bins: rms {1000 * rms(joint):.2f} mmag, bound {1000 * rms(joint) / ratio:.2f},"
            f" ratio {ratio:.3f}, {len(joint)} bins, {len(sample)} detections",
            end="",
        )
    assert len(sample) >= (1_000_000 if MORE else 120_000)
    assert ratio <= 1.15
