"""An image that is drawn with a known flat and zero point comes out right by what is exported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from astropy.wcs.utils import fit_wcs_from_points
from numpy.polynomial import legendre

import scrframe
from scrframe import FinishedRun
from scrframe.tables import Solution

#: Magnitude of one count of the images.
ZERO = 25.0
NX, NY, BIN = 400, 300, 100
PSF_PIX, RADIUS_PIX = 1.5, 8.0
LIMIT_MAG = 1e-4


@dataclass(frozen=True)
class Injected:
    """A run whose offsets are drawn, and stars in one of its exposures."""

    run: FinishedRun
    visit: str
    ccd: int
    #: Where the stars are, away from the edges of bins, and their true magnitudes.
    x: np.ndarray
    y: np.ndarray
    mag: np.ndarray

    def correction(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the correction at pixels by formulas of this test's own, in mag."""
        solution = self.run.solution
        levels = {level.fitted.name: level for level in solution.levels}
        where = {"ccd": self.ccd, "season": self.season}
        exposures = solution.exposures
        row = np.flatnonzero((exposures.visit == self.visit) & (exposures.ccd == self.ccd))
        total = solution.zero_point_mag + exposures.offset_mag[row[0]]
        labels, own = rows_of(levels["fine"], ccd=self.ccd)
        for x_bin, y_bin, value in zip(labels["x_bin"], labels["y_bin"], own, strict=True):
            total = total + value * ((x - 0.5) // BIN == x_bin) * ((y - 0.5) // BIN == y_bin)
        labels, own = rows_of(levels["map"], **where)
        sizes = levels["map"].fitted.state()["extent_pix"]
        u, v = (2 * (at - 0.5) / size - 1 for at, size in zip((x, y), sizes, strict=True))
        total = total + products(labels, own, u, v)
        labels, own = rows_of(levels["surface"], visit=self.visit)
        state = levels["surface"].fitted.state()
        xi, eta = self.standard_coordinates(x, y, state["centres_deg"][self.visit])
        return total + products(labels, own, xi / state["scale_deg"], eta / state["scale_deg"])

    @property
    def season(self) -> int:
        visits = self.run.visits
        return int(visits["season"][visits["visit"] == self.visit][0])

    @property
    def wcs(self) -> WCS:
        """Return where pixels lie on the sky, by astropy, from the stars of the exposure."""
        stars = self.run.stars(["visit", "ccd", "x_pix", "y_pix", "ra_deg", "dec_deg"])
        here = stars[(stars["visit"] == self.visit) & (stars["ccd"] == self.ccd)]
        sky = SkyCoord(np.array(here["ra_deg"]), np.array(here["dec_deg"]), unit="deg")
        # Of pixels counted from 0.
        return fit_wcs_from_points((here["x_pix"] - 1, here["y_pix"] - 1), sky)

    def standard_coordinates(self, x, y, centre) -> tuple[np.ndarray, np.ndarray]:
        plane = WCS(naxis=2)
        plane.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        plane.wcs.crval, plane.wcs.crpix, plane.wcs.cd = centre, [0, 0], np.eye(2)
        shape = np.shape(x)
        ra, dec = self.wcs.all_pix2world(np.ravel(x) - 1, np.ravel(y) - 1, 0)
        xi, eta = plane.all_world2pix(ra, dec, 0)
        return (xi + 1).reshape(shape), (eta + 1).reshape(shape)

    def raw_image(self) -> np.ndarray:
        """Return the image as the camera gives it: what the sky sends, uncorrected."""
        x, y = np.meshgrid(np.arange(1.0, NX + 1), np.arange(1.0, NY + 1))
        true = np.zeros((NY, NX))
        for x0, y0, mag in zip(self.x, self.y, self.mag, strict=True):
            psf = np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * PSF_PIX**2))
            true += 10 ** (-0.4 * (mag - ZERO)) * psf / (2 * np.pi * PSF_PIX**2)
        return true * 10 ** (0.4 * self.correction(x, y))


def rows_of(level, **where) -> tuple[dict, np.ndarray]:
    """Return labels and offsets of a level where labels have given values."""
    labels = level.fitted.labels().to_pydict()
    kept = np.all([np.array(labels[name]) == value for name, value in where.items()], axis=0)
    assert kept.any()
    chosen = {name: np.array(values)[kept] for name, values in labels.items()}
    return chosen, level.offsets.offset_mag[kept]


