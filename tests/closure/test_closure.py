"""Injected offsets come back at the error that the stars of each group allow."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from . import truth
from .conftest import closure_seeds

#: The bound allows a tenth for what all stars of a group share: the model's own error.
BOUND = 1.10


@pytest.fixture(scope="module")
def levels(close):
    """Return errors of each level, pooled over the seeds, and print them."""
    pooled: dict[str, list[truth.Level]] = {"visit": [], "ccd": [], "pixel": []}
    for seed in closure_seeds():
        run, tree = close(seed)
        compared = truth.compare(run, tree)
        pooled["visit"].append(compared.level("visit", ("visit",), ()))
        pooled["ccd"].append(compared.level("ccd", ("visit", "ccd"), ("visit",)))
        pooled["pixel"].append(compared.level("pixel", ("ccd", "x_bin", "y_bin"), ("ccd",)))
        shutil.rmtree(tree)
    return {
        name: truth.Level(
            np.concatenate([one.error_mag for one in many]),
            np.concatenate([one.own_mag for one in many]),
        )
        for name, many in pooled.items()
    }


@pytest.mark.parametrize(
    ("name", "parents"), [("visit", ()), ("ccd", ("visit",)), ("pixel", ("visit", "ccd"))]
)
def test_offsets_reach_the_error_of_their_groups(levels, name, parents, record_property, capsys):
    error = truth.rms(levels[name].error_mag)
    shares = [truth.rms(levels[level].own_mag) for level in (name, *parents)]
    bound = float(np.hypot.reduce(shares))
    record_property("ratio", float(error / bound))
    with capsys.disabled():
        print(
            f"\n  {name}: rms {1000 * error:.2f} mmag, bound {1000 * bound:.2f} mmag,"
            f" ratio {error / bound:.3f}, {len(levels[name].error_mag)} groups,"
            f" {len(closure_seeds())} seed(s)"
        )
    assert error <= BOUND * bound


@pytest.fixture(scope="module")
def quiet(close):
    """Return the comparison of a run without XP noise and extra scatter.

    A third of the usual fields, and no sources besides the stars, have the same law and as many
    stars a visit.
    """
    run, tree = close(
        1,
        "simulation.fields=12",
        "simulation.other_sources=0",
        "simulation.xp_noise=false",
        "simulation.extinction_noise=false",
        "simulation.hidden_scatter=0",
    )
    return truth.compare(run, tree)


def test_without_noise_visit_offsets_are_right_to_2_mmag(quiet):
    assert truth.rms(quiet.level("visit", ("visit",), ()).error_mag) < 0.002


def test_without_noise_the_law_is_right_to_3_per_cent(quiet):
    assert np.abs(quiet.law_error()).max() < 0.03
