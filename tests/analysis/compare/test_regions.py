"""Control regions: geometry by identities, figures by injected errors, verdicts by many draws."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from scrframe.analysis.compare.region_candidates import (
    Region,
    SkyCircle,
    TriedRegion,
    centre_of,
    low_extinction_circles,
)
from scrframe.analysis.compare.region_ranking import COLOUR_BINS, JudgingDetections, rank_regions

DESCRIBED = Region("described", "described", None, 1000, 0.2, 0.3, 0.0, 1.5)
OTHER = replace(DESCRIBED, name="other", kind="cap", cap=SkyCircle(10.0, 5.0, 1.0))
FIELDS, VISITS, EACH = 40, 80, 60


@pytest.mark.parametrize("centre", [(0.2, 1.0), (359.9, -40.0), (120.0, 89.5), (200.0, -90.0)])
def test_a_cap_holds_what_astropy_finds_within_its_radius(centre):
    rng = np.random.default_rng(1)
    ra = (centre[0] + rng.uniform(-4, 4, 2000) / max(np.cos(np.radians(centre[1])), 0.02)) % 360
    dec = np.clip(centre[1] + rng.uniform(-3, 3, 2000), -90, 90)
    middle = SkyCoord(*centre, unit=u.deg)
    separation = middle.separation(SkyCoord(ra, dec, unit=u.deg)).deg
    inside = SkyCircle(*centre, 2.0).holds(ra, dec)
    np.testing.assert_array_equal(inside, separation <= 2.0)
    assert 0 < inside.sum() < len(ra)


def test_the_centre_of_positions_is_not_torn_at_0_h():
    ra, dec = centre_of(np.array([359.0, 1.0]), np.array([0.0, 0.0]))
    # Sums of a few numbers of order one.
    assert min(ra, 360 - ra) == pytest.approx(0, abs=1e-12)
    assert dec == pytest.approx(0, abs=1e-12)


def sky():
    """Return stars of ten fields along the equator, 5 deg apart, E by field."""
    rng = np.random.default_rng(2)
    place = np.repeat(np.arange(10), 200)
    ra = 5.0 * place + rng.uniform(-0.5, 0.5, len(place))
    dec = rng.uniform(-0.5, 0.5, len(place))
    extinction = np.array([5, 3, 9, 1, 8, 2, 7, 4, 6, 10])[place] / 10
    return ra, dec, extinction, place


def test_caps_are_about_the_fields_of_least_extinction():
    circles = low_extinction_circles(*sky(), (1.0,), each=3, min_stars=100)
    assert [round(circle.ra_deg / 5) for circle in circles] == [3, 5, 1]


def test_caps_of_the_same_stars_or_of_too_few_are_not_tried_twice():
    circles = low_extinction_circles(*sky(), (1.0, 1.5, 2.0, 6.0), each=1, min_stars=150)
    held = [frozenset(np.flatnonzero(circle.holds(*sky()[:2]))) for circle in circles]
    assert len(set(held)) == len(held)
    assert (
        len(
            [
                circle
                for circle in circles
                if round(circle.ra_deg / 5) == 3 and circle.radius_deg < 3
            ]
        )
        == 1
    )
    assert low_extinction_circles(*sky(), (1.0,), each=3, min_stars=201) == []


def judging(seed=3):
    rng = np.random.default_rng(seed)
    visit = np.repeat(np.arange(VISITS), EACH)
    return JudgingDetections(visit, np.arange(VISITS) // 2, rng.uniform(0, 1.5, len(visit)))


def tried(judge, region, visit_error, colour_slope=0.0, noise=None):
    """Return a region whose zero points and colours err by known amounts."""
    error = visit_error[judge.visit] + colour_slope * (judge.colour_mag - 0.75)
    error = error if noise is None else error + noise
    return TriedRegion(region, error, judge.by_visit(error), outside=0.1)


def test_scatter_and_bias_are_those_injected():
    judge = judging()
    errors = np.random.default_rng(4).normal(0, 0.01, VISITS)
    found = rank_regions(
        [tried(judge, DESCRIBED, errors + 0.3)], judge, np.zeros(VISITS * EACH), "b"
    )
    result = found.described
    # Identities: the constant has no part, and nothing depends on colour.
    assert result.scatter_mag == pytest.approx(errors.std(), rel=1e-9)
    assert result.bias_mag == pytest.approx(0, abs=1e-12)
    assert result.total_mag == pytest.approx(errors.std(), rel=1e-9)


def test_a_slope_on_colour_is_a_bias_and_no_scatter():
    judge = judging()
    # Colours alike in all visits, so that the slope averages to the same in each.
    colour = np.tile(np.linspace(0, 1.5, EACH), VISITS)
    judge = JudgingDetections(judge.visit, judge.group, colour)
    one = tried(judge, DESCRIBED, np.zeros(VISITS), colour_slope=0.02)
    result = rank_regions([one], judge, np.zeros(len(colour)), "b").described
    means = [np.mean(0.02 * (colour[judge.bins == k] - 0.75)) for k in range(COLOUR_BINS)]
    assert result.bias_mag == pytest.approx(np.sqrt(np.mean(np.square(means))), rel=1e-9)
    assert result.scatter_mag == pytest.approx(0, abs=1e-12)


def test_errors_are_those_of_repeated_draws():
    """The bootstrap's error of the scatter against that of many independent surveys."""
    judge, rng = judging(), np.random.default_rng(5)
    results = []
    for _ in range(200):
        # Both visits of a field err alike: fields are what is independent.
        one = tried(judge, DESCRIBED, np.repeat(rng.normal(0, 0.01, FIELDS), 2))
        found = rank_regions([one], judge, np.zeros(VISITS * EACH), "b", draws=200).described
        results.append((found.scatter_mag, found.scatter_err_mag))
    value, err = np.array(results).T
    # 200 draws know a standard deviation to 5 per cent, so 15 is three sigma; the bootstrap
    # of 40 fields is itself known to err by a few.
    assert err.mean() == pytest.approx(value.std(), rel=0.2)


