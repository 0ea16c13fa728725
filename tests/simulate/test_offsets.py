"""Injected offsets: sizes, shares and gauge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scrframe.config import SimulationSettings
from scrframe.simulate.layout import plan
from scrframe.simulate.offsets import draw_offsets, in_gauge
from scrframe.tables import Camera


def drawn(camera: Camera, **values: float):
    settings = SimulationSettings(fields=30, control_fields=3, **values)
    rng = np.random.default_rng(11)
    return draw_offsets(settings, plan(settings, camera, rng), camera, rng)


def detections(number: int):
    rng = np.random.default_rng(12)
    visit, place = rng.integers(0, 60, number), rng.integers(0, 4, number)
    return visit, place, rng.uniform(0.5, 1024.5, number), rng.uniform(0.5, 1000.5, number)


def test_sizes_are_those_asked_for(camera: Camera) -> None:
    offsets = drawn(camera, visit_sd=0.063, ccd_sd=0.022, pixel_sd=0.009)
    assert offsets.visit.std() == pytest.approx(0.063, rel=1e-9)
    assert offsets.ccd.std() == pytest.approx(0.022, rel=1e-9)
    np.testing.assert_allclose(offsets.ccd.mean(axis=1), 0, atol=1e-12)
    _, place, x, y = detections(40000)
    # Normalised on a grid; random places sample it to about a per cent.
    assert offsets.pattern(place, x, y).std() == pytest.approx(0.009, rel=0.05)


def test_zero_switches_each_level_off(camera: Camera) -> None:
    offsets = drawn(camera, visit_sd=0.0, ccd_sd=0.0, pixel_sd=0.0)
    _, place, x, y = detections(100)
    assert not offsets.visit.any()
    assert not offsets.ccd.any()
    assert not offsets.pattern(place, x, y).any()


def test_shares_of_the_ccds(camera: Camera) -> None:
    static = drawn(camera, ccd_static=1.0, ccd_drift=0.0, ccd_jitter=0.0)
    assert np.ptp(static.ccd, axis=0).max() < 1e-12
    jitter = drawn(camera, ccd_static=0.0, ccd_drift=0.0, ccd_jitter=1.0)
    following = [np.corrcoef(column[:-1], column[1:])[0, 1] for column in jitter.ccd.T]
    # A correlation of 59 pairs scatters by 0.13.
    assert np.abs(following).max() < 0.5


def test_visits_of_a_night_are_alike_and_seasons_differ(camera: Camera) -> None:
    offsets = drawn(camera, visit_sd=1.0)
    pairs = offsets.visit.reshape(-1, 2)
    apart = (pairs[:, 0] - pairs[:, 1]).std()
    assert 0.2 < apart < 0.9


def test_pattern_is_smooth_and_without_a_mean(camera: Camera) -> None:
    pattern = drawn(camera, pixel_sd=0.009).pattern
    x, y = np.meshgrid(np.arange(0.5, 1024.5, 8) + 4, np.arange(0.5, 1000.5, 8) + 4)
    for place in range(4):
        where = np.full(x.size, place)
        values = pattern(where, x.ravel(), y.ravel())
        assert abs(values.mean()) < 1e-5
        step = pattern(where, x.ravel() + 8, y.ravel()) - values
        assert np.abs(step).max() < 0.1 * values.std() + 1e-3


def test_gauge_holds_and_keeps_the_sum(camera: Camera) -> None:
    offsets = drawn(camera)
    visit, place, x, y = detections(20000)
    judged = np.random.default_rng(13).uniform(0, 1, 20000) < 0.7
    terms = in_gauge(offsets, visit, place, x, y, judged)
    raw = offsets.visit[visit] + offsets.ccd[visit, place] + offsets.pattern(place, x, y)
    # Only a constant of the survey is dropped.
    assert np.ptp(terms.total - raw) < 1e-12
    assert abs(terms.visit[judged].sum()) < 1e-9
    for number in range(60):
        assert abs(terms.ccd[judged & (visit == number)].sum()) < 1e-9
    for number in range(4):
        assert abs(terms.pixel[judged & (place == number)].sum()) < 1e-9


def test_detector_order_does_not_matter(camera: Camera) -> None:
    offsets = drawn(camera)
    visit, place, x, y = detections(1000)
    judged = np.ones(1000, bool)
    turned = np.array([2, 0, 3, 1])
    pattern = replace(
        offsets.pattern,
        camera=replace(
            camera,
            ccd=camera.ccd[turned],
            xi_deg=camera.xi_deg[turned],
            eta_deg=camera.eta_deg[turned],
        ),
        cosine=offsets.pattern.cosine[turned],
    )
    other = replace(offsets, ccd=offsets.ccd[:, turned], pattern=pattern)
    there = np.argsort(turned)[place]
    first = in_gauge(offsets, visit, place, x, y, judged)
    second = in_gauge(other, visit, there, x, y, judged)
    np.testing.assert_allclose(first.total, second.total, atol=1e-12)
