"""A visit with a few detections, for the example that the loader brings."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from scrframe.tables import Camera, SimulatedVisit

_PER_CCD = 10


def tiny_visit(camera: Camera, number: int) -> SimulatedVisit:
    """Return a visit with ten detections on each detector, near the equator."""
    generator = np.random.default_rng(number)
    place = np.repeat(np.arange(len(camera.ccd)), _PER_CCD)
    x = generator.uniform(1, camera.nx, len(place))
    y = generator.uniform(1, camera.ny, len(place))
    scale = camera.pixel_scale_arcsec / 3600
    east = camera.xi_deg[place] + camera.x_sign * (x - (camera.nx + 1) / 2) * scale
    north = camera.eta_deg[place] + camera.y_sign * (y - (camera.ny + 1) / 2) * scale
    mag = generator.uniform(14, 20, len(place))
    table = pa.table(
        {
            "ccd": camera.ccd[place],
            "x": x,
            "y": y,
            "ra": 108.0 + east,
            "dec": north,
            "mag": mag,
            "mag_err": 0.002 + 10 ** (0.4 * (mag - 23)),
            "classification": np.full(len(place), -1),
        }
    )
    return SimulatedVisit(
        "field_0001",
        number,
        number,
        108.0,
        0.0,
        56000.1 + number / 100,
        150.0,
        1.2,
        0.9,
        "u",
        table,
    )
