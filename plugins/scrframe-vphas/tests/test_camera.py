"""OmegaCAM's layout against its stated arrangement."""

from __future__ import annotations

import numpy as np
from scrframe_vphas.camera import omegacam

SCALE_DEG = 0.21 / 3600


def place(ccd: int) -> tuple[float, float]:
    camera = omegacam()
    return float(camera.xi_deg[ccd - 1]), float(camera.eta_deg[ccd - 1])


def test_pointing_is_the_south_west_corner_of_ccd_25() -> None:
    xi, eta = place(25)
    np.testing.assert_allclose([xi, eta], [1024 * SCALE_DEG, 2050 * SCALE_DEG], rtol=1e-12)


def test_all_ccds_in_order_of_their_number() -> None:
    camera = omegacam()
    assert camera.ccd.tolist() == list(range(1, 33))
    assert (camera.nx, camera.ny, camera.pixel_scale_arcsec) == (2048, 4100, 0.21)
    assert (camera.x_sign, camera.y_sign) == (-1, 1)


def test_neighbours() -> None:
    # 32 is north-east, 13 north-west, 20 south-east, 1 south-west.
    assert place(32)[0] == place(20)[0] == omegacam().xi_deg.max()
    assert place(32)[1] == place(13)[1] == omegacam().eta_deg.max()
    assert place(1)[0] == omegacam().xi_deg.min()
    assert place(1)[1] == omegacam().eta_deg.min()
    step_x, step_y = 2136 * SCALE_DEG, 4146 * SCALE_DEG
    for east, west in [(32, 31), (29, 16), (25, 12), (2, 1)]:
        np.testing.assert_allclose(place(east)[0] - place(west)[0], step_x, rtol=1e-12)
    for north, south in [(32, 28), (25, 21), (12, 8), (5, 1)]:
        np.testing.assert_allclose(place(north)[1] - place(south)[1], step_y, rtol=1e-12)
