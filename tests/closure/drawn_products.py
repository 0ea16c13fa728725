"""Products of a run drawn as arrays, with faults put in before a plain calibration.

What a survey has is here: pairs of overlapping fields of two pointings each, stars with
deviations of their own, a law that varies from field to field, outliers, reserved stars.
Offsets are shrunken means, which absorb what a real solution absorbs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scrframe.products.run_data import RunData, VisitTable
from scrframe.tables import ReddeningLaw

#: Detectors of the camera, east and north, their size in pixels, and a pixel in deg.
COLUMNS, ROWS, NX, NY, SCALE = 8, 4, 2048, 4100, 0.21 / 3600
CCDS = COLUMNS * ROWS
WIDE, HIGH = COLUMNS * NX * SCALE, ROWS * NY * SCALE
#: Places of the four pointings of a pair of fields, in deg.
POINTINGS = np.array([[0, 0], [-0.163, 0.183], [0.7, 0], [0.537, 0.183]])
STAR_MAG, PHOTOMETRIC_MAG, RESERVED, OUTLIERS = 0.055, 0.012, 0.04, 0.01
#: Offsets of visits, CCDs, exposures and maps, in mag, and the variation of the law.
VISIT_MAG, CCD_MAG, EXPOSURE_MAG, MAP_MAG, LAW = 0.06, 0.012, 0.012, 0.006, 0.02
RATIO = 1.4
BIN, BINS = 256, (8, 16)
#: Rounds of moving levels to each other's means.
ROUNDS = 3
FIRST, LAST = 55900.0, 58000.0


@dataclass(frozen=True)
class Faults:
    """What is wrong, in mag unless said otherwise; nothing by default.

    Attributes
    ----------
    law : float
        Relative error of the reddening law.
    gradient : float
        Change of model magnitudes over the survey, from one end to the other.
    jump : float
        Of CCD `CCD` in the middle of the survey.
    column : float
        By how much columns 1001 to 1012 of CCD `CCD` are off.
    swap : bool
        Whether the numbers of two CCDs are exchanged in one visit.
    drift : float
        Of the zero point of visits, in mag a year.
    """

    law: float = 0.0
    gradient: float = 0.0
    jump: float = 0.0
    column: float = 0.0
    swap: bool = False
    drift: float = 0.0


#: The CCD that is at fault, the one that it is exchanged with, and the visit of that.
CCD, OTHER, SWAPPED_VISIT = 11, 22, 9


def draw_run(
    seed: int,
    faults: Faults | None = None,
    pairs: int = 18,
    stars: int = 4500,
    exposure_mag: float = EXPOSURE_MAG,
) -> RunData:
    """Return the products of a run of 2 fields and 4 visits for each pair, as arrays."""
    faults = faults or Faults()
    rng = np.random.default_rng(seed)
    number = pairs * stars
    pair = np.repeat(np.arange(pairs), stars)
    place = rng.uniform([-0.75, -0.6], [1.3, 0.8], (number, 2))
    fields, visits = 2 * pairs, 4 * pairs
    # Along a strip, so that the pairs of a survey of this size are degrees apart.
    centre = np.stack([np.linspace(105, 108, pairs), np.linspace(-75, 0, pairs)], axis=1)
    extinction = rng.uniform(0.1, 0.6, pairs)[pair] + rng.exponential(0.25, number)
    colour0 = rng.normal(0.5, 0.4, number) + 0.1 * extinction
    mag = rng.normal(15, 1.2, number)
    deviation = rng.normal(0, STAR_MAG, number)
    deviation[rng.random(number) < OUTLIERS] += rng.normal(0, 0.7)

    visit_field = np.repeat(np.arange(fields), 2)
    mjd = np.sort(rng.uniform(FIRST, LAST, fields))[rng.permutation(fields)][visit_field]
    mjd = mjd + 0.01 * (np.arange(visits) % 2)
    star, visit, ccd, x, y = _seen(pair, place)
    rows = len(star)

    truth_visit = np.sqrt(0.75) * rng.normal(size=fields)[visit_field]
    truth_visit = VISIT_MAG * (truth_visit + 0.5 * rng.normal(size=visits))
    truth_visit += faults.drift * (mjd - mjd.mean()) / 365.25
    truth_ccd = rng.normal(0, CCD_MAG, CCDS) + rng.normal(0, exposure_mag, (visits, CCDS))
    truth_ccd[mjd > 0.5 * (FIRST + LAST), CCD - 1] += faults.jump
    waves = rng.normal(0, MAP_MAG, (CCDS, 3))
    u, v = np.pi * x / NX, np.pi * y / NY
    pattern = (waves[ccd].T * np.stack([np.cos(u), np.cos(v), np.cos(u) * np.cos(2 * v)])).sum(0)

    phot = PHOTOMETRIC_MAG * rng.uniform(0.7, 1.5, rows)
    slope = RATIO * (faults.law + LAW * rng.normal(size=pairs)[pair])
    model_error = deviation + slope * extinction
    model_error += faults.gradient * (pair / (pairs - 1) - 0.5)
    delta = truth_visit[visit] + truth_ccd[visit, ccd] + pattern + model_error[star]
    delta += rng.normal(size=rows) * phot
    bad = (ccd == CCD - 1) & (x > 1000.5) & (x < 1012.5)
    delta[bad] += faults.column
    if faults.swap:
        ccd = _swapped(visit, ccd)

    reserved = (rng.random(number) < RESERVED)[star]
    offsets, in_solve = _calibrated(delta, reserved, visit, ccd, x, y)
    total = np.sum(list(offsets.values()), axis=0)
    mag_obs = mag[star] - delta
    columns = {
        "visit_code": visit.astype(np.int32),
        "ccd": (ccd + 1).astype(np.int16),
        "source_id": star,
        "mjd": mjd[visit],
        "x_pix": x,
        "y_pix": y,
        "ra_deg": centre[pair[star], 0]
        + place[star, 0] / np.cos(np.radians(centre[pair[star], 1] + place[star, 1])),
        "dec_deg": centre[pair[star], 1] + place[star, 1],
        "mag_obs": mag_obs,
        "mag_err": phot,
        "mag_model": mag[star],
        "delta": delta,
        **{f"offset_{name}": values for name, values in offsets.items()},
        "offset_total": total,
        "offset_total_err": np.full(rows, 0.006),
        "mag_cal_err": np.hypot(phot, 0.006),
        "mag_cal": mag_obs + total,
        "colour0": colour0[star],
        "extinction": extinction[star],
        "in_control": pair[star] < pairs // 3,
        "in_solve": in_solve,
        "reserved": reserved,
        "weight": np.where(in_solve, 1.0, np.nan),
        "domain_distance": rng.uniform(0.1, 0.9, number)[star].astype(np.float32),
        "r_v_slope": np.full(len(star), np.nan, dtype=np.float32),
        "flags": np.zeros(rows, dtype=np.int32),
    }
    first = np.unique(visit, return_index=True)[1]
    where = centre[np.arange(visits) // 4] + POINTINGS[np.arange(visits) % 4]
    table = VisitTable(
        visit=tuple(f"v{one:04d}" for one in range(visits)),
        field=np.array([f"f{one:03d}" for one in visit_field]),
        mjd=mjd,
        season=((mjd - 55835.0) // 365.2425).astype(np.int64) + 2011,
        airmass=np.repeat(rng.uniform(1.05, 1.6, fields), 2),
        ra_deg=where[:, 0],
        dec_deg=where[:, 1],
        offset_mag=offsets["visit"][first],
        err_mag=np.full(visits, 0.004),
        scatter_mag=np.full(visits, 0.06),
        count=np.bincount(visit[in_solve], minlength=visits),
    )
    law = ReddeningLaw(np.array([RATIO]), np.zeros((1, 1)), 0.0, ((0, 0),))
    return RunData(
        survey="drawn",
        band="u",
        reference_band="G_BP",
        mode="joint",
        note="simulated",
        stars=columns,
        visit_table=table,
        levels={},
        zero_point_mag=0.0,
        law=law,
    )


def covariance(run: RunData) -> np.ndarray:
    """Return the covariance of the visits' offsets in mag squared, shape (v, v)."""
    return np.diag(run.visit_table.err_mag**2)


