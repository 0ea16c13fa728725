"""The detections and visits of a run as null tests take them, and the limits of these."""

from __future__ import annotations

import numpy as np
from scipy.cluster import hierarchy

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.checks.null_tests.inputs import NullTestLimits, StarSample, VisitSample
from scrframe.checks.verdict import Limit
from scrframe.config.results import CheckSettings
from scrframe.products.run_data import RunData
from scrframe.statistics.covariance import Covariance, variances
from scrframe.statistics.groups import codes
from scrframe.statistics.sky import kd_partition
from scrframe.tables import FLAG_BITS, chord, unit_vectors

#: A first of October, when observing seasons begin, and the length of a year, in d.
SEASON_START, YEAR = 55835.0, 365.2425
#: Fields further apart than this, in deg, are in different regions.
REGION_DEG = 3.0
#: Fields whose distances are looked at together: 4,000 take 64 MB.
MOST_FIELDS = 4_000
#: Flags of stars that the training stars do not represent.
OUTSIDE = sum(FLAG_BITS[name] for name in ("outside_spectrum", "outside_shape", "outside_snr"))
#: The error of a run that states none, and the smallest size that matters beside any, in mag.
STATED_MAG, LEAST_SIZE_MAG = 0.006, 0.002
#: Limits over the size that matters, which is a third of the stated errors. A structure on the sky
#: of half of them makes these too small by an eighth. The ends of a trend are some three times its
#: root mean square.
STRUCTURE, TREND = 1.5, 3.0


def stated_error_mag(data: RunData) -> float:
    """Return the usual error that a run states of its corrections, systematics included, in mag."""
    if not data.has("offset_total_err"):
        return STATED_MAG
    squares = data.star("offset_total_err") ** 2
    if data.has("mag_cal_sys"):
        squares = squares + np.nan_to_num(data.star("mag_cal_sys")) ** 2
    squares = squares[data.in_solve & np.isfinite(squares)]
    return float(np.sqrt(squares.mean())) if len(squares) else STATED_MAG


def as_limits(settings: CheckSettings, stated_mag: float) -> NullTestLimits:
    """Return the limits of a description as the tests take them.

    Those that it leaves open follow from the error that the run states, in mag.
    """
    sigma = settings.significance
    size = settings.size or max(LEAST_SIZE_MAG, stated_mag / 3)

    def limit(given: float | None, factor: float) -> Limit:
        return Limit(factor * size if given is None else given, sigma)

    return NullTestLimits(
        trend=limit(settings.residual_trend, TREND),
        magnitude_slope=settings.magnitude_slope,
        ccd=limit(settings.residual_ccd, 1.0),
        kinds=limit(settings.reserved, STRUCTURE),
        structure=limit(settings.structure, STRUCTURE),
        detector=limit(settings.detector_structure, 1.0),
        visit=Limit(settings.visit_trend, sigma),
        pull=Limit(settings.repeats_pull, sigma),
        repeats=limit(settings.repeats, STRUCTURE),
        overlap=limit(settings.overlaps, STRUCTURE),
        step=Limit(settings.ccd_step, sigma),
        place=Limit(settings.ccd_places, sigma),
    )


def star_sample(
    data: RunData, covariance: Covariance, nuisance: FloatArray | float = 0.0
) -> StarSample:
    """Return the detections as the null tests take them.

    `nuisance`, in mag, is what random nuisance terms say of them, shape (n,).
    """
    visit = data.visit_code.astype(np.int64)
    inside = (data.star("flags") & OUTSIDE) == 0
    reserved = data.has("reserved")
    judges = data.star("reserved") if reserved else ~data.star("in_control")
    quantities = {
        "magnitude": data.reference_mag(),
        "colour": data.star("colour0"),
        "extinction": data.star("extinction"),
    }
    if data.has("domain_distance"):
        quantities["distance"] = data.star("domain_distance").astype(np.float64)
    photometric, exposure = _errors(data, visit, covariance)
    nx, ny = extent(data)
    return StarSample(
        residual_mag=data.residual,
        left_mag=np.asarray(data.residual - nuisance),
        apparent_colour=data.star("mag_model") - quantities["magnitude"],
        detector_place=(data.star("x_pix") / nx, data.star("y_pix") / ny),
        mag=data.star("mag_cal"),
        photometric_err=photometric,
        exposure_err=exposure,
        position=(data.star("ra_deg"), data.star("dec_deg")),
        source=data.star("source_id"),
        ccd=data.ccd.astype(np.int64),
        visit=visit,
        field=_fields(data)[visit],
        region=_regions(data)[visit],
        judges=judges & inside & _predicted_inside(data),
        solved=data.in_solve & (data.weight > 0.5),
        quantities=quantities,
        ccd_offset_mag=data.star("offset_ccd") if data.has("offset_ccd") else None,
        reserved=reserved,
    )


