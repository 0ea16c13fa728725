"""Which fields are observed, and when: along the Galactic plane, or in a region of one's own."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray, IntArray
from scrframe.config.simulation import RegionSettings, SimulationSettings
from scrframe.errors import ConfigError
from scrframe.statistics.sky import position_of, to_sky, unit_vectors
from scrframe.tables import Camera

#: The second pointing of a field less the first, east and north, in arcsec.
SECOND_POINTING_ARCSEC = (-588.0, 660.0)
#: The control region of the paper (Sec. 2.3): RA and Dec in deg, lowest Galactic latitude.
CONTROL_RA, CONTROL_DEC, CONTROL_B = (105.0, 110.0), (-3.5, 3.0), 3.5
#: Distance of neighbouring fields in deg: control fields overlap by a sixth, pairs of others
#: by two fifths.
CONTROL_STEP, PAIR_STEP = 0.95, 0.7
#: Largest distance in latitude of the fields of a pair, in deg.
PAIR_SHIFT = 0.2
#: From so many fields on, random latitudes would leave most of them no place of their own.
MANY = 300
#: The same in a region that the description names, in widths of the camera: control fields
#: overlap by a twentieth, pairs of others by a third. Then the room in deg between a control
#: field and the edge of its region.
REGION_CONTROL_STEP, REGION_PAIR_STEP, MARGIN_DEG = 0.95, 0.67, 0.04
#: The plane that the survey covers: Galactic longitude, and the highest latitude, in deg.
LONGITUDES, LATITUDE = (222.0, 398.0), 3.4
#: So many points along each side of a field are asked whether they are in the control region.
EDGE_POINTS = 7
#: First and last season, by the year of its October.
SEASONS = (2011, 2017)
#: MJD of 1 October 2011, when the first season begins, and of the equinox before it.
SEASON_START, EQUINOX, YEAR = 55835.0, 55640.0, 365.2425


@dataclass(frozen=True)
class Layout:
    """Fields and their visits; each field has two visits, one after the other."""

    #: Names of the fields.
    name: tuple[str, ...]
    #: First pointing of each field. Shape (f,).
    ra_deg: FloatArray
    dec_deg: FloatArray
    #: Whether the field lies in the control region. Shape (f,).
    control: npt.NDArray[np.bool_]
    #: In deg. Shape (f,).
    galactic_l: FloatArray
    galactic_b: FloatArray
    #: Field of each visit. Shape (v,).
    visit_field: npt.NDArray[np.int64]
    #: Shape (v,).
    visit_ra_deg: FloatArray
    visit_dec_deg: FloatArray
    mjd: FloatArray
    airmass: FloatArray
    seeing_arcsec: FloatArray

    @property
    def control_centre(self) -> tuple[FloatArray, FloatArray]:
        """Right ascension and declination in deg of the middle of the control fields, (1,)."""
        middle = unit_vectors(self.ra_deg[self.control], self.dec_deg[self.control]).mean(axis=0)
        return position_of(middle[None])


def plan(settings: SimulationSettings, camera: Camera, rng: np.random.Generator) -> Layout:
    """Lay out the fields of a survey and its dates.

    Raises ConfigError if more control fields are asked for than the control region holds, or if
    none of the centres that are given reaches into it.
    """
    ra, dec, controls = _given(settings, camera) or _drawn(settings, camera, rng)
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
        control=np.arange(len(ra)) < controls,
        galactic_l=lon,
        galactic_b=lat,
        visit_field=np.repeat(np.arange(len(ra)), 2),
        visit_ra_deg=np.array([position[0] for position in visits]),
        visit_dec_deg=np.array([position[1] for position in visits]),
        mjd=_dates(settings, ra, rng),
        airmass=air,
        seeing_arcsec=seeing,
    )


def season_phase(mjd: FloatArray) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Return the season (0 from October 2011) of dates and how far it has gone, 0 to 1."""
    years = (mjd - SEASON_START) / YEAR
    season = np.floor(years).astype(np.int64)
    return season, years - season


