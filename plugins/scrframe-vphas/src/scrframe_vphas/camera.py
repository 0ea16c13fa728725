"""Where OmegaCAM's 32 CCDs lie on the sky."""

from __future__ import annotations

import numpy as np

from scrframe.tables import Camera

PIXEL_SCALE_ARCSEC = 0.21
N_CCDS = 32
#: Rows from north to south, columns from east to west.
ARRANGEMENT = np.array(
    [
        [32, 31, 30, 29, 16, 15, 14, 13],
        [28, 27, 26, 25, 12, 11, 10, 9],
        [24, 23, 22, 21, 8, 7, 6, 5],
        [20, 19, 18, 17, 4, 3, 2, 1],
    ]
)
NX, NY = 2048, 4100
#: Gaps in pixels between columns and between rows of CCDs.
GAP_X, GAP_Y = 88, 46
#: The pointing is at the south-west corner of this CCD.
POINTING_CCD = 25


def omegacam() -> Camera:
    """Return OmegaCAM: x runs west, y runs north, the pointing is at the corner of CCD 25."""
    row, column = np.indices(ARRANGEMENT.shape)
    ((row0, column0),) = np.argwhere(ARRANGEMENT == POINTING_CCD)
    scale_deg = PIXEL_SCALE_ARCSEC / 3600.0
    # The south-west corner of CCD 25 is the origin: east and north of it by half a CCD
    # lies its centre, and further CCDs follow in steps of a CCD and a gap.
    xi = ((column0 - column) * (NX + GAP_X) + NX / 2) * scale_deg
    eta = ((row0 - row) * (NY + GAP_Y) + NY / 2) * scale_deg
    order = np.argsort(ARRANGEMENT, axis=None)
    return Camera(
        ccd=ARRANGEMENT.ravel()[order].astype(np.int64),
        xi_deg=xi.ravel()[order],
        eta_deg=eta.ravel()[order],
        nx=NX,
        ny=NY,
        pixel_scale_arcsec=PIXEL_SCALE_ARCSEC,
    )
