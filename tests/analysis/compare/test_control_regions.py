"""CandidateRegion control regions of a small simulated survey, trained on and judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

import scrframe
from scrframe.analysis.compare import control_regions, region_candidates
from scrframe.analysis.compare.offsets import true_offsets
from scrframe.errors import CalibrationError
from scrframe.observer import Observer
from scrframe.plugin import load_registry
from scrframe.run.colour_model import fit_model
from scrframe.run.plugins import resolve_plugins
from scrframe.run.sample.builder import build_sample
from scrframe.run.session import open_session

FEW = (
    "colour_model.kind=random_forest",
    "colour_model.random_forest.trees=20",
    "offsets.mode=sequential",
    "reddening.order=1",
    "reddening.extinction_order=0",
    "reddening.field_slopes=false",
)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Return what is chosen, the sample, the fit and the truth of five small fields."""
    folder = tmp_path_factory.mktemp("regions")
    description = Path(__file__).parents[3] / "surveys" / "vphas_u.yaml"
    survey = scrframe.load_survey(description, overrides=FEW)
    settings = scrframe.config.SimulationSettings(fields=5, density=900.0, seed=3)
    root = scrframe.simulate_survey(survey, folder / "tree", settings=settings)
    chosen = resolve_plugins(survey.with_data_root(str(root)), load_registry())
    with open_session(chosen, folder / "run", workers=1) as session:
        sample = build_sample(session).matched
    fit = fit_model(chosen, sample, 1, Observer())
    return chosen, sample, fit, true_offsets(root, sample.detections)


def compare(fitted, **changes):
    chosen, sample, fit, truth = fitted
    given = {"workers": 1, "observer": Observer(), "truth": truth, **changes}
    return control_regions.compare_regions(chosen, sample, fit, **given)


@pytest.fixture(scope="module")
def trained():
    """Return the differences by region, to be filled by the first comparison."""
    return {}


@pytest.fixture
def no_training(trained, monkeypatch):
    """Take the differences of regions from the first comparison."""

    def again(self, inside):
        return trained[inside.tobytes()]

    monkeypatch.setattr(control_regions._RegionTrial, "differences", again)


@pytest.fixture(scope="module")
def found(fitted, trained):
    train = control_regions._RegionTrial.differences

    def noted(self, inside):
        return trained.setdefault(inside.tobytes(), train(self, inside))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control_regions._RegionTrial, "differences", noted)
        return compare(fitted)


def test_candidates_hold_the_stars_that_they_say(fitted):
    _, sample, fit, _ = fitted
    candidates = region_candidates.find_candidates(sample, fit, fit.observations.used)
    control = np.unique(sample.star[sample.in_control])
    first = candidates[0]
    assert first.region.kind == "described"
    np.testing.assert_array_equal(np.flatnonzero(first.inside), control)
    place = SkyCoord(sample.stars["ref_ra"], sample.stars["ref_dec"], unit=u.deg)
    extinction = sample.stars["extinction"]
    for each in candidates:
        region, inside = each.region, each.inside
        assert region.stars == inside.sum() >= region_candidates.MIN_STARS
        assert region.extinction_median == np.median(extinction[inside])
        if region.kind == "part of described":
            assert not (inside & ~first.inside).any()
        if region.kind == "cap":
            centre = SkyCoord(region.cap.ra_deg, region.cap.dec_deg, unit=u.deg)
            near = place.separation(centre).deg <= region.cap.radius_deg
            np.testing.assert_array_equal(inside, near)
        if region.kind == "low extinction":
            np.testing.assert_array_equal(inside, extinction < first.region.extinction_p90)
    assert {each.region.kind for each in candidates} >= {"described", "cap", "low extinction"}
    # Those that count in a consensus share few stars.
    alone = [each.inside for each in candidates if each.independent]
    for number, inside in enumerate(alone):
        before = np.any(alone[:number], axis=0) if number else np.zeros_like(inside)
        assert (inside & before).sum() <= 0.1 * inside.sum()


def test_every_region_is_judged_by_the_truth(found):
    assert found.judged_by == "truth"
    assert (found.visits, found.groups) == (10, 5)
    assert [each.fault for each in found.results] == [None] * len(found.results)
    totals = [each.total_mag for each in found.results]
    assert totals == sorted(totals)
    assert found.described.total is None
    for each in found.results:
        assert each.total_mag == pytest.approx(np.hypot(each.scatter_mag, each.bias_mag), rel=1e-9)
        assert 0 <= each.outside < 0.5


def test_a_truth_that_moves_one_visit_moves_the_scatter_alone(fitted, found, no_training):
    truth = fitted[3]
    visit = fitted[1].detections.codes("visit")[0]
    moved = replace(truth, exposure_mag=truth.exposure_mag + 0.5 * (visit == 0))
    other = compare(fitted, truth=moved)
    before = {each.region.name: each for each in found.results}
    for each in other.results:
        # One of ten visits off by half a magnitude: sd of 0.5 sqrt(0.1 0.9), and what is
        # there already can add or take no more than itself.
        near = 2 * before[each.region.name].scatter_mag
        assert each.scatter_mag == pytest.approx(0.5 * np.sqrt(0.09), abs=near)
        assert each.bias_mag == pytest.approx(before[each.region.name].bias_mag, abs=1e-9)


def test_a_rerun_is_the_same_to_the_bit_for_any_workers(fitted, found):
    assert compare(fitted, workers=2).to_json() == found.to_json()


def test_without_truth_the_consensus_judges(fitted, found, no_training):
    found = compare(fitted, truth=None)
    assert found.judged_by == "consensus"
    assert np.isfinite([each.total_mag for each in found.results]).all()


def test_a_region_on_which_no_model_can_be_trained_stops_no_other(fitted, found):
    chosen, sample, fit, truth = fitted
    told: list[str] = []

    class Told(Observer):
        def warning(self, text):
            told.append(text)

    def fit_many(features, colour_mag, weights, config, seed, threads):
        if len(features) < found.described.region.stars:
            raise CalibrationError("too few")
        return chosen.backend.fit(features, colour_mag, weights, config, seed, threads)

    picky = replace(chosen, backend=replace(chosen.backend, fit=fit_many))
    other = compare((picky, sample, fit, truth), observer=Told())
    faulty = [each for each in other.results if each.fault is not None]
    assert 0 < len(faulty) < len(other.results)
    assert len(told) == len(faulty)
    assert {each.fault for each in faulty} == {"too few"}
    assert other.results[-1].fault is not None
    assert other.described.total_mag == found.described.total_mag
