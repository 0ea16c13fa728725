"""Samples of detections, and differences drawn on them from the linear model itself.

Nothing here imports the solver or its levels: which visit, detector, bin and field a
detection belongs to is worked out anew, so that a wrong design shows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

#: Size of a detector and of a bin, in pixels; bins of a detector in x and y.
NX, NY, BIN, BINS = 2048, 4100, 256, (8, 16)
#: Detectors of the camera, east and north, and the size of a pixel in deg.
COLUMNS, ROWS, SCALE = 8, 4, 0.21 / 3600
#: The second pointing of a field less the first, in deg.
DITHER = np.array([-588.0, 660.0]) / 3600


@dataclass(frozen=True)
class Sample:
    """n detections of s stars in v visits of f fields.

    Attributes
    ----------
    visit, ccd, star : ndarray of int64, shape (n,)
        Numbers from 0.
    x, y : ndarray, shape (n,)
        Position on the detector, FITS convention.
    error_mag : ndarray, shape (n,)
        Photometric error as catalogued.
    mjd, field : ndarray, shape (v,)
        Date and field of each visit.
    extinction, colour0, mag, ra_deg, dec_deg : ndarray, shape (s,)
        Of each star.
    """

    visit: np.ndarray
    ccd: np.ndarray
    star: np.ndarray
    x: np.ndarray
    y: np.ndarray
    error_mag: np.ndarray
    mjd: np.ndarray
    field: np.ndarray
    extinction: np.ndarray
    colour0: np.ndarray
    mag: np.ndarray
    ra_deg: np.ndarray
    dec_deg: np.ndarray

    def __len__(self) -> int:
        return len(self.visit)

    def take(self, rows: np.ndarray) -> Sample:
        """Return some of the detections, with the stars among them numbered anew."""
        seen, star = np.unique(self.star[rows], return_inverse=True)
        by_row = {
            name: getattr(self, name)[rows] for name in ("visit", "ccd", "x", "y", "error_mag")
        }
        by_star = {
            name: getattr(self, name)[seen]
            for name in ("extinction", "colour0", "mag", "ra_deg", "dec_deg")
        }
        return replace(self, star=star, **by_row, **by_star)

    @property
    def visits(self) -> int:
        return len(self.mjd)

    @property
    def fields(self) -> int:
        return int(self.field.max()) + 1

    @cached_property
    def ccds(self) -> int:
        return int(self.ccd.max()) + 1

    @property
    def stars(self) -> int:
        return len(self.mag)

    @cached_property
    def exposure(self) -> np.ndarray:
        """Number of the visit and CCD of each detection: CCD by CCD, shape (n,)."""
        return self.ccd * self.visits + self.visit

    @cached_property
    def bin(self) -> np.ndarray:
        """Number of the bin of each detection, over all detectors, shape (n,)."""
        x_bin = np.clip((self.x - 0.5) // BIN, 0, BINS[0] - 1).astype(np.int64)
        y_bin = np.clip((self.y - 0.5) // BIN, 0, BINS[1] - 1).astype(np.int64)
        return (self.ccd * BINS[1] + y_bin) * BINS[0] + x_bin

    @cached_property
    def cell(self) -> np.ndarray:
        """Number of the cell of sky of each star, half a degree wide, shape (s,)."""
        place = np.floor(np.stack([self.ra_deg, self.dec_deg]) / 0.5).astype(np.int64)
        return np.unique(place, axis=1, return_inverse=True)[1].ravel()


@dataclass(frozen=True)
class Spread:
    """Standard deviations, in mag, from which differences are drawn.

    Attributes
    ----------
    visit, static, drift, jitter, pixel : float
        Corrections: by visit; by CCD at all times, drifting over `drift_days`, and anew in
        each visit; by bin of a CCD.
    slope : float
        Of the slope on the extinction between fields, in mag per mag.
    cell : float
        Of what stars in one cell of sky share.
    star, star_trend : float
        Of a star's own deviation at colour 0.5, and the slope of its logarithm on colour.
    scale, floor : float
        A detection's noise is hypot(scale times its catalogued error, floor).
    """

    visit: float = 0.063
    static: float = 0.0139
    drift: float = 0.0098
    jitter: float = 0.0139
    pixel: float = 0.009
    slope: float = 0.0
    cell: float = 0.0
    star: float = 0.065
    star_trend: float = 0.3
    scale: float = 1.5
    floor: float = 0.008
    drift_days: float = 1500.0

    def noise_mag(self, sample: Sample) -> np.ndarray:
        """Return the standard deviation of each detection's noise, shape (n,)."""
        return np.hypot(self.scale * sample.error_mag, self.floor)

    def star_mag(self, sample: Sample) -> np.ndarray:
        """Return the standard deviation of each star's own deviation, shape (s,)."""
        return self.star * np.exp(self.star_trend * (sample.colour0 - 0.5))

    def ccd_covariance(self, sample: Sample) -> np.ndarray:
        """Return the covariance of one CCD's offsets between visits, shape (v, v)."""
        apart = np.abs(sample.mjd[:, None] - sample.mjd)
        drift = self.drift**2 * np.exp(-apart / self.drift_days)
        return self.static**2 + drift + self.jitter**2 * np.eye(len(apart))


