"""Synthetic input for plugins that read none of their own: drawn anew, always the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scrframe.arrays import FloatArray
from scrframe.spectra import load_operator
from scrframe.statistics.sky import to_sky
from scrframe.tables import (
    Camera,
    Corrections,
    Detections,
    MatchedStars,
    ReferenceStars,
    SimulatedStars,
    SimulatedVisit,
)

REF_EPOCH = 2016.0
#: Centre of what is drawn, away from the poles and from RA 0.
CENTRE_DEG = (108.0, -1.0)
STARS = 60


def draw_visit(camera: Camera, number: int, band: str, per_ccd: int = 5) -> SimulatedVisit:
    """Return a visit of a camera with a few detections on each detector.

    The second detection has no magnitude. Numbers of visits count from 1; each is another one.
    """
    rng = np.random.default_rng(number)
    rows = per_ccd * len(camera.ccd)
    place = np.repeat(np.argsort(camera.ccd), per_ccd)
    x = rng.uniform(1, camera.nx, rows)
    y = rng.uniform(1, camera.ny, rows)
    ra_deg, dec_deg = CENTRE_DEG[0] + 0.1 * number, CENTRE_DEG[1]
    ra, dec = to_sky(*camera.to_plane(place, x, y), ra_deg, dec_deg)
    mag = rng.uniform(14, 20, rows)
    mag_err = 0.002 + 10 ** (0.4 * (mag - 23))
    mag[1] = mag_err[1] = np.nan
    columns = {
        "ccd": camera.ccd[place],
        "x": x,
        "y": y,
        "ra": ra,
        "dec": dec,
        "mag": mag,
        "mag_err": mag_err,
        "classification": np.full(rows, -1, dtype=np.int16),
    }
    mjd = 56000.1 + 30.0 * number
    return SimulatedVisit(
        "field_0001", number, number, ra_deg, dec_deg, mjd, 150.0, 1.2, 0.9, band, pa.table(columns)
    )


def draw_stars(number: int = STARS) -> SimulatedStars:
    """Return simulated stars, most of which have a spectrum."""
    rng = np.random.default_rng(11)
    bp = rng.uniform(13, 17, number)
    has_spectrum = np.arange(number) % 5 != 4
    columns = {
        "source_id": np.sort(rng.choice(10**15, number, replace=False)) + 3 * 10**18,
        "ref_ra": CENTRE_DEG[0] + rng.uniform(-0.3, 0.3, number),
        "ref_dec": CENTRE_DEG[1] + rng.uniform(-0.3, 0.3, number),
        "pmra": rng.normal(0, 5, number),
        "pmdec": rng.normal(0, 5, number),
        "g_mag": bp - 0.4,
        "bp_mag": bp,
        "rp_mag": bp - 1.1,
        "reference_mag_err": rng.uniform(0.002, 0.006, number),
        "phot_bp_rp_excess_factor": np.full(number, 1.2),
        "has_spectrum": has_spectrum,
        "extinction": rng.uniform(0.05, 1.2, number),
        "extinction_err": rng.uniform(0.005, 0.02, number),
        "quality_flags": np.zeros(number, dtype=np.int16),
        "teff": rng.uniform(4200, 7000, number),
        "logg": rng.uniform(2.0, 4.5, number),
        "feh": rng.uniform(-0.8, 0.3, number),
        "parallax": rng.uniform(0.3, 2.0, number),
    }
    coefficients = _coefficients(columns["teff"][has_spectrum], bp[has_spectrum])
    errors = 0.002 * np.abs(coefficients).max(axis=1, keepdims=True) * np.ones_like(coefficients)
    bases = coefficients.shape[1] // 2
    none = np.zeros((1, bases * (bases - 1)))
    which = np.zeros(len(coefficients), dtype=np.int64)
    return SimulatedStars(pa.table(columns), coefficients, errors, none, which, REF_EPOCH)


def _coefficients(teff: FloatArray, bp_mag: FloatArray) -> FloatArray:
    """Return coefficients, shape (s, 110), of spectra about as a black body of Teff in K."""
    operator = load_operator("paper")
    wave = operator.wavelength_nm
    body = (500 / wave) ** 5 / np.expm1(1.4388e7 / np.multiply.outer(teff, wave))
    flux = 1e-16 * 10 ** (-0.4 * (bp_mag - 15))[:, None] * body / body.mean(axis=1)[:, None]
    both = np.concatenate([operator.bp, operator.rp])
    return np.asarray(np.linalg.lstsq(both.T, flux.T, rcond=1e-6)[0].T)


@dataclass(frozen=True)
class DrawnStars:
    """Stars with features (n, m), observed colours and true colours in mag, (n,) each."""

    features: npt.NDArray[np.float32]
    colour_mag: FloatArray
    true_mag: FloatArray

    def take(self, rows: slice) -> DrawnStars:
        """Return some of the stars."""
        return DrawnStars(self.features[rows], self.colour_mag[rows], self.true_mag[rows])


#: Scatter of the colours that are drawn, in mag.
COLOUR_SCATTER_MAG = 0.02
WAVELENGTHS = 61


def draw_training(number: int) -> DrawnStars:
    """Return stars whose colour is a known, slightly curved function of their spectra.

    The features are spectra of three shapes with a little noise, each less its mean and by
    its own standard deviation, as the framework standardises them.
    """
    rng = np.random.default_rng(21)
    wave = np.linspace(0, 1, WAVELENGTHS)
    shape = rng.uniform(-1, 1, (number, 3))
    waves = np.stack([np.cos(np.pi * wave), np.cos(2 * np.pi * wave), np.sin(3 * np.pi * wave)])
    spectra = 1.5 - wave + shape @ (np.array([0.25, 0.15, 0.1])[:, None] * waves)
    spectra += rng.normal(0, 0.002, spectra.shape)
    spectra -= spectra.mean(axis=1, keepdims=True)
    spectra /= spectra.std(axis=1, keepdims=True)
    true = 1.2 + 0.4 * shape[:, 0] + 0.15 * shape[:, 1] + 0.1 * shape[:, 0] * shape[:, 1]
    colour = true + rng.normal(0, COLOUR_SCATTER_MAG, number)
    return DrawnStars(spectra.astype(np.float32), colour, true)


#: Of the camera and of the visits in the sample for levels.
VISITS, SIDE_PIX, SCALE_ARCSEC = 12, 1000, 1.8


def draw_sample() -> MatchedStars:
    """Return a calibration sample: 12 visits of two seasons over one field, 4 detectors.

    Its detections have every column of the vocabulary that a level may read.
    """
    rng = np.random.default_rng(31)
    count = 500
    star_ra = CENTRE_DEG[0] + rng.uniform(-0.6, 0.6, count)
    star_dec = CENTRE_DEG[1] + rng.uniform(-0.6, 0.6, count)
    dither = rng.uniform(-0.08, 0.08, (VISITS, 2))
    mjd = 56000.1 + np.sort(rng.uniform(0, 700, VISITS))
    half = SIDE_PIX * SCALE_ARCSEC / 3600
    east = star_ra - CENTRE_DEG[0] - dither[:, :1]
    north = star_dec - CENTRE_DEG[1] - dither[:, 1:]
    visit, star = np.nonzero((np.abs(east) < half) & (np.abs(north) < half))
    east, north = east[visit, star], north[visit, star]
    ccd = 1 + (east > 0) + 2 * (north > 0)
    order = np.lexsort((star, ccd, visit))
    visit, star, ccd = visit[order], star[order], ccd[order]
    east, north = east[order], north[order]
    rows = len(star)
    extinction, colour0 = rng.uniform(0.05, 1.0, count), rng.uniform(0.5, 2.5, count)
    bp = rng.uniform(13, 17, count)
    first = np.unique(visit * 8 + ccd, return_index=True, return_inverse=True)
    stars = {
        "source_id": np.arange(count) + 3 * 10**18,
        "ref_ra": star_ra,
        "ref_dec": star_dec,
        "ref_epoch": np.full(count, REF_EPOCH),
        "pmra": np.zeros(count),
        "pmdec": np.zeros(count),
        "reference_mag": bp,
        "reference_mag_err": np.full(count, 0.003),
        "g_mag": bp - 0.4,
        "bp_mag": bp,
        "rp_mag": bp - 1.1,
        "phot_bp_rp_excess_factor": np.full(count, 1.2),
        "extinction": extinction,
        "extinction_err": np.full(count, 0.014),
        "quality_flags": np.zeros(count, np.int16),
        "teff": 7000 - 1200 * colour0,
        "logg": rng.uniform(2, 4.5, count),
        "feh": rng.uniform(-0.8, 0.3, count),
        "xp_snr": rng.uniform(30, 200, count),
        "colour0": colour0,
    }
    mag = bp[star] + colour0[star] + 1.4 * extinction[star]
    of_stars = {name: values[star] for name, values in stars.items()}
    detections = {
        "visit": np.array([f"visit_{number:02d}" for number in range(VISITS)])[visit],
        "band": np.full(rows, "u"),
        "ccd": ccd,
        "file": np.array([f"visit_{number:02d}.fits" for number in range(VISITS)])[visit],
        "extension": ccd,
        "row": np.arange(rows) - first[1][first[2]],
        "field": np.array(["field_a", "field_b"])[visit % 2],
        "ra": star_ra[star],
        "dec": star_dec[star],
        "mjd": mjd[visit],
        "x": 1 + (east % half) * 3600 / SCALE_ARCSEC,
        "y": 1 + (north % half) * 3600 / SCALE_ARCSEC,
        "mag": mag,
        "mag_err": np.full(rows, 0.01),
        "classification": np.full(rows, -1),
        "airmass": 1.0 + 0.05 * (visit % 7),
        "seeing": 0.7 + 0.04 * (visit % 5),
        "exposure_time": np.full(rows, 150.0),
        "gal_l": star_ra[star] + 100,
        "gal_b": star_dec[star] + 5,
        "season": np.where(mjd[visit] < 56201, 2011, 2012),
        **of_stars,
        "match_distance": np.full(rows, 0.1),
        "bp_rp": np.full(rows, 1.1),
        "colour": mag - bp[star],
        "star_ra": star_ra[star],
        "star_dec": star_dec[star],
        "predicted_mag": mag,
        "relative_colour": mag - bp[star] - 2.0,
    }
    features = rng.normal(0, 1, (count, 3)).astype(np.float32)
    tables = Detections.from_columns(detections), ReferenceStars.from_columns(stars)
    return MatchedStars(*tables, star, features, np.zeros(rows, dtype=bool))


def draw_products() -> pa.Table:
    """Return what ``stars.parquet`` of a run in mode joint holds, for diagnostics."""
    table = draw_sample().detections
    rng = np.random.default_rng(41)
    rows = len(table)
    offsets = {name: rng.normal(0, 0.03, rows) for name in ("visit", "ccd", "pixel")}
    total = sum(offsets.values()) + 0.01
    mag_model = table["mag"] + total + rng.normal(0, 0.06, rows)
    columns = {
        **{name: table.arrow[name].cast(pa.string()) for name in ("file", "visit")},
        **{name: table.arrow[name] for name in ("ccd", "row", "source_id")},
        "ra_deg": table["ra"],
        "dec_deg": table["dec"],
        "mjd": table["mjd"],
        "x_pix": table["x"],
        "y_pix": table["y"],
        "mag_obs": table["mag"],
        "mag_err": table["mag_err"],
        "mag_model": mag_model,
        "delta": mag_model - table["mag"],
        **{f"offset_{name}": values for name, values in offsets.items()},
        "offset_total": total,
        "offset_colour": np.zeros(rows),
        "offset_total_err": np.full(rows, 0.004),
        "mag_cal_err": np.full(rows, 0.012),
        "mag_cal_sys": np.full(rows, 0.005),
        "offset_level": np.full(rows, 1, np.int16),
        "mag_cal": table["mag"] + total,
        "colour": mag_model - table["reference_mag"],
        "colour0": table["colour0"],
        "extinction": table["extinction"],
        "feh": table["feh"],
        "in_control": rng.random(rows) < 0.3,
        "in_solve": rng.random(rows) < 0.9,
        "reserved": rng.random(rows) < 0.02,
        "weight": rng.uniform(0.5, 1, rows),
        "star_dev": rng.normal(0, 0.05, rows),
        "star_dev_err": np.full(rows, 0.006),
        "domain_distance": rng.uniform(0, 1.2, rows).astype(np.float32),
        "r_v_slope": np.full(rows, np.nan, dtype=np.float32),
        "in_test": rng.random(rows) < 0.2,
        "flags": np.zeros(rows, np.int32),
    }
    return pa.table(columns)


def draw_corrections(detections: Detections) -> Corrections:
    """Return corrections of some detections; the last one has none."""
    rng = np.random.default_rng(51)
    rows = len(detections)
    by_level = {name: rng.normal(0, 0.03, rows) for name in ("visit", "ccd", "pixel")}
    by_level["pixel"][-1] = np.nan
    total = by_level["visit"] + by_level["ccd"] + by_level["pixel"] + 0.01
    flags = np.where(np.isnan(total), 16, 0).astype(np.int32)
    return Corrections(by_level, total, flags)