def visit_sample(data: RunData, covariance: Covariance, stars: StarSample) -> VisitSample:
    """Return the visits as the null tests take them."""
    table = data.visit_table
    longitude, latitude = _galactic(table.ra_deg, table.dec_deg)
    field = _fields(data)
    count = np.bincount(stars.visit, minlength=len(table))
    quantities = {"latitude": latitude, "longitude": longitude, "time": table.mjd}
    quantities["hour"] = _hours(table.mjd)
    if np.isfinite(table.airmass).any():
        quantities["airmass"] = table.airmass
    means = {
        "extinction": data.star("extinction"),
        "colour": data.star("colour0"),
        "control": data.star("in_control"),
    }
    with np.errstate(invalid="ignore"):
        for name, values in means.items():
            quantities[name] = np.bincount(stars.visit, values, len(table)) / count
        if data.has("feh"):  # not known of every star
            known = np.isfinite(data.star("feh"))
            visit, feh = stars.visit[known], data.star("feh")[known]
            number = np.bincount(visit, minlength=len(table))
            quantities["metallicity"] = np.bincount(visit, feh, len(table)) / number
    night = codes(np.floor(np.nan_to_num(table.mjd, nan=-1.0)))
    phase = (table.mjd - SEASON_START) / YEAR % 1
    return VisitSample(
        offset_mag=table.offset_mag,
        covariance=covariance,
        field=field,
        region=_regions(data),
        night=night,
        date=table.mjd,
        season=table.season,
        phase=phase,
        quantities=quantities,
    )


def _hours(mjd: FloatArray) -> FloatArray:
    """Return how long after the middle of the nights visits began, in h, shape (v,)."""
    turn = 2j * np.pi * mjd
    known = np.exp(turn[np.isfinite(mjd)])
    middle = np.angle(known.mean()) if len(known) else 0.0
    return np.asarray(np.angle(np.exp(turn - 1j * middle)) * 24 / (2 * np.pi))


def extent(data: RunData) -> tuple[float, float]:
    """Return width and height of the detectors in pixels, as far as is known."""
    if data.camera is not None:
        return float(data.camera.nx), float(data.camera.ny)
    places = [data.star(name) for name in ("x_pix", "y_pix")]
    reach = [float(np.ceil(axis.max() - 0.5)) if len(axis) else 1.0 for axis in places]
    return max(reach[0], 1.0), max(reach[1], 1.0)


def _fields(data: RunData) -> IntArray:
    """Return a number for the field of each visit; a visit without a field is one by itself."""
    names = np.asarray(data.visit_table.field, dtype=str)
    return codes(np.where(names == "", np.asarray(data.visits, dtype=str), names))


def _regions(data: RunData) -> IntArray:
    """Return a number for the region of each visit: fields of which no two are far apart."""
    field = _fields(data)
    first = np.unique(field, return_index=True)[1]
    table = data.visit_table
    centre = unit_vectors(table.ra_deg[first], table.dec_deg[first])
    known = np.flatnonzero(np.isfinite(centre).all(axis=1))
    region = np.zeros(len(first), dtype=np.int64)
    # All distances of very many would fill the memory: neighbourhoods of them each by itself.
    part = kd_partition(centre[known], -(-len(known) // MOST_FIELDS)) if len(known) else known
    for number in np.unique(part):
        some = known[part == number]
        if len(some) > 1:
            tree = hierarchy.complete(centre[some])
            region[some] = hierarchy.fcluster(tree, chord(REGION_DEG), criterion="distance")
        region[some] += 1 + region[known[part < number]].max(initial=0)
    return codes(region)[field]


def _errors(
    data: RunData, visit: IntArray, covariance: Covariance
) -> tuple[FloatArray | None, FloatArray | None]:
    """Return the errors of detections, and of exposures less what the visits have in common."""
    if not data.has("mag_cal_err"):
        return None, None
    whole, offset = data.star("mag_cal_err"), data.star("offset_total_err")
    common = np.nan_to_num(variances(covariance))[visit]
    photometric = np.sqrt(np.maximum(whole**2 - offset**2, 0.0))
    return photometric, np.sqrt(np.maximum(offset**2 - common, 0.0))


def _predicted_inside(data: RunData) -> BoolArray:
    """Return which detections are predicted within the magnitudes of the solve, shape (n,).

    Beyond them a cut on observed magnitudes keeps those that noise brought in.
    """
    predicted = data.star("mag_model") - data.correction_mag
    solved = predicted[data.in_solve & np.isfinite(predicted)]
    if not len(solved):
        return np.asarray(np.isfinite(predicted))
    return np.asarray((predicted >= solved.min()) & (predicted <= solved.max()))


def _galactic(ra_deg: FloatArray, dec_deg: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return Galactic longitude, from the widest gap on, and latitude in deg."""
    from astropy.coordinates import SkyCoord  # noqa: PLC0415 - slow to import

    known = np.isfinite(ra_deg) & np.isfinite(dec_deg)
    longitude, latitude = np.full(len(ra_deg), np.nan), np.full(len(ra_deg), np.nan)
    if known.any():
        place = SkyCoord(ra_deg[known], dec_deg[known], unit="deg").galactic
        along = np.sort(place.l.deg)
        gaps = np.diff(along, append=along[0] + 360)
        start = along[(int(np.argmax(gaps)) + 1) % len(along)]
        longitude[known] = start + (place.l.deg - start) % 360
        latitude[known] = place.b.deg
    return longitude, latitude
