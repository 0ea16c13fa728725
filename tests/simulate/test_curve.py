"""The extended curve and the variation of the law."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scrframe.simulate.library import BP_NM, U_NM, law_tilt, load_library

GRID = np.arange(392.0, 1000.0, 10.0)


def test_extension_keeps_the_curve_and_joins_it(curve: Callable[..., Any]) -> None:
    extended = load_library().extended(curve)
    np.testing.assert_array_equal(extended(GRID), curve(GRID))
    inside = np.abs(np.diff(curve(np.arange(392.0, 993.0)))).max()
    for beyond in (np.arange(336.0, 393.0), np.arange(992.0, 1021.0)):
        steps = np.diff(extended(beyond))
        assert (steps < 0).all()
        assert np.abs(steps).max() < 2 * inside


def test_extension_gives_the_reddening_of_the_u_band(curve: Callable[..., Any]) -> None:
    extended = load_library().extended(curve)
    # 1.39 for the curve that extends it; joined to this one at 392 nm it comes out lower.
    slope = float(np.subtract(*extended(np.array([354.0, 511.0]))))
    assert slope == pytest.approx(1.39, abs=0.15)


def test_variation_of_the_law_leaves_e_and_changes_the_colour(curve: Callable[..., Any]) -> None:
    k, slope, epsilon = curve(GRID), 1.45, 0.02
    a, b = law_tilt(k, GRID, slope)
    varied = k * (1 + epsilon * (a / GRID + b))
    # A fit of the mean curve and a free brightness to the absorption of E = 1.
    fitted = np.linalg.lstsq(np.stack([k, np.ones_like(k)], axis=1), varied, rcond=None)[0]
    assert fitted[0] == pytest.approx(1.0, abs=1e-12)
    k_bp = np.interp(BP_NM, GRID, k)
    tilt = [a / nm + b for nm in (U_NM, BP_NM)]
    colour = (k_bp + slope) * (1 + epsilon * tilt[0]) - k_bp * (1 + epsilon * tilt[1])
    assert colour == pytest.approx(slope * (1 + epsilon), rel=1e-12)