def _seen(pair, place):
    """Return star, visit, CCD and pixels of all detections, ordered by visit."""
    parts = []
    for number, pointing in enumerate(POINTINGS):
        east, north = (place - pointing + [WIDE / 2, HIGH / 2]).T / SCALE
        inside = (east > 0) & (east < COLUMNS * NX) & (north > 0) & (north < ROWS * NY)
        star = np.flatnonzero(inside)
        column, row = (east[star] // NX).astype(int), (north[star] // NY).astype(int)
        x, y = east[star] % NX + 0.5, north[star] % NY + 0.5
        parts.append((star, 4 * pair[star] + number, row * COLUMNS + column, x, y))
    joined = [np.concatenate(each) for each in zip(*parts, strict=True)]
    order = np.lexsort((joined[0], joined[1]))
    return [each[order] for each in joined]


def _swapped(visit, ccd):
    here = visit == SWAPPED_VISIT
    out = ccd.copy()
    out[here & (ccd == CCD - 1)] = OTHER - 1
    out[here & (ccd == OTHER - 1)] = CCD - 1
    return out


def _calibrated(delta, reserved, visit, ccd, x, y):
    """Return the offsets of each detection by level, and who took part in the solve."""
    left = delta - _means(visit, delta, ~reserved, 0.0)
    used = ~reserved & (np.abs(left) < 4 * 0.07)
    a = np.minimum(((x - 0.5) // BIN).astype(int), BINS[0] - 1)
    b = np.minimum(((y - 0.5) // BIN).astype(int), BINS[1] - 1)
    groups = {
        "visit": (visit, 0.0),
        "static": (ccd, 0.0),
        "jitter": (visit * CCDS + ccd, (0.07 / EXPOSURE_MAG) ** 2),
        "pixel": ((ccd * BINS[0] + a) * BINS[1] + b, (0.07 / MAP_MAG) ** 2),
    }
    found = {name: np.zeros(len(delta)) for name in groups}
    for _ in range(ROUNDS):
        for name, (group, prior) in groups.items():
            others = sum(found[other] for other in groups if other != name)
            found[name] = _means(group, delta - others, used, prior)
    return {
        "visit": found["visit"],
        "ccd": found["static"] + found["jitter"],
        "pixel": found["pixel"],
    }, used


def _means(group, values, used, prior):
    """Return the mean of each group, shrunken as by `prior` further values of zero."""
    size = int(group.max()) + 1
    count = np.bincount(group[used], minlength=size) + prior
    return (np.bincount(group[used], values[used], size) / np.maximum(count, 1e-9))[group]
