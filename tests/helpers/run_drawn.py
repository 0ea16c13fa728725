"""A made-up run as arrays: a law, offsets of visits and residuals that are known."""

from __future__ import annotations

import io

import numpy as np
from matplotlib.image import imread

from scrframe.products.run_data import LevelData, RunData, VisitTable
from scrframe.tables import Camera, FieldSlopes, ReddeningLaw

#: a0, a1, a2 of R, highest power of C0 first.
LAW = (0.042, 0.027, 1.42)
FIRST_DAY = 55900.0
SCALE_ARCSEC = 0.25
NX, NY = 400, 800
STEP = SCALE_ARCSEC / 3600


def made_up_run(
    rows: int = 20_000, visits: int = 24, seed: int = 3, noise_mag: float = 0.04, **columns
) -> RunData:
    """Return a run of fields on both sides of RA 0, two visits each; further `columns` replace."""
    rng = np.random.default_rng(seed)
    fields = max(visits // 2, 1)
    centre_ra = (330.0 + 60.0 * np.arange(fields) / fields) % 360
    centre_dec = np.linspace(-40, 2, fields)
    field = np.arange(visits) % fields
    mjd = FIRST_DAY + np.sort(rng.uniform(0, 1400, visits))
    offset = 0.06 * rng.normal(size=visits)
    code = np.sort(rng.integers(0, visits, rows)).astype(np.int32)
    colour0 = 0.2 + rng.gamma(4, 0.3, rows)
    extinction = rng.gamma(2, 0.25, rows)
    reference = rng.uniform(13, 18, rows)
    law = ReddeningLaw(np.array(LAW), np.diag([1e-5, 1e-5, 1e-5]), 0.0)
    model = reference + colour0 + law.ratio(colour0) * extinction
    residual = noise_mag * rng.normal(size=rows)
    stars = {
        "visit_code": code,
        "ccd": rng.integers(1, 33, rows).astype(np.int16),
        "source_id": np.arange(rows, dtype=np.int64),
        "ra_deg": (centre_ra[field[code]] + rng.uniform(-0.5, 0.5, rows)) % 360,
        "dec_deg": centre_dec[field[code]] + rng.uniform(-0.5, 0.5, rows),
        "mag_err": rng.uniform(0.01, 0.03, rows),
        "mag_model": model,
        "delta": offset[code] + residual,
        "offset_visit": offset[code],
        "offset_total": offset[code],
        "mag_cal": model - residual,
        "colour0": colour0,
        "extinction": extinction,
        "in_control": field[code] < fields // 2,
        "in_test": (field[code] < fields // 2) & (np.arange(rows) % 4 == 0),
        **columns,
    }
    names = tuple(f"visit_{number:03d}" for number in range(visits))
    count = np.bincount(code, minlength=visits)
    season = np.array([2011 + int((day - 55835) // 365.25) for day in mjd])
    table = VisitTable(
        visit=names,
        field=np.array([f"field_{number:02d}" for number in field]),
        mjd=mjd,
        season=season,
        airmass=rng.uniform(1, 1.6, visits),
        ra_deg=centre_ra[field],
        dec_deg=centre_dec[field],
        offset_mag=offset,
        err_mag=np.full(visits, 0.002),
        scatter_mag=np.full(visits, noise_mag),
        count=count,
    )
    level = LevelData(
        "visit",
        "group",
        "correction",
        True,
        {"visit": np.array(names)},
        offset,
        table.err_mag,
        table.scatter_mag,
        count,
    )
    return RunData(
        "made-up",
        "u",
        "G_BP",
        "sequential",
        "drawn numbers",
        stars,
        table,
        {"visit": level},
        0.0,
        law,
    )


def with_slopes(law: ReddeningLaw, sd: float) -> ReddeningLaw:
    """Return a law whose slopes vary between fields."""
    one = np.zeros(1)
    slopes = FieldSlopes(("a",), one.copy(), one.copy(), one.copy(), one.copy(), sd)
    return ReddeningLaw(law.coefficients, law.covariance, 0.0, slopes=slopes)


def camera(x_sign: int = -1, y_sign: int = 1) -> Camera:
    """Return three CCDs: 1 in the south-east, 2 in the south-west, 5 in the north-east."""
    east, north = 220 * STEP, 420 * STEP
    return Camera(
        np.array([5, 1, 2]),
        np.array([east, east, -east]),
        np.array([north, -north, -north]),
        NX,
        NY,
        SCALE_ARCSEC,
        x_sign,
        y_sign,
    )


def ink(product) -> np.ndarray:
    """Return which pixels of a figure are not white."""
    image = imread(io.BytesIO(product.rendered("png")))[..., :3]
    return (image < 0.9).any(axis=2)


def assert_drawn(product) -> None:
    """Something stands in every quarter of a figure."""
    for half in np.array_split(ink(product), 2):
        for quarter in np.array_split(half, 2, axis=1):
            assert 0.01 < quarter.mean() < 0.95
