"""Detections and calibration samples for the tests of levels."""

import numpy as np
import pytest

from scrframe.tables import Detections, MatchedStars
from scrframe.tables.table import derive


def build_table(visit, ccd, x=None, y=None, **columns):
    """Return detections; what is not given is 1."""
    n = len(visit)
    ones = np.ones(n)
    return Detections.from_columns(
        {
            "visit": visit,
            "band": ["u"] * n,
            "ccd": ccd,
            "file": ["f"] * n,
            "extension": ccd,
            "row": np.arange(n),
            "ra": ones,
            "dec": ones,
            "mjd": ones,
            "x": ones if x is None else x,
            "y": ones if y is None else y,
            "mag": ones,
            "mag_err": ones,
            **columns,
        }
    )


def build_sample(detections):
    """Return a calibration sample of these detections."""
    zero = np.zeros(len(detections), dtype=np.int64)
    return MatchedStars(detections, detections, zero, np.zeros((1, 1), np.float32), zero == 1)


def build_survey(seed, n=600, visits=6, ccds=4, fields=2, first=0):
    """Return detections of a small survey with all columns that any level reads."""
    rng = np.random.default_rng(seed)
    visit, ccd = rng.integers(0, visits, n), rng.integers(1, ccds + 1, n)
    field = visit % fields
    ra, dec = 359.8 + 20 * field + rng.uniform(0, 0.5, n), -30 + rng.uniform(0, 0.5, n)
    table = build_table(
        [f"v{first + number}" for number in visit],
        ccd,
        rng.uniform(0.5, 2048.5, n),
        rng.uniform(0.5, 4100.5, n),
        ra=ra % 360,
        dec=dec,
        star_ra=ra % 360,
        star_dec=dec,
        mjd=55900.25 + 333 * visit,
        field=[f"f{first + number}" for number in field],
        extinction=rng.gamma(2, 0.3, n),
        colour0=rng.normal(1.0, 0.4, n),
        relative_colour=rng.normal(-0.5, 0.6, n),
        airmass=1 + 0.1 * visit,
        classification=-rng.integers(1, 3, n),
    )
    return derive(table, "detection", ["season"])


@pytest.fixture
def table():
    return build_table


@pytest.fixture
def matched():
    return build_sample


@pytest.fixture
def survey():
    return build_survey
