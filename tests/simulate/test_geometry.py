"""Projection and camera against astropy's WCS."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS

from scrframe.simulate.detections import on_detectors
from scrframe.statistics.sky import to_plane, to_sky
from scrframe.tables import Camera

CENTRES = [(0.05, -3.0), (110.0, 2.0), (250.0, -62.0)]


def tan_wcs(ra: float, dec: float, scale: float, crpix: tuple[float, float], x_sign: int) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = [ra, dec], list(crpix)
    wcs.wcs.cdelt = [x_sign * scale, scale]
    return wcs


@pytest.mark.parametrize("centre", CENTRES)
def test_projection_is_astropys(centre: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    xi, eta = rng.uniform(-1, 1, (2, 500))
    ra, dec = to_sky(xi, eta, *centre)
    expected = tan_wcs(*centre, 1.0, (1.0, 1.0), 1).all_pix2world(xi, eta, 0)
    # 1e-9 deg is 4 micro-arcseconds: rounding.
    np.testing.assert_allclose(np.mod(ra, 360), np.mod(expected[0], 360), atol=1e-9)
    np.testing.assert_allclose(dec, expected[1], atol=1e-9)
    np.testing.assert_allclose(to_plane(ra, dec, *centre), (xi, eta), atol=1e-9)


@pytest.mark.parametrize("centre", CENTRES)
def test_detectors_are_where_a_wcs_of_each_puts_them(
    centre: tuple[float, float], camera: Camera
) -> None:
    rng = np.random.default_rng(2)
    wide, high = camera.half_extent()
    ra, dec = to_sky(rng.uniform(-wide, wide, 3000), rng.uniform(-high, high, 3000), *centre)
    index, place, x, y = on_detectors(camera, ra, dec, *centre)
    assert len(np.unique(index)) == len(index)
    scale = camera.pixel_scale_arcsec / 3600
    seen = 0
    for number in range(len(camera.ccd)):
        # The pointing in pixels of this detector.
        crpix = (
            (camera.nx + 1) / 2 - camera.x_sign * camera.xi_deg[number] / scale,
            (camera.ny + 1) / 2 - camera.y_sign * camera.eta_deg[number] / scale,
        )
        pixel = tan_wcs(*centre, scale, crpix, camera.x_sign).all_world2pix(ra, dec, 1)
        inside = np.flatnonzero(
            (pixel[0] >= 0.5)
            & (pixel[0] < camera.nx + 0.5)
            & (pixel[1] >= 0.5)
            & (pixel[1] < camera.ny + 0.5)
        )
        mine = place == number
        assert np.array_equal(np.sort(index[mine]), inside)
        np.testing.assert_allclose(x[mine], pixel[0][index[mine]], atol=1e-6)
        np.testing.assert_allclose(y[mine], pixel[1][index[mine]], atol=1e-6)
        seen += len(inside)
    assert seen == len(index) > 2000


def test_pixels_and_plane_are_inverse(camera: Camera) -> None:
    rng = np.random.default_rng(3)
    place = rng.integers(0, 4, 100)
    x, y = rng.uniform(1, 1000, (2, 100))
    back = camera.to_pixels(place, *camera.to_plane(place, x, y))
    np.testing.assert_allclose(back, (x, y), atol=1e-8)