@dataclass(frozen=True)
class Drawn:
    """One draw: the truth by detection and the differences, shape (n,), in mag."""

    visit: np.ndarray
    ccd: np.ndarray
    pixel: np.ndarray
    nuisance: np.ndarray
    star: np.ndarray
    noise: np.ndarray
    constant: float

    def take(self, rows: np.ndarray) -> Drawn:
        """Return the draw of some of the detections."""
        names = ("visit", "ccd", "pixel", "nuisance", "star", "noise")
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    @property
    def total(self) -> np.ndarray:
        """The true correction, without the constant."""
        return self.visit + self.ccd + self.pixel

    @cached_property
    def delta(self) -> np.ndarray:
        """Model less observed magnitude."""
        return self.constant + self.total + self.nuisance + self.star + self.noise


def draw(sample: Sample, spread: Spread, seed: int) -> Drawn:
    """Draw every term anew."""
    rng = np.random.default_rng([seed, 20131])
    visits, ccds = sample.visits, sample.ccds
    visit = spread.visit * rng.standard_normal(visits)
    root = np.linalg.cholesky(spread.ccd_covariance(sample) + 1e-18 * np.eye(visits))
    by_ccd = (root @ rng.standard_normal((visits, ccds))).T.ravel()
    pixel = spread.pixel * rng.standard_normal(ccds * BINS[0] * BINS[1])
    slope = spread.slope * rng.standard_normal(sample.fields)
    cell = spread.cell * rng.standard_normal(int(sample.cell.max()) + 1)
    star = spread.star_mag(sample) * rng.standard_normal(sample.stars)
    by_field = slope[sample.field[sample.visit]] * sample.extinction[sample.star]
    return Drawn(
        visit=visit[sample.visit],
        ccd=by_ccd[sample.exposure],
        pixel=pixel[sample.bin],
        nuisance=by_field + cell[sample.cell][sample.star],
        star=star[sample.star],
        noise=spread.noise_mag(sample) * rng.standard_normal(len(sample)),
        constant=0.02,
    )


def contaminate(sample: Sample, drawn: Drawn, share: float, seed: int, sign: float = 1.0) -> Drawn:
    """Return the draw with outliers and variables: symmetric, in `share` of all detections.

    Half of them are single detections, half stars that differ in all their detections. The
    sign multiplies all of them.
    """
    rng = np.random.default_rng([seed, 20132])
    one, whole = rng.laplace(0, 0.3, len(sample)), rng.laplace(0, 0.2, sample.stars)
    return _spoil(sample, drawn, share, (sign * one, sign * whole), rng)


def blend(sample: Sample, drawn: Drawn, share: float, seed: int, of_stars: float = 0.5) -> Drawn:
    """Return the draw with outliers that are too bright, in `share` of all detections.

    A part of them are stars that are so in all their detections: blends.
    """
    rng = np.random.default_rng([seed, 20133])
    one, whole = rng.exponential(0.3, len(sample)), rng.exponential(0.3, sample.stars)
    return _spoil(sample, drawn, share, (one, whole), rng, of_stars)


def _spoil(
    sample: Sample,
    drawn: Drawn,
    share: float,
    off: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
    of_stars: float = 0.5,
) -> Drawn:
    one = rng.uniform(size=len(sample)) < share * (1 - of_stars)
    whole = rng.uniform(size=sample.stars) < share * of_stars
    star = drawn.star + (whole * off[1])[sample.star]
    return replace(drawn, noise=drawn.noise + one * off[0], star=star)


