"""Matching against astropy, with proper motions, near the pole and across RA 0."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.time import Time

from scrframe.scr.match import julian_year, match_visit, sky_index
from scrframe.tables import ReferenceStars


def stars(ra, dec, pmra=0.0, pmdec=0.0):
    n = len(ra)
    full = lambda value: np.broadcast_to(np.asarray(value, float), n).copy()  # noqa: E731
    return ReferenceStars.from_columns(
        {
            "source_id": np.arange(n),
            "ref_ra": ra,
            "ref_dec": dec,
            "ref_epoch": full(2016.0),
            "pmra": full(pmra),
            "pmdec": full(pmdec),
            "reference_mag": full(15),
            "reference_mag_err": full(0.003),
        }
    )


def test_julian_year_is_astropys():
    assert julian_year(55925.2) == pytest.approx(Time(55925.2, format="mjd").jyear, abs=1e-9)


@pytest.mark.filterwarnings("ignore:ERFA function")  # distances do not matter here
@pytest.mark.parametrize(("ra0", "dec0"), [(107.0, -1.0), (0.0, 30.0), (200.0, 89.5)])
def test_matches_are_astropys_at_the_epoch_of_the_visit(ra0, dec0):
    rng = np.random.default_rng(5)
    n, mjd = 400, 55925.0
    centre = SkyCoord(ra0 * u.deg, dec0 * u.deg)
    place = centre.directional_offset_by(
        rng.uniform(0, 360, n) * u.deg, rng.uniform(0.0, 0.4, n) * u.deg
    )
    pmra, pmdec = rng.normal(0, 400, n), rng.normal(0, 400, n)
    catalogue = SkyCoord(
        place.ra,
        place.dec,
        pm_ra_cosdec=pmra * u.mas / u.yr,
        pm_dec=pmdec * u.mas / u.yr,
        obstime=Time(2016.0, format="jyear"),
    )
    moved = catalogue.apply_space_motion(new_obstime=Time(mjd, format="mjd"))
    shuffled = rng.permutation(n)
    index = sky_index(stars(place.ra.deg, place.dec.deg, pmra, pmdec))
    row, distance = match_visit(moved.ra.deg[shuffled], moved.dec.deg[shuffled], mjd, index, 1.0)
    np.testing.assert_array_equal(row, shuffled)
    # 4 years of 0.4 arcsec a year: straight motion is good to far below a mas.
    assert distance.max() < 1e-3


def test_without_proper_motion_the_same_stars_are_missed():
    index = sky_index(stars([10.0], [0.0], pmra=1000.0))
    moved = 10.0 + 1000e-3 / 3600 * (julian_year(55925.0) - 2016.0)
    row, _ = match_visit(np.array([moved]), np.array([0.0]), 55925.0, index, 0.1)
    assert row.tolist() == [0]
    row, _ = match_visit(np.array([10.0]), np.array([0.0]), 55925.0, index, 0.1)
    assert row.tolist() == [-1]


def test_radius_and_distance():
    index = sky_index(stars([10.0, 10.01], [0.0, 0.0]))
    ra = np.array([10.0 + 0.9 / 3600, 10.01 + 1.1 / 3600])
    row, distance = match_visit(ra, np.zeros(2), 57388.5, index, 1.0)
    assert row.tolist() == [0, -1]
    assert distance[0] == pytest.approx(0.9, abs=1e-6)
    assert np.isnan(distance[1])


def test_of_two_detections_of_a_star_the_nearest_keeps_it():
    index = sky_index(stars([10.0], [0.0]))
    ra = np.array([10.0 + 0.6 / 3600, 10.0 - 0.2 / 3600])
    row, _ = match_visit(ra, np.zeros(2), 57388.5, index, 1.0)
    assert row.tolist() == [-1, 0]


def test_nothing_to_match():
    index = sky_index(stars([10.0], [0.0]))
    row, distance = match_visit(np.array([]), np.array([]), 57388.5, index, 1.0)
    assert len(row) == len(distance) == 0
    row, _ = match_visit(np.array([200.0]), np.array([50.0]), 57388.5, index, 1.0)
    assert row.tolist() == [-1]