def verdicts(first_sd, second_sd, draws=100):
    judge, rng = judging(), np.random.default_rng(6)
    found = []
    for _ in range(draws):
        regions = [
            tried(judge, region, np.repeat(rng.normal(0, sd, FIELDS), 2))
            for region, sd in ((DESCRIBED, first_sd), (OTHER, second_sd))
        ]
        ranked = rank_regions(regions, judge, np.zeros(VISITS * EACH), "b", draws=200)
        found.append(next(one for one in ranked.results if one.region is OTHER).verdict)
    return found


def test_verdicts():
    assert set(verdicts(0.010, 0.003, draws=10)) == {"better"}
    assert set(verdicts(0.003, 0.010, draws=10)) == {"worse"}
    alike = verdicts(0.010, 0.010)
    # At 95 per cent; of 100 draws fewer than 86 alike have a chance below 1e-4.
    assert alike.count("not told apart") > 85


def test_the_ranking_has_the_best_first_and_faults_last():
    judge, rng = judging(), np.random.default_rng(7)
    regions = [
        TriedRegion(replace(OTHER, name="broken"), fault="too few stars"),
        *(
            tried(judge, region, rng.normal(0, sd, VISITS))
            for region, sd in ((DESCRIBED, 0.01), (OTHER, 0.005))
        ),
    ]
    found = rank_regions(regions, judge, np.zeros(VISITS * EACH), "b")
    assert [each.region.name for each in found.results] == ["other", "described", "broken"]
    assert found.described.verdict is None
    assert found.results[-1].verdict is None
    assert [row["rank"] for row in found.rows()] == [1, 2, 3]
    assert len({tuple(row) for row in found.rows()}) == 1
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert plain["judged_by"] == "truth"
    assert plain["regions"][-1]["scatter_mag"] is None
    assert plain["regions"][-1]["fault"] == "too few stars"
    assert plain["regions"][0]["verdict"] == "better"


def test_other_regions_change_no_figures_where_there_is_truth():
    judge, rng = judging(), np.random.default_rng(8)
    regions = [
        tried(judge, region, rng.normal(0, 0.01, VISITS), noise=rng.normal(0, 0.1, VISITS * EACH))
        for region in (DESCRIBED, OTHER, replace(OTHER, name="third"))
    ]
    truth = rng.normal(0, 0.05, VISITS * EACH)
    rows = [
        {row["region"]: row for row in rank_regions(some, judge, truth, "b", seed=2).rows()}
        for some in (regions[:2], regions)
    ]
    for name in ("described", "other"):
        one, two = ({**row[name], "rank": None} for row in rows)
        for key, value in one.items():
            # Products of matrices of other shapes may sum in another order.
            same = (
                pytest.approx(value, rel=1e-9, nan_ok=True) if isinstance(value, float) else value
            )
            assert two[key] == same


def test_a_consensus_is_no_truth():
    """Errors common to all regions are unseen, and few regions tell nothing apart."""
    judge, rng = judging(), np.random.default_rng(9)
    common = rng.normal(0, 0.02, VISITS)
    names = ["described", *"abcde"]
    regions = [
        tried(judge, replace(OTHER, name=name), common + rng.normal(0, 0.003, VISITS))
        for name in names
    ]
    regions[0] = replace(regions[0], region=DESCRIBED)
    found = rank_regions(regions, judge, None, "b")
    assert found.judged_by == "consensus"
    # Six regions: each is drawn to the mean by a sixth of its variance.
    expected = 0.003 * np.sqrt(5 / 6)
    assert found.described.scatter_mag == pytest.approx(expected, rel=4 / np.sqrt(2 * VISITS))
    assert {each.verdict for each in found.results} == {None, "not told apart"}
    two = rank_regions(regions[:2], judge, None, "b")
    assert {each.verdict for each in two.results} == {None, "not told apart"}


def test_a_region_that_stands_alone_is_worse_than_a_consensus_of_many():
    judge, rng = judging(), np.random.default_rng(10)
    regions = [
        tried(judge, replace(OTHER, name=str(k)), rng.normal(0, 0.002, VISITS)) for k in range(9)
    ]
    regions[0] = replace(regions[0], region=DESCRIBED)
    far = replace(tried(judge, OTHER, rng.normal(0, 0.03, VISITS)), independent=False)
    found = rank_regions([*regions, far], judge, None, "b")
    assert found.results[-1].region.name == "other"
    assert found.results[-1].verdict == "worse"
