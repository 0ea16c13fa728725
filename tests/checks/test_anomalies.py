"""Faults put into a drawn survey are found and named, and nothing else is.

The survey is of realistic size and noise, and calibrated by plain means, as a run would be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from scrframe.checks.anomalies.search import AnomalyInput, search_detections, search_stars
from scrframe.checks.anomalies.stars import StarRepeats

CCDS, NX, NY = 32, 2048, 4100
STAR_MAG, PHOTOMETRIC_MAG = 0.060, 0.015
BINS = (8, 16)


@dataclass
class Sky:
    """Detections before calibration: keys and the difference model less observed magnitude."""

    mjd: np.ndarray
    visit: np.ndarray
    ccd: np.ndarray
    star: np.ndarray
    x: np.ndarray
    y: np.ndarray
    delta: np.ndarray
    ccd_offset: np.ndarray  # truth (v, c)
    pattern: np.ndarray  # truth (c, 3): amplitudes of the map
    keep: np.ndarray


def pattern_at(amplitude, ccd, x, y):
    """Return a smooth map within each CCD, of some 9 mmag."""
    u, v = np.pi * x / NX, np.pi * y / NY
    waves = np.stack([np.cos(u), np.cos(v), np.cos(u) * np.cos(2 * v)])
    return (amplitude[ccd].T * waves).sum(axis=0)


def draw(seed, visits=72, stars=60, drift_mag=0.0, jitter_mag=0.0, visit_mag=0.060):
    """Draw a clean survey of pairs of pointings; each star is seen in both visits of a pair."""
    rng = np.random.default_rng(seed)
    nights = visits // 2
    mjd = np.sort(rng.uniform(55800, 58000, nights)).repeat(2) + np.tile([0.0, 0.01], nights)
    number = nights * CCDS * stars
    ccd = np.tile(np.repeat(np.arange(CCDS), stars), nights)
    pair = np.repeat(np.arange(nights), CCDS * stars)
    second = (ccd + rng.integers(1, CCDS, number)) % CCDS
    deviation = rng.normal(0, STAR_MAG, number)
    ccd_offset = rng.normal(0, 0.014, CCDS) + rng.normal(0, jitter_mag, (visits, CCDS))
    years = (mjd[:, None] - mjd.mean()) / 365.25
    phase, period = rng.uniform(0, 2 * np.pi, CCDS), rng.uniform(4, 9, CCDS)
    ccd_offset = ccd_offset + drift_mag * np.sqrt(2) * np.sin(2 * np.pi * years / period + phase)
    amplitude = rng.normal(0, 0.0075, (CCDS, 3))
    visit_offset = np.repeat(rng.normal(0, visit_mag, nights), 2)
    visit_offset += rng.normal(0, 0.4 * visit_mag, visits)
    visit = np.concatenate([2 * pair, 2 * pair + 1])
    ccd = np.concatenate([ccd, second])
    x, y = rng.uniform(0.5, NX + 0.5, 2 * number), rng.uniform(0.5, NY + 0.5, 2 * number)
    delta = visit_offset[visit] + ccd_offset[visit, ccd] + pattern_at(amplitude, ccd, x, y)
    delta += np.tile(deviation, 2) + rng.normal(0, PHOTOMETRIC_MAG, 2 * number)
    star = np.tile(np.arange(number), 2)
    keep = np.ones(2 * number, bool)
    return Sky(mjd, visit, ccd, star, x, y, delta, ccd_offset, amplitude, keep)


def means(group, values, number):
    count = np.maximum(np.bincount(group, minlength=number), 1)
    return np.bincount(group, values, number) / count


def calibrate(sky, stated_err=PHOTOMETRIC_MAG):
    """Solve visits, CCDs in visits and maps by plain means, one after the other."""
    rows = np.flatnonzero(sky.keep)
    visit, ccd, x, y = sky.visit[rows], sky.ccd[rows], sky.x[rows], sky.y[rows]
    visits = len(sky.mjd)
    left = sky.delta[rows]
    offset_visit = means(visit, left, visits)[visit]
    left = left - offset_visit
    exposure = visit * CCDS + ccd
    offset_ccd = means(exposure, left, visits * CCDS)[exposure]
    left = left - offset_ccd
    a = np.minimum(((x - 0.5) * BINS[0] / NX).astype(int), BINS[0] - 1)
    b = np.minimum(((y - 0.5) * BINS[1] / NY).astype(int), BINS[1] - 1)
    cell = (ccd * BINS[0] + a) * BINS[1] + b
    offset_map = means(cell, left, CCDS * BINS[0] * BINS[1])[cell]
    return AnomalyInput(
        visits=tuple(f"v{one}" for one in range(visits)),
        mjd=sky.mjd,
        season=((sky.mjd - 55835.0) // 365.2425).astype(int),
        field=np.array([f"f{one // 2}" for one in range(visits)]),
        ccds=np.arange(1, CCDS + 1),
        extent=(float(NX), float(NY)),
        visit=visit,
        ccd=ccd,
        star=sky.star[rows],
        x=x,
        y=y,
        residual=left - offset_map,
        err=np.full(len(rows), stated_err),
        offset_visit=offset_visit,
        offset_ccd=offset_ccd,
        offset_map=offset_map,
        visit_err=np.full(visits, 0.002),
    )


def found(sky):
    return search_detections(calibrate(sky))


@pytest.mark.parametrize(
    "settings", [{}, {"jitter_mag": 0.014}, {"drift_mag": 0.010, "jitter_mag": 0.010}]
)
@pytest.mark.parametrize("seed", [1, 2])
def test_clean_surveys_raise_no_alarm(seed, settings):
    # one false alarm per hundred surveys is what the searches promise together
    assert found(draw(seed, **settings)) == ()


@pytest.mark.parametrize("sign", [-1, 1])
def test_jump_of_one_ccd(sign):
    sky = draw(4)
    sky.delta[(sky.ccd == 6) & (sky.visit >= 36)] += sign * 0.010
    (jump,) = found(sky)
    assert jump.kind == "jump" and jump.where["ccd"] == 7
    # it is measured to 0.9 mmag
    assert jump.size_mag == pytest.approx(sign * 0.010, abs=0.003)
    before, after = sky.mjd[33], sky.mjd[38]
    assert before <= jump.where["mjd1"] < jump.where["mjd2"] <= after
    assert jump.text.startswith(f"The offset of CCD 7 jumps by {'+' if sign > 0 else '-'}")


def test_column_that_loses_light():
    sky = draw(5)
    on = (sky.ccd == 10) & (sky.x > 1750) & (sky.x < 1790) & (sky.y < 1400)
    sky.delta[on] -= np.random.default_rng(0).normal(0.10, 0.08, on.sum())
    (column,) = found(sky)
    assert column.kind == "bad_column" and column.where["ccd"] == 11
    # strips are 16 pixels wide and 512 long
    assert 1720 < column.where["x1_pix"] < 1770 < column.where["x2_pix"] < 1820
    assert column.where["y1_pix"] == 1 and column.where["y2_pix"] < 2060
    assert "too faint" in column.text and "more scatter" in column.text


def test_dead_column_without_stars():
    sky = draw(6)
    sky.keep[(sky.ccd == 10) & (sky.x > 1750) & (sky.x < 1790)] = False
    (column,) = found(sky)
    assert column.kind == "bad_column" and column.where["measure"] == "stars"
    assert column.where["ccd"] == 11
    assert column.where["x1_pix"] < 1775 and column.where["x2_pix"] > 1765
    assert "are expected" in column.text


def test_rows_that_scatter():
    sky = draw(7)
    on = (sky.ccd == 10) & (sky.y > 1750) & (sky.y < 1790)
    sky.delta[on] += np.random.default_rng(0).normal(0, 0.10, on.sum())
    (row,) = found(sky)
    assert row.kind == "bad_row" and row.where["measure"] == "scatter"
    assert 1715 < row.where["y1_pix"] < row.where["y2_pix"] < 1830
    assert row.size_mag == pytest.approx(0.10, rel=0.5)


def exchange(sky, visits, first, second):
    on = np.isin(sky.visit, visits)
    a, b = on & (sky.ccd == first), on & (sky.ccd == second)
    sky.ccd[a], sky.ccd[b] = second, first


def test_exchanged_ccds_of_a_visit():
    sky = draw(8)
    # detectors that differ: no data tell apart two whose patterns are alike
    first, second = np.argmin(sky.ccd_offset[0]), np.argmax(sky.ccd_offset[0])
    exchange(sky, [20], first, second)
    (swap,) = found(sky)
    assert swap.kind == "swapped_ccds" and swap.where["visit"] == "v20"
    assert {swap.where["ccd"], swap.where["other_ccd"]} == {first + 1, second + 1}


def test_exchanged_ccds_from_a_date_on():
    sky = draw(9)
    first, second = np.argmin(sky.ccd_offset[0]), np.argmax(sky.ccd_offset[0])
    exchange(sky, np.arange(40, 72), first, second)
    (swap,) = found(sky)
    assert swap.kind == "swapped_ccds" and swap.where["visits"] == 32
    assert swap.where["mjd1"] == sky.mjd[40]


def test_drifting_zero_point():
    sky = draw(10, stars=20)
    years = (sky.mjd - sky.mjd[0]) / 365.25
    sky.delta += 0.060 * years[sky.visit]
    drift = found(sky)[0]
    assert drift.kind == "zero_point_drift"
    total = 0.060 * years[-1]
    # visits scatter by 60 mmag, and there are 36 nights: some 35 mmag in the whole drift
    assert drift.size_mag == pytest.approx(total, abs=0.1)


def test_drifting_ccd():
    sky = draw(11)
    years = (sky.mjd - sky.mjd[0]) / 365.25
    on = sky.ccd == 4
    sky.delta[on] += 0.010 * years[sky.visit[on]]
    (drift,) = found(sky)
    assert drift.kind == "drift" and drift.where["ccd"] == 5
    assert drift.size_mag == pytest.approx(0.010 * years[-1], rel=0.2)


def test_deviating_visit_and_exposure():
    sky = draw(12)
    sky.delta[sky.visit == 33] += 0.4
    sky.delta[(sky.visit == 50) & (sky.ccd == 4)] -= 0.05
    by_kind = {one.kind: one for one in found(sky)}
    assert set(by_kind) == {"deviating_visit", "deviating_ccd"}
    assert by_kind["deviating_visit"].where["visit"] == "v33"
    exposure = by_kind["deviating_ccd"]
    assert (exposure.where["visit"], exposure.where["ccd"]) == ("v50", 5)
    assert exposure.size_mag == pytest.approx(-0.05, abs=0.02)


def test_errors_stated_too_small_change_nothing():
    sky = draw(13)
    sky.delta[(sky.ccd == 6) & (sky.visit >= 36)] += 0.010
    right, wrong = search_detections(calibrate(sky)), search_detections(calibrate(sky, 0.005))
    # the error's scale is measured from repeats
    assert [one.where for one in right] == [one.where for one in wrong]
    assert right[0].significance == pytest.approx(wrong[0].significance, rel=1e-6)


def drawn_repeats(rng, stars=20000, scale=1.0):
    detections = rng.integers(1, 6, stars)
    dof = np.maximum(detections - 1, 0)
    chi2 = np.where(dof > 0, rng.chisquare(np.maximum(dof, 1)), np.nan) * scale
    err = 0.015 / np.sqrt(detections)
    return StarRepeats(chi2, dof, detections, detections, err, np.zeros(stars, bool))


def test_variable_stars():
    rng = np.random.default_rng(1)
    repeats = drawn_repeats(rng)
    able = np.flatnonzero(repeats.detections == 5)[:2]
    # 100 mmag (rms) over errors of 15
    repeats.chi2[able[0]] += 4 * (0.100 / 0.015) ** 2
    repeats.chi2[able[1]] += 1000
    repeats.one_outlier[able[1]] = True
    source_id = np.arange(20000) + 10**18
    place = np.zeros(20000)
    (star,) = search_stars(repeats, source_id, place, place)
    assert star.kind == "variable_star" and star.where["source_id"] == source_id[able[0]]
    # chi2 is 178 in excess, and the noise adds its root of eight or so
    assert star.size_mag == pytest.approx(0.100, rel=0.05)
    assert f"{source_id[able[0]]} varies" in star.text


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_constant_stars_do_not_vary_even_where_errors_are_too_small(scale):
    for seed in range(30):
        repeats = drawn_repeats(np.random.default_rng(seed), scale=scale)
        none = np.zeros(20000)
        assert search_stars(repeats, none.astype(int), none, none) == ()
