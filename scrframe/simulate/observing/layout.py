"""Which fields are observed, and when."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray
from scrframe.config.simulation import SimulationSettings
from scrframe.errors import ConfigError
from scrframe.simulate.observing.geometry import half_extent, shifted, to_sky
from scrframe.simulate.observing.region import control_fields, other_fields, visit_dates
from scrframe.tables import Camera

#: The second pointing of a field less the first, east and north, in arcsec.
SECOND_POINTING_ARCSEC = (-588.0, 660.0)
#: The control region of the paper (Sec. 2.3): RA and Dec in deg, lowest Galactic latitude.
CONTROL_RA, CONTROL_DEC, CONTROL_B = (105.0, 110.0), (-3.5, 3.0), 3.5
#: Distance of neighbouring fields in deg: control fields overlap by a sixth, pairs of others
#: by two fifths.
CONTROL_STEP, PAIR_STEP = 0.95, 0.7
#: The plane that the survey covers: Galactic longitude, and the highest latitude, in deg.
LONGITUDES, LATITUDE = (222.0, 398.0), 3.4
#: First and last season, by the year of its October.
SEASONS = (2011, 2017)
#: MJD of 1 October 2011, when the first season begins, and of the equinox before it.
SEASON_START, EQUINOX, YEAR = 55835.0, 55640.0, 365.2425


@dataclass(frozen=True)
class Layout:
    """Fields and their visits; each field has two visits, one after the other.

    Attributes
    ----------
    name : tuple of str
        Names of the fields.
    ra_deg, dec_deg : ndarray, shape (f,)
        First pointing of each field.
    control : ndarray of bool, shape (f,)
        Whether the field lies in the control region.
    galactic_l, galactic_b : ndarray, shape (f,)
        In deg.
    visit_field : ndarray of int64, shape (v,)
        Field of each visit.
    visit_ra_deg, visit_dec_deg, mjd, airmass, seeing_arcsec : ndarray, shape (v,)
    """

    name: tuple[str, ...]
    ra_deg: FloatArray
    dec_deg: FloatArray
    control: npt.NDArray[np.bool_]
    galactic_l: FloatArray
    galactic_b: FloatArray
    visit_field: npt.NDArray[np.int64]
    visit_ra_deg: FloatArray
    visit_dec_deg: FloatArray
    mjd: FloatArray
    airmass: FloatArray
    seeing_arcsec: FloatArray


def season_phase(mjd: FloatArray) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Return the season (0 from October 2011) of dates and how far it has gone, 0 to 1."""
    years = (mjd - SEASON_START) / YEAR
    season = np.floor(years).astype(np.int64)
    return season, years - season


def plan(settings: SimulationSettings, camera: Camera, rng: np.random.Generator) -> Layout:
    """Lay out the fields of a survey and its dates.

    Raises
    ------
    ConfigError
        If more control fields are asked for than the control region holds.
    """
    ra_c, dec_c = _control_fields(settings, camera)
    number, overlapping = settings.fields - len(ra_c), settings.overlapping_fields
    if settings.region is None:
        ra_o, dec_o = _plane_fields(number, overlapping, rng)
    else:
        ra_o, dec_o = other_fields(settings.region, camera, number, overlapping, rng)
    ra, dec = np.r_[ra_c, ra_o], np.r_[dec_c, dec_o]
    lon, lat = galactic(ra, dec)
    visits = [
        position
        for centre in zip(ra, dec, strict=True)
        for position in (centre, shifted(*centre, *SECOND_POINTING_ARCSEC))
    ]
    n_visits = len(visits)
    air = np.repeat(rng.uniform(1.05, 1.6, len(ra)), 2) + rng.normal(0, 0.01, n_visits)
    seeing = np.repeat(rng.uniform(0.8, 1.4, len(ra)), 2) * rng.uniform(0.95, 1.05, n_visits)
    return Layout(
        name=tuple(f"field_{number:04d}" for number in range(1, len(ra) + 1)),
        ra_deg=ra,
        dec_deg=dec,
        control=np.arange(len(ra)) < len(ra_c),
        galactic_l=lon,
        galactic_b=lat,
        visit_field=np.repeat(np.arange(len(ra)), 2),
        visit_ra_deg=np.array([position[0] for position in visits]),
        visit_dec_deg=np.array([position[1] for position in visits]),
        mjd=_dates(settings, ra, rng),
        airmass=air,
        seeing_arcsec=seeing,
    )