def catalogued_error(mag: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return photometric errors: a few mmag for bright stars, 0.03 at 19 mag."""
    photon = 0.004 * 10 ** (0.2 * (mag - 15))
    return np.hypot(0.0012, photon) * rng.lognormal(0, 0.1, len(mag))


def pointings(
    pairs: int,
    singles: int,
    density: float,
    seed: int,
    mean_extinction: float = 0.5,
    seasons: float = 6.0,
) -> Sample:
    """Lay out fields of a degree, each seen twice with a dither, some of which overlap.

    Parameters
    ----------
    pairs : int
        Pairs of fields of which the second lies 0.6 deg beside the first.
    singles : int
        Fields that overlap no other.
    density : float
        Stars per square degree.
    mean_extinction : float
        About which the fields vary by a third; stars vary by a third within fields.
    seasons : float
        Years over which the fields are observed.
    """
    rng = np.random.default_rng([seed, 20130])
    first = 3.0 * np.arange(pairs + singles)
    centre = np.sort(np.concatenate([first, first[:pairs] + 0.6]))
    field = np.repeat(np.arange(len(centre)), 2)
    where = np.stack([np.repeat(centre, 2), np.zeros(len(field))]) + np.tile(
        np.stack([np.zeros(2), DITHER], axis=1), len(centre)
    )
    night = np.floor(rng.uniform(0, 365.25 * seasons, len(centre)))
    mjd = 55800.0 + np.repeat(night, 2) + np.tile([0.1, 0.11], len(centre))
    stars, found = _detect(where, first, pairs, density, rng)
    mag = 13.2 + 6.0 * rng.beta(2.2, 1.8, len(stars))
    lowest = np.argsort(first)
    patch = np.searchsorted(first[lowest] - 0.9, stars[:, 0]) - 1
    by_patch = mean_extinction * rng.lognormal(0, 0.3, len(first))
    visit, ccd, star, x, y = found
    return Sample(
        visit=visit,
        ccd=ccd,
        star=star,
        x=x,
        y=y,
        error_mag=catalogued_error(mag[star], rng),
        mjd=mjd,
        field=field,
        extinction=by_patch[patch] * rng.lognormal(0, 0.3, len(stars)),
        colour0=np.clip(rng.gamma(2.0, 0.27, len(stars)), 0, 2.5),
        mag=mag,
        ra_deg=stars[:, 0],
        dec_deg=stars[:, 1],
    )


def _detect(
    where: np.ndarray, first: np.ndarray, pairs: int, density: float, rng: np.random.Generator
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Scatter stars around the fields; return their places and what each visit sees."""
    wide = np.where(np.arange(len(first)) < pairs, 2.0, 1.4)
    number = rng.poisson(density * wide * 1.4)
    patch = np.repeat(np.arange(len(first)), number)
    along = first[patch] - 0.7 + wide[patch] * rng.uniform(size=len(patch))
    sky = np.stack([along, rng.uniform(-0.6, 0.8, len(patch))], axis=1)
    sky = sky[np.argsort(sky[:, 0])]
    parts = []
    for visit, (ra, dec) in enumerate(where.T):
        low, high = np.searchsorted(sky[:, 0], [ra - 0.5, ra + 0.5])
        across = (sky[low:high, 0] - ra) / SCALE + COLUMNS * NX / 2
        up = (sky[low:high, 1] - dec) / SCALE + ROWS * NY / 2
        on = (across >= 0) & (across < COLUMNS * NX) & (up >= 0) & (up < ROWS * NY)
        column, row = (across[on] // NX).astype(np.int64), (up[on] // NY).astype(np.int64)
        parts.append(
            (
                np.full(on.sum(), visit),
                row * COLUMNS + column,
                low + np.flatnonzero(on),
                across[on] % NX + 0.5,
                up[on] % NY + 0.5,
            )
        )
    visit, ccd, star, x, y = (np.concatenate(column) for column in zip(*parts, strict=True))
    seen, star = np.unique(star, return_inverse=True)
    return sky[seen], (visit, ccd, star, x, y)


def run_sample(run: Path, tree: Path) -> Sample:
    """Return the calibration sample of a run on a simulated tree."""
    stars, truth = pq.read_table(run / "stars.parquet"), pq.read_table(tree / "truth.parquet")
    column = {name: stars.column(name).to_numpy() for name in stars.column_names}
    _, first, star = np.unique(column["source_id"], return_index=True, return_inverse=True)
    names, at, visit = np.unique(
        column["visit"].astype(str), return_index=True, return_inverse=True
    )
    by_visit = dict(
        zip(truth.column("visit").to_pylist(), truth.column("field").to_pylist(), strict=True)
    )
    field = np.unique([by_visit[name] for name in names], return_inverse=True)[1]
    return Sample(
        visit=visit,
        ccd=np.unique(column["ccd"], return_inverse=True)[1],
        star=star,
        x=column["x_pix"],
        y=column["y_pix"],
        error_mag=column["mag_err"],
        mjd=column["mjd"][at],
        field=field,
        extinction=column["extinction"][first],
        colour0=column["colour0"][first],
        mag=column["mag_model"][first],
        ra_deg=column["ra_deg"][first],
        dec_deg=column["dec_deg"][first],
    )