def products(labels, offsets, u, v) -> np.ndarray:
    """Return a sum of products of Legendre polynomials, each of mean square 1."""
    u, v, total = np.clip(u, -1, 1), np.clip(v, -1, 1), 0.0
    for i, j, value in zip(labels["x_degree"], labels["y_degree"], offsets, strict=True):
        scale = np.sqrt((2 * i + 1) * (2 * j + 1))
        term = legendre.legval(u, np.eye(i + 1)[i]) * legendre.legval(v, np.eye(j + 1)[j])
        total = total + value * scale * term
    return total


def drawn(solution: Solution, seed: int) -> Solution:
    """Return the solution with other offsets: exposures of 100 mmag, terms of 5 and 10 mmag."""
    rng = np.random.default_rng(seed)
    sizes = {"map": 0.005, "fine": 0.01, "surface": 0.005}
    levels = []
    for level in solution.levels:
        offsets = level.offsets
        if level.applied:
            mag = rng.normal(0, sizes[level.fitted.name], len(offsets.offset_mag))
            offsets = replace(offsets, offset_mag=mag)
        levels.append(replace(level, offsets=offsets))
    mag = rng.normal(0, 0.1, len(solution.exposures))
    exposures = replace(solution.exposures, offset_mag=mag)
    return replace(solution, levels=tuple(levels), exposures=exposures, zero_point_mag=-0.3)


@pytest.fixture(scope="module")
def injected(small_run) -> Injected:
    opened = scrframe.open_run(small_run)
    products_ = replace(opened._products, solution=drawn(opened.solution, seed=4))
    run = FinishedRun(products_, opened._registry)
    rng = np.random.default_rng(8)
    grid = np.arange(30, NX, 40), np.arange(30, NY, 40)
    x, y = (each.ravel() + rng.uniform(-0.5, 0.5, each.size) for each in np.meshgrid(*grid))
    clear = [np.abs((at - 0.5) % BIN - BIN / 2) < BIN / 2 - RADIUS_PIX - 1 for at in (x, y)]
    x, y = x[clear[0] & clear[1]], y[clear[0] & clear[1]]
    visit = str(run.visits["visit"][2])
    return Injected(run, visit, 2, x, y, rng.uniform(12, 18, len(x)))


def photometry(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return instrumental magnitudes in apertures, by photutils."""
    from photutils.aperture import CircularAperture, aperture_photometry

    apertures = CircularAperture(np.stack([x - 1, y - 1], axis=1), RADIUS_PIX)
    sums = aperture_photometry(image, apertures)["aperture_sum"]
    return -2.5 * np.log10(np.asarray(sums))


def test_corrected_image_and_corrected_catalogue_agree(injected, tmp_path: Path):
    raw, x, y = injected.raw_image(), injected.x, injected.y
    assert len(x) > 20 and np.ptp(injected.correction(x, y)) > 0.03
    out = injected.run.export(
        star_flats=tmp_path / "f", headers=tmp_path / "h", binning=1, image_zero_point=ZERO
    )
    with fits.open(tmp_path / "f" / "visits" / f"{injected.visit}.fits") as hdus:
        image = raw * hdus[f"CCD{injected.ccd:02d}"].data
    rows = Table.read(out.headers[-1])
    row = rows[(rows["visit"] == injected.visit) & (rows["ccd"] == injected.ccd)][0]
    measured = row["MAGZP"] + photometry(image, x, y)

    sky = injected.wcs.all_pix2world(x - 1, y - 1, 0)
    catalogue = {"visit": [injected.visit] * len(x), "ccd": [injected.ccd] * len(x), "x": x, "y": y}
    catalogue |= {"ra": sky[0], "dec": sky[1], "mag": ZERO + photometry(raw, x, y)}
    corrected = np.array(injected.run.correct(catalogue)["MAG_CAL"])

    assert np.abs(measured - corrected).max() < LIMIT_MAG
    assert np.abs(measured - injected.mag).max() < LIMIT_MAG
    # The same by the factor of the header, in place of the zero point.
    scaled = ZERO + photometry(image * row["FLXSCALE"], x, y)
    assert np.abs(scaled - measured).max() < 1e-9
