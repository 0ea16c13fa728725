"""What a visit sees: stars, and what is none, with noise, blends, variables and defects."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.config.simulation import SimulationSettings
from scrframe.simulate.layout import Layout
from scrframe.simulate.stars import Stars
from scrframe.statistics.sky import to_plane, to_sky
from scrframe.tables import Camera, chord, unit_vectors

#: Magnitudes, relative to the limit of the survey, at which photons and sky make an error of 1.
PHOTON_MAG, SKY_MAG = 5.3, 2.5
#: Brighter stars are saturated; those fainter by this than the limit are not detected.
SATURATION_MAG, BEYOND_LIMIT_MAG = 11.8, 0.4
#: Classes of detections, and how often a star gets another one than "star".
STAR, PROBABLE_STAR, GALAXY, PROBABLE_GALAXY, NOISE, SATURATED = -1, -2, 1, -3, 0, -9
MISCLASSIFIED = 0.03
#: Share of blends among outliers; their mean size, and that of the others, in mag.
BLEND_SHARE, BLEND_MAG, OUTLIER_MAG = 0.5, 0.15, 0.2
#: Mean amplitude of variable stars in mag and the range of their periods in days.
VARIABLE_MAG, PERIODS = 0.12, (0.2, 100.0)
#: The defective column: detector, x range, last y, mean and scatter of the light lost in mag.
DEFECT_CCD, DEFECT_X, DEFECT_Y, DEFECT_MAG = 11, (1750.0, 1790.0), 1400.0, (0.10, 0.08)
#: Share of other sources that are no stars; the rest are stars too faint for a spectrum.
NOT_STARS = 0.25
#: Margin in deg about a visit in which stars are looked for.
MARGIN_DEG = 0.02
#: Share of spurious detections without a positive flux.
NO_FLUX = 0.1
YEAR, MJD_2016 = 365.25, 57388.5


@dataclass(frozen=True)
class Traits:
    """What single stars have of their own, each of shape (n,)."""

    #: Magnitude in the survey's band, with what the spectrum does not show.
    mag_true: FloatArray
    #: By how much a neighbour brightens the star, 0 for most.
    blend_mag: FloatArray
    #: Of variables (amplitude 0 for most), in mag, days and radians.
    amplitude: FloatArray
    period: FloatArray
    phase: FloatArray
    #: In mas / yr.
    pmra: FloatArray
    pmdec: FloatArray

    def take(self, kept: BoolArray) -> Traits:
        """Return the traits of the stars where `kept`, shape (n,), is true."""
        return Traits(**{item.name: getattr(self, item.name)[kept] for item in fields(self)})


@dataclass(frozen=True)
class VisitDetections:
    """Detections of one visit before its offsets are known, sorted by detector."""

    #: Index of the star, -1 for what is none. Shape (n,).
    star: IntArray
    #: Detector, by its place in the camera. Shape (n,).
    place: IntArray
    #: As measured. Shape (n,).
    x: FloatArray
    y: FloatArray
    ra_deg: FloatArray
    dec_deg: FloatArray
    #: Magnitude without offsets and noise, NaN where there is no flux. Shape (n,).
    mag: FloatArray
    #: By how much outliers, variables and defects change it, in mag. Shape (n,).
    deviation: FloatArray
    #: Shape (n,).
    classification: IntArray
    #: Shape (n,).
    outlier: BoolArray
    defect: BoolArray


def magnitude_error(mag: FloatArray, limit_mag: float) -> FloatArray:
    """Return the error that the catalogue gives: photons and sky only, at least 0.001."""
    depth = mag - limit_mag
    variance = 10 ** (0.4 * (depth - PHOTON_MAG)) + 10 ** (0.8 * (depth - SKY_MAG))
    return np.asarray(np.maximum(0.001, 2.5 * np.log10(1 + np.sqrt(variance))))


def observe_visit(
    number: int,
    settings: SimulationSettings,
    layout: Layout,
    camera: Camera,
    stars: Stars,
    traits: Traits,
    rng: np.random.Generator,
) -> VisitDetections:
    """Return what visit `number` detects, sorted by detector."""
    centre = float(layout.visit_ra_deg[number]), float(layout.visit_dec_deg[number])
    # Of a survey of many fields few stars are near; no proper motion is as large as the margin.
    reach = _reach(camera) + MARGIN_DEG
    near = np.flatnonzero(np.abs(stars.dec_deg - centre[1]) < reach)
    years = (layout.mjd[number] - MJD_2016) / YEAR
    dec0 = stars.dec_deg[near]
    dec = dec0 + traits.pmdec[near] * years / 3.6e6
    ra = stars.ra_deg[near] + traits.pmra[near] * years / 3.6e6 / np.cos(np.deg2rad(dec0))
    found, place, x, y = on_detectors(camera, ra, dec, *centre)
    limit = settings.photometric_limit + BEYOND_LIMIT_MAG
    seen = traits.mag_true[near[found]] < limit
    found, place, x, y = found[seen], place[seen], x[seen], y[seen]
    index = near[found]
    mag = traits.mag_true[index]
    # Deviations of either sign of single detections, with long tails.
    outlier = rng.uniform(0, 1, len(index)) < (1 - BLEND_SHARE) * settings.outliers
    hit = np.where(outlier, rng.laplace(0, OUTLIER_MAG, len(index)), 0.0)
    defect = (x > DEFECT_X[0]) & (x < DEFECT_X[1]) & (y < DEFECT_Y)
    defect &= (camera.ccd[place] == DEFECT_CCD) & settings.defective_column
    lost = rng.normal(*DEFECT_MAG, len(index))
    turn = 2 * np.pi * layout.mjd[number] / traits.period[index] + traits.phase[index]
    wave = traits.amplitude[index] * np.sin(turn)
    blend = traits.blend_mag[index]
    classification = np.where(rng.uniform(0, 1, len(index)) < MISCLASSIFIED, PROBABLE_STAR, STAR)
    classification[mag < SATURATION_MAG] = SATURATED
    detected = VisitDetections(
        star=index,
        place=place,
        x=x,
        y=y,
        ra_deg=ra[found],
        dec_deg=dec[found],
        mag=mag,
        deviation=wave - blend + hit + np.where(defect, lost, 0.0),
        classification=classification,
        outlier=outlier | (blend > 0),
        defect=defect,
    )
    spurious = round(NOT_STARS * settings.other_sources * stars.has_spectrum[index].sum())
    joined = _joined([detected, _not_stars(spurious, camera, centre, limit, rng)], camera)
    return _measured(joined, settings.astrometric_error_mas, rng)


def _not_stars(
    number: int, camera: Camera, centre: tuple[float, float], limit: float, rng: np.random.Generator
) -> VisitDetections:
    """Return galaxies and spurious detections at random pixels."""
    place = rng.integers(0, len(camera.ccd), number)
    x = rng.uniform(0.5, camera.nx + 0.5, number)
    y = rng.uniform(0.5, camera.ny + 0.5, number)
    ra, dec = to_sky(*camera.to_plane(place, x, y), *centre)
    kind = rng.choice([GALAXY, PROBABLE_GALAXY, NOISE], number, p=[0.5, 0.2, 0.3])
    mag = limit - rng.exponential(1.0, number)
    mag[(kind == NOISE) & (rng.uniform(0, 1, number) < NO_FLUX)] = np.nan
    star, deviation, no = np.full(number, -1), np.zeros(number), np.zeros(number, bool)
    return VisitDetections(star, place, x, y, ra, dec, mag, deviation, kind, no, no)


def _joined(parts: list[VisitDetections], camera: Camera) -> VisitDetections:
    """Stack detections and sort them by detector, and down its rows as extraction does."""
    columns = {
        item.name: np.concatenate([getattr(part, item.name) for part in parts])
        for item in fields(VisitDetections)
    }
    order = np.lexsort((columns["y"], camera.ccd[columns["place"]]))
    return VisitDetections(**{name: column[order] for name, column in columns.items()})


def _measured(
    detections: VisitDetections, noise_mas: float, rng: np.random.Generator
) -> VisitDetections:
    """Return the detections with errors of their positions."""
    per_axis = noise_mas / 3.6e6 / np.sqrt(2)
    east, north = rng.normal(0, 1, (2, len(detections.star))) * per_axis
    ra = detections.ra_deg + east / np.cos(np.deg2rad(detections.dec_deg))
    return replace(detections, ra_deg=np.mod(ra, 360), dec_deg=detections.dec_deg + north)


def draw_traits(
    settings: SimulationSettings, stars: Stars, coherent: FloatArray, rng: np.random.Generator
) -> Traits:
    """Draw what single stars have of their own.

    Parameters
    ----------
    coherent : ndarray, shape (n,)
        The coherent part of what spectra do not show, of unit scatter.
    """
    number = len(stars)
    model = stars.bp_mag + stars.colour0 + stars.slope * stars.extinction
    hidden = settings.hidden_scatter * (
        np.sqrt(1 - settings.hidden_coherent) * rng.standard_normal(number)
        + np.sqrt(settings.hidden_coherent) * coherent
    )
    blended = rng.uniform(0, 1, number) < BLEND_SHARE * settings.outliers
    variable = rng.uniform(0, 1, number) < settings.variables
    speed = 40.0 / 4.74 / (distance_pc(stars) / 1000)
    pmra, pmdec = rng.standard_normal((2, number)) * speed
    return Traits(
        mag_true=model + hidden,
        blend_mag=np.where(blended, rng.exponential(BLEND_MAG, number), 0.0),
        amplitude=np.where(variable, rng.exponential(VARIABLE_MAG, number), 0.0),
        period=PERIODS[0] * (PERIODS[1] / PERIODS[0]) ** rng.uniform(0, 1, number),
        phase=rng.uniform(0, 2 * np.pi, number),
        pmra=pmra,
        pmdec=pmdec,
    )


def distance_pc(stars: Stars) -> FloatArray:
    """Return rough distances in pc from the place in the Hertzsprung-Russell diagram."""
    teff, logg, _ = stars.parameters.T
    dwarf = 4.8 - 7.5 * np.log10(teff / 5770) / 0.15
    absolute = np.where(logg < 3.5, 0.8 + 1.6 * (logg - 2.4), np.clip(dwarf, 1.0, 9.0))
    modulus = stars.bp_mag - 3.0 * stars.extinction - absolute
    return np.asarray(np.clip(10 ** (modulus / 5 + 1), 50.0, 12000.0))


def on_detectors(
    camera: Camera, ra_deg: FloatArray, dec_deg: FloatArray, ra0_deg: float, dec0_deg: float
) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
    """Return which positions fall on a detector, and where.

    Returns
    -------
    index : ndarray of int64, shape (m,)
        Of the positions that fall on a detector.
    place : ndarray of int64, shape (m,)
        Place of the detector in the camera's list.
    x, y : ndarray, shape (m,)
        Pixel, FITS convention.
    """
    reach = _reach(camera)
    near = np.flatnonzero(np.abs(dec_deg - dec0_deg) < reach)
    apart = unit_vectors(ra_deg[near], dec_deg[near]) - unit_vectors(ra0_deg, dec0_deg)
    near = near[(apart**2).sum(axis=1) < chord(reach) ** 2]
    xi, eta = to_plane(ra_deg[near], dec_deg[near], ra0_deg, dec0_deg)
    found: list[tuple[IntArray, IntArray, FloatArray, FloatArray]] = []
    for place in range(len(camera.ccd)):
        x, y = camera.to_pixels(np.full(len(near), place), xi, eta)
        on = (x >= 0.5) & (x < camera.nx + 0.5) & (y >= 0.5) & (y < camera.ny + 0.5)
        found.append((near[on], np.full(int(on.sum()), place, np.int64), x[on], y[on]))
    index, places, x, y = (np.concatenate(columns) for columns in zip(*found, strict=True))
    return index, places, x, y


def _reach(camera: Camera) -> float:
    """Return how far in deg from the pointing a detection can lie."""
    return 1.01 * float(np.hypot(*camera.half_extent()))
