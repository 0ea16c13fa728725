"""HEALPix pixels against identifiers of real Gaia sources."""

from __future__ import annotations

import numpy as np
import pytest

from scrframe.simulate.catalogues import nested_pixel, source_identifiers


@pytest.mark.parametrize(
    ("source_id", "ra_deg", "dec_deg"),
    [
        (5853498713190525696, 217.3923, -62.6761),  # Proxima Centauri
        (4472832130942575872, 269.4486, 4.7394),  # Barnard's star
        (3864972938605115520, 164.1032, 7.0027),  # Wolf 359
        (762815470562110464, 165.8310, 35.9486),  # Lalande 21185
    ],
)
def test_pixel_is_that_of_gaia(source_id: int, ra_deg: float, dec_deg: float) -> None:
    pixel = nested_pixel(np.array([ra_deg]), np.array([dec_deg]), 8)
    assert pixel[0] == source_id >> 43


@pytest.mark.parametrize("level", [0, 3])
def test_pixels_are_complete_and_of_equal_area(level: int) -> None:
    rng = np.random.default_rng(1)
    per_pixel, pixels = 400, 12 * 4**level
    ra = rng.uniform(0, 360, per_pixel * pixels)
    dec = np.rad2deg(np.arcsin(rng.uniform(-1, 1, len(ra))))
    count = np.bincount(nested_pixel(ra, dec, level), minlength=pixels)
    assert len(count) == pixels
    # Poisson scatter about the mean; five sigma over at most 768 pixels.
    assert np.abs(count - per_pixel).max() < 5 * np.sqrt(per_pixel)


def test_children_lie_in_their_parent() -> None:
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(0, 360, 5000), rng.uniform(-90, 90, 5000)
    fine, coarse = nested_pixel(ra, dec, 12), nested_pixel(ra, dec, 5)
    assert np.array_equal(fine >> 14, coarse)


def test_identifiers_are_unique_and_hold_the_pixel() -> None:
    ra = np.array([110.0, 110.0, 110.0, 250.0])
    dec = np.array([2.0, 2.0, 2.0, -40.0])
    identifier = source_identifiers(ra, dec)
    assert len(set(identifier.tolist())) == 4
    assert np.array_equal(identifier >> 35, nested_pixel(ra, dec, 12))