def galactic(ra_deg: FloatArray, dec_deg: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return Galactic longitude and latitude in deg."""
    from astropy.coordinates import SkyCoord  # noqa: PLC0415 - slow to import

    position = SkyCoord(ra_deg, dec_deg, unit="deg").galactic
    return np.asarray(position.l.deg), np.asarray(position.b.deg)


def shifted(
    ra_deg: float, dec_deg: float, east_arcsec: float, north_arcsec: float
) -> tuple[float, float]:
    """Return a position offset on the tangent plane."""
    ra, dec = to_sky(
        np.array([east_arcsec / 3600]), np.array([north_arcsec / 3600]), ra_deg, dec_deg
    )
    return float(ra[0]), float(dec[0])


def _drawn(
    settings: SimulationSettings, camera: Camera, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, int]:
    """Return fields of our own, those in the control region first, and the number of these."""
    ra_c, dec_c = _control_fields(settings, camera)
    number, overlapping = settings.fields - len(ra_c), settings.overlapping_fields
    if settings.region is None:
        ra_o, dec_o = _plane_fields(camera, number, overlapping, rng)
    else:
        ra_o, dec_o = _region_fields(settings.region, camera, number, overlapping, rng)
    return np.r_[ra_c, ra_o], np.r_[dec_c, dec_o], len(ra_c)


def _given(
    settings: SimulationSettings, camera: Camera
) -> tuple[FloatArray, FloatArray, int] | None:
    """Return the fields of `centres`, in the same way; None where there are none."""
    if settings.centres is None:
        return None
    ra, dec = np.array(settings.centres).T
    xi, eta = (
        np.linspace(low, high, EDGE_POINTS)
        for low, high in zip(*_reach_of_field(camera), strict=True)
    )
    inside = _points_inside(settings.region, xi, eta, ra, dec).any(axis=0)
    if not inside.any():
        raise ConfigError("simulation.centres: no field reaches into the control region")
    order = np.argsort(~inside, kind="stable")
    return np.mod(ra[order], 360.0), dec[order], int(inside.sum())


def _reach_of_field(camera: Camera) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the lowest and highest (xi, eta), in deg, of what both visits of a field see."""
    wide, high = camera.half_extent()
    east, north = (value / 3600 for value in SECOND_POINTING_ARCSEC)
    return (
        (min(0, east) - wide, min(0, north) - high),
        (max(0, east) + wide, max(0, north) + high),
    )


def in_control_region(
    region: RegionSettings | None, ra_deg: FloatArray, dec_deg: FloatArray
) -> npt.NDArray[np.bool_]:
    """Return which positions lie in the control region: the paper's, or one's own."""
    (west, east), (south, north) = (
        (CONTROL_RA, CONTROL_DEC) if region is None else (region.control_ra, region.control_dec)
    )
    inside = (np.mod(ra_deg - west, 360) < east - west) & (dec_deg > south) & (dec_deg < north)
    if region is None:
        inside &= galactic(ra_deg, dec_deg)[1] > CONTROL_B
    return np.asarray(inside)


def _points_inside(
    region: RegionSettings | None,
    xi_deg: FloatArray,
    eta_deg: FloatArray,
    ra_deg: FloatArray,
    dec_deg: FloatArray,
) -> npt.NDArray[np.bool_]:
    """Return which points of n fields, a grid about each centre, lie in the control region.

    Shape (points, n).
    """
    found = []
    for xi, eta in itertools.product(xi_deg, eta_deg):
        points = [
            to_sky(np.array([xi]), np.array([eta]), *centre)
            for centre in zip(ra_deg.tolist(), dec_deg.tolist(), strict=True)
        ]
        places = (np.concatenate(part) for part in zip(*points, strict=True))
        found.append(in_control_region(region, *places))
    return np.array(found)


def _control_fields(settings: SimulationSettings, camera: Camera) -> tuple[FloatArray, FloatArray]:
    """Return fields of which both pointings lie wholly in the control region."""
    east, north = (value / 3600 for value in SECOND_POINTING_ARCSEC)
    if settings.region is None:
        margin = 0.02
        low, high = (np.array(each) for each in _reach_of_field(camera))
        xi, eta = np.array([low - margin, high + margin]).T
        grid_ra = np.arange(CONTROL_RA[1] - xi[1] - 0.02, CONTROL_RA[0], -CONTROL_STEP)
        grid_dec = np.arange(CONTROL_DEC[1] - eta[1] - 0.02, CONTROL_DEC[0], -CONTROL_STEP)
        ra, dec = (grid.ravel() for grid in np.meshgrid(grid_ra, grid_dec))
        inside = _points_inside(None, xi, eta, ra, dec).all(axis=0)
        ra, dec = ra[inside], dec[inside]
    else:
        ra, dec = _control_grid_of_region(settings.region, camera, (east, north))
    # Unless told how many, one field in three, or as many as there is room for.
    room = len(ra)
    number = settings.control_fields or max(1, min(round(settings.fields / 3), room))
    if room < number:
        raise ConfigError(
            f"simulation.control_fields: the control region holds {room} fields, not {number}"
        )
    return ra[:number], dec[:number]


def _plane_fields(
    camera: Camera, number: int, overlapping: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return fields along the plane; a share of them lies in pairs that overlap.

    Many fields lie in rows, as many as it takes for fields of different places to stay apart,
    whichever way they are turned against the rows.
    """
    from astropy.coordinates import SkyCoord  # noqa: PLC0415 - slow to import

    places, first, order = _pairs(number, overlapping)
    if number < MANY:
        spacing = (LONGITUDES[1] - LONGITUDES[0]) / max(places, 1)
        lon = LONGITUDES[0] + spacing * (np.arange(places) + 0.2 * rng.uniform(0, 1, places))
        lat = rng.uniform(-LATITUDE, LATITUDE, places)
    else:
        reach = float(np.hypot(*_footprint(camera)))
        along, row = _rows(places, first, reach, PAIR_STEP, LONGITUDES[1] - LONGITUDES[0])
        lon, lat = LONGITUDES[0] + along, (reach + PAIR_SHIFT) * row
    shift = rng.uniform(-PAIR_SHIFT, PAIR_SHIFT, places)
    lon = np.r_[lon, lon[first] + PAIR_STEP][order]
    lat = np.r_[lat, lat[first] + shift[first]][order]
    sky = SkyCoord(l=np.mod(lon, 360), b=lat, unit="deg", frame="galactic").icrs
    return np.asarray(sky.ra.deg), np.asarray(sky.dec.deg)


def _dates(
    settings: SimulationSettings, ra_deg: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Return the dates of the visits, two within an hour: near opposition, or in a given span."""
    n_fields = len(ra_deg)
    if settings.region is not None:
        earliest, latest = settings.region.dates
        night = np.floor(rng.uniform(earliest, max(latest, earliest + 1), n_fields))
    else:
        year = rng.integers(0, SEASONS[1] - SEASONS[0], n_fields) + 1
        opposition = EQUINOX + YEAR * (year + np.mod((ra_deg - 180) / 360, 1) - 0.5)
        opposition += np.where(opposition < SEASON_START + 70, YEAR, 0.0)
        night = np.floor(opposition + np.clip(rng.normal(0, 35, n_fields), -80, 80))
    start = night + rng.uniform(0.03, 0.35, n_fields)
    return np.stack([start, start + rng.uniform(0.003, 0.02, n_fields)], axis=1).ravel()


def _control_grid_of_region(
    region: RegionSettings, camera: Camera, second_deg: tuple[float, float]
) -> tuple[FloatArray, FloatArray]:
    """Return the first pointings of control fields that lie wholly in the region.

    Parameters
    ----------
    second_deg : (float, float)
        The second pointing less the first, east and north.
    """
    wide, high = camera.half_extent()
    east, north = second_deg
    lower, upper = region.control_dec
    steepest = np.cos(np.deg2rad(max(abs(lower), abs(upper))))
    dec = _steps(
        lower - min(0.0, north) + high + MARGIN_DEG,
        upper - max(0.0, north) - high - MARGIN_DEG,
        REGION_CONTROL_STEP * 2 * high,
    )
    ra = _steps(
        region.control_ra[0] + (wide - min(0.0, east) + MARGIN_DEG) / steepest,
        region.control_ra[1] - (wide + max(0.0, east) + MARGIN_DEG) / steepest,
        REGION_CONTROL_STEP * 2 * wide / steepest,
    )
    grid_ra, grid_dec = (grid.ravel() for grid in np.meshgrid(ra, dec))
    return np.mod(grid_ra, 360.0), grid_dec


def _region_fields(
    region: RegionSettings,
    camera: Camera,
    number: int,
    overlapping: float,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Return further fields, a share of them in pairs that overlap.

    Single fields and the first of each pair lie evenly in right ascension, at random
    declinations, or many of them in rows; the second of a pair lies east of the first.

    Raises ConfigError if so many fields have no room in the region.
    """
    places, first, order = _pairs(number, overlapping)
    low, high = region.other_ra
    step = REGION_PAIR_STEP * 2 * camera.half_extent()[0]
    if number < MANY:
        part = (np.arange(places) + rng.uniform(0.3, 0.7, places)) / max(places, 1)
        ra = low + (high - low) * part
        dec = rng.uniform(*region.other_dec, places)
    else:
        width, height = _footprint(camera)
        south, north = region.other_dec
        steepest = np.cos(np.deg2rad(max(abs(south), abs(north))))
        along, row = _rows(places, first, width, step, (high - low) * steepest)
        if (row.max() - row.min()) * height > north - south:
            raise ConfigError(
                f"simulation.region: {number} fields besides those of the control region have no"
                " room in other_ra and other_dec"
            )
        ra, dec = low + along / steepest, (south + north) / 2 + height * row
    shift = np.full(len(first), step)
    second = [
        to_sky(shift[n : n + 1], np.zeros(1), float(ra[place]), float(dec[place]))
        for n, place in enumerate(first)
    ]
    all_ra = np.r_[ra, [float(position[0][0]) for position in second]][order]
    all_dec = np.r_[dec, [float(position[1][0]) for position in second]][order]
    return np.mod(all_ra, 360.0), all_dec


def _pairs(number: int, overlapping: float) -> tuple[int, IntArray, IntArray]:
    """Return the number of places, those of pairs, and the order of single and second fields.

    Pairs and single fields take turns.
    """
    pairs = min(round(overlapping * number / 2), number // 2)
    places = number - pairs
    first = np.flatnonzero(np.diff(np.floor(np.arange(places + 1) * pairs / max(places, 1))) > 0)
    return places, first, np.argsort(np.r_[np.arange(places), first], kind="stable")


def _footprint(camera: Camera) -> tuple[float, float]:
    """Return width and height, in deg, of what the two visits of a field see together."""
    east, north = (abs(value) / 3600 for value in SECOND_POINTING_ARCSEC)
    wide, high = camera.half_extent()
    return 2 * wide + east, 2 * high + north


def _rows(
    places: int, first: IntArray, width: float, pair_step: float, span: float
) -> tuple[FloatArray, FloatArray]:
    """Return where places lie along rows of a length `span`, and their rows, 0 in the middle.

    A place needs `width`, and one of a pair `pair_step` more.
    """
    needed = np.full(places, width)
    needed[first] += pair_step
    start = np.cumsum(needed) - needed
    rows = int(np.ceil(needed.sum() / span))
    length = needed.sum() / rows
    row = np.minimum(np.floor(start / length), rows - 1)
    return (start - row * length) * (span / length), row - (rows - 1) / 2


def _steps(low: float, high: float, step: float) -> FloatArray:
    """Return values from `low` to `high`; none where there is no room."""
    if high < low:
        return np.zeros(0)
    return np.asarray(low + step * np.arange(int((high - low) / step) + 1), dtype=np.float64)