def galactic(ra_deg: FloatArray, dec_deg: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return Galactic longitude and latitude in deg."""
    from astropy.coordinates import SkyCoord  # noqa: PLC0415 - slow to import

    position = SkyCoord(ra_deg, dec_deg, unit="deg").galactic
    return np.asarray(position.l.deg), np.asarray(position.b.deg)


def _control_fields(settings: SimulationSettings, camera: Camera) -> tuple[FloatArray, FloatArray]:
    """Return fields of which both pointings lie wholly in the control region."""
    east, north = (value / 3600 for value in SECOND_POINTING_ARCSEC)
    if settings.region is None:
        ra, dec = _control_places(camera, east, north)
    else:
        ra, dec = control_fields(settings.region, camera, (east, north))
    # Unless told how many, one field in three, or as many as there is room for.
    room = len(ra)
    number = settings.control_fields or max(1, min(round(settings.fields / 3), room))
    if room < number:
        raise ConfigError(
            f"simulation.control_fields: the control region holds {room} fields, not {number}"
        )
    return ra[:number], dec[:number]


def _control_places(camera: Camera, east: float, north: float) -> tuple[FloatArray, FloatArray]:
    """Return where fields fit into the control region of the paper."""
    wide, high = half_extent(camera)
    margin = 0.02
    xi = np.array([min(0, east) - wide - margin, max(0, east) + wide + margin])
    eta = np.array([min(0, north) - high - margin, max(0, north) + high + margin])
    grid_ra = np.arange(CONTROL_RA[1] - xi[1] - 0.02, CONTROL_RA[0], -CONTROL_STEP)
    grid_dec = np.arange(CONTROL_DEC[1] - eta[1] - 0.02, CONTROL_DEC[0], -CONTROL_STEP)
    ra, dec = (grid.ravel() for grid in np.meshgrid(grid_ra, grid_dec))
    inside = np.ones(len(ra), bool)
    for corner_xi, corner_eta in [(a, b) for a in xi for b in eta]:
        corners = [
            to_sky(np.array([corner_xi]), np.array([corner_eta]), a, d)
            for a, d in zip(ra, dec, strict=True)
        ]
        corner_ra, corner_dec = (np.concatenate(part) for part in zip(*corners, strict=True))
        inside &= (corner_ra > CONTROL_RA[0]) & (corner_ra < CONTROL_RA[1])
        inside &= (corner_dec > CONTROL_DEC[0]) & (corner_dec < CONTROL_DEC[1])
        inside &= galactic(corner_ra, corner_dec)[1] > CONTROL_B
    return ra[inside], dec[inside]


def _plane_fields(
    number: int, overlapping: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return fields along the plane; a share of them lies in pairs that overlap."""
    from astropy.coordinates import SkyCoord  # noqa: PLC0415 - slow to import

    pairs = round(overlapping * number / 2)
    places = number - pairs
    # Pairs and single fields take turns along the plane.
    is_pair = np.diff(np.floor(np.arange(places + 1) * pairs / max(places, 1))) > 0
    spacing = (LONGITUDES[1] - LONGITUDES[0]) / max(places, 1)
    lon = LONGITUDES[0] + spacing * (np.arange(places) + 0.2 * rng.uniform(0, 1, places))
    lat = rng.uniform(-LATITUDE, LATITUDE, places)
    shift = rng.uniform(-0.2, 0.2, places)
    second = np.flatnonzero(is_pair)
    order = np.argsort(np.r_[np.arange(places), second], kind="stable")
    lon = np.r_[lon, lon[second] + PAIR_STEP][order]
    lat = np.r_[lat, lat[second] + shift[second]][order]
    sky = SkyCoord(l=np.mod(lon, 360), b=lat, unit="deg", frame="galactic").icrs
    return np.asarray(sky.ra.deg), np.asarray(sky.dec.deg)


def _dates(
    settings: SimulationSettings, ra_deg: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Return the dates of the visits: near opposition, two visits within an hour."""
    n_fields = len(ra_deg)
    if settings.region is not None:
        return visit_dates(settings.region, n_fields, rng)
    year = rng.integers(0, SEASONS[1] - SEASONS[0], n_fields) + 1
    opposition = EQUINOX + YEAR * (year + np.mod((ra_deg - 180) / 360, 1) - 0.5)
    opposition += np.where(opposition < SEASON_START + 70, YEAR, 0.0)
    night = np.floor(opposition + np.clip(rng.normal(0, 35, n_fields), -80, 80))
    start = night + rng.uniform(0.03, 0.35, n_fields)
    return np.stack([start, start + rng.uniform(0.003, 0.02, n_fields)], axis=1).ravel()
