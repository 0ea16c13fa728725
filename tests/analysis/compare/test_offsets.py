"""Offsets of each colour model, and what they are judged by, on a tiny survey."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import scrframe
from scrframe.analysis.compare.offsets import (
    DetectionPairs,
    TrueOffsets,
    differences,
    errors_by_pairs,
    errors_by_truth,
    find_pairs,
    offset_finder,
    refitted_law,
    true_offsets,
)
from scrframe.errors import DataError
from scrframe.observer import Observer
from scrframe.offsets.joint.problem import JointFit
from scrframe.offsets.sequential import OffsetProblem, solve_sequential
from scrframe.plugin import load_registry
from scrframe.run.colour_model import fit_model
from scrframe.run.plugins import prepare_levels, resolve_plugins
from scrframe.run.sample.builder import build_sample
from scrframe.run.session import open_session


def fitted(tiny, folder, *changes):
    survey = scrframe.load_survey(tiny.description, overrides=[*tiny.changes, *changes])
    chosen = resolve_plugins(survey.with_data_root(str(tiny.data)), load_registry())
    with open_session(chosen, folder / "out", workers=1) as session:
        sample = build_sample(session).matched
        model = fit_model(chosen, sample, 1, Observer())
        finder = offset_finder(chosen, sample, model)
    return SimpleNamespace(chosen=chosen, sample=sample, fitted=model, finder=finder)


@pytest.fixture(scope="module")
def joint(tiny_survey, tmp_path_factory):
    return fitted(tiny_survey, tmp_path_factory.mktemp("joint"))


@pytest.fixture(scope="module")
def sequential(tiny_survey, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sequential")
    return fitted(tiny_survey, folder, "offsets.mode=sequential", "offsets.joint.reserved=0.1")


def test_the_own_model_gets_the_offsets_of_its_own_fit(joint):
    """Only the clipping of the law is done anew, with what the fit ended with."""
    fit: JointFit = joint.finder._fit
    delta = joint.fitted.model.model_mag - joint.sample.detections["mag"]
    found = joint.finder.parameters(delta)
    # The fit solves the same equations; the last digits differ.
    np.testing.assert_allclose(found, fit.estimate.parameters, atol=1e-9)


def test_offsets_are_linear_in_the_model_magnitudes(joint):
    size = len(joint.sample.detections)
    first, second = np.random.default_rng(1).normal(size=(2, size))
    both = joint.finder.parameters(2 * first - second)
    apart = 2 * joint.finder.parameters(first) - joint.finder.parameters(second)
    np.testing.assert_allclose(both, apart, atol=1e-9)


def test_a_constant_more_in_all_colours_goes_to_the_constant(joint):
    """What all stars share leaves the corrections where they are, but for the law's bend."""
    size = len(joint.sample.detections)
    found = joint.finder.everywhere(joint.finder.parameters(np.full(size, 0.1)))
    assert np.ptp(found) < 1e-3


def test_the_law_is_refitted_at_the_other_colours(joint):
    """Colours redder by 0.1 mag at all E leave R(C0) of the same stars where it was."""
    colour = joint.fitted.model.colour0_mag
    own = refitted_law(joint.chosen, joint.fitted, joint.finder.law_mask, colour)
    moved = refitted_law(joint.chosen, joint.fitted, joint.finder.law_mask, colour + 0.1)
    grid, extinction = np.linspace(0.3, 1.2, 5), np.full(5, 0.5)
    assert (own.order, own.extinction_order) == (
        joint.fitted.model.law.order,
        joint.fitted.model.law.extinction_order,
    )
    np.testing.assert_allclose(
        moved.ratio(grid + 0.1, extinction), own.ratio(grid, extinction), atol=1e-6
    )


def test_differences_are_of_the_magnitudes_with_that_law(joint):
    colour = joint.fitted.model.colour0_mag + 0.05
    seen = joint.fitted.observations
    law = refitted_law(joint.chosen, joint.fitted, joint.finder.law_mask, colour)
    found = differences(joint.chosen, joint.fitted, joint.finder.law_mask, colour)
    for row in (0, 17, len(found) - 1):
        own, reddening = colour[seen.star[row]], seen.extinction[row]
        ratio = law.ratio(np.array([own]), np.array([reddening]))[0]
        expected = seen.reference_mag[row] + own + ratio * reddening - seen.mag[row]
        assert found[row] == pytest.approx(expected, abs=1e-12)


def exact_truth(case, parameters) -> TrueOffsets:
    """Return the truth that the parameters would meet."""
    return TrueOffsets(case.finder.everywhere(parameters), np.zeros(len(case.finder.table)))


@pytest.mark.parametrize("mode", ["joint", "sequential"])
def test_offsets_that_are_true_have_no_error(mode, request):
    case = request.getfixturevalue(mode)
    delta = case.fitted.model.model_mag - case.sample.detections["mag"]
    parameters = case.finder.parameters(delta)
    model = case.finder.design.model
    split = model.by_exposure.shape[1]
    within = np.zeros(model.width)
    within[split:] = np.nan_to_num(parameters[split:])
    truth = TrueOffsets(
        case.finder.everywhere(parameters) - case.finder.everywhere(within) - 0.3,
        case.finder.everywhere(within),
    )
    for each in errors_by_truth(case.finder, parameters, truth).values():
        assert np.abs(each.error_mag).max() < 1e-9


def test_an_error_stays_at_the_level_where_it_is(joint):
    delta = joint.fitted.model.model_mag - joint.sample.detections["mag"]
    parameters = joint.finder.parameters(delta)
    truth = exact_truth(joint, parameters)
    visit = joint.finder.table.codes("visit")[0]
    ccd = joint.finder.table["ccd"].astype(int)
    rows = joint.finder.rows
    clean = errors_by_truth(joint.finder, parameters, truth)

    of_visit = np.array([0.03, -0.01, 0.02, 0.0])[visit]
    found = errors_by_truth(
        joint.finder, parameters, replace(truth, exposure_mag=truth.exposure_mag - of_visit)
    )
    expected = np.array([0.03, -0.01, 0.02, 0.0]) - of_visit[rows].mean()
    np.testing.assert_allclose(
        np.sort(found["visit"].error_mag - clean["visit"].error_mag), np.sort(expected), atol=1e-9
    )
    np.testing.assert_allclose(found["ccd"].error_mag, clean["ccd"].error_mag, atol=1e-9)
    np.testing.assert_allclose(found["pixel"].error_mag, clean["pixel"].error_mag, atol=1e-9)

    of_place = 0.01 * np.sign(joint.finder.table["x"] - 1024.0)
    found = errors_by_truth(joint.finder, parameters, replace(truth, map_mag=-of_place))
    moved = found["pixel"].error_mag - clean["pixel"].error_mag
    for number in np.unique(ccd[rows]):
        here = ccd[rows] == number
        expected = of_place[rows][here] - of_place[rows][here].mean()
        np.testing.assert_allclose(moved[here], expected, atol=1e-9)


def test_detections_without_truth_do_not_count(joint):
    delta = joint.fitted.model.model_mag - joint.sample.detections["mag"]
    parameters = joint.finder.parameters(delta)
    truth = exact_truth(joint, parameters)
    holes = truth.exposure_mag.copy()
    holes[joint.finder.rows[::7]] = np.nan
    found = errors_by_truth(joint.finder, parameters, replace(truth, exposure_mag=holes))
    used = len(joint.finder.rows)
    assert len(found["total"].error_mag) == used - len(range(0, used, 7))
    assert np.isfinite(found["total"].error_mag).all()


def test_sequential_offsets_are_those_of_the_solver_without_the_held_out_stars(sequential):
    case, finder = sequential, sequential.finder
    delta = case.fitted.model.model_mag - case.sample.detections["mag"]
    kept = ~finder.held_out[case.sample.star]
    assert 0.03 < 1 - kept.mean() < 0.2
    levels = prepare_levels(case.chosen, case.sample)
    problem = OffsetProblem(levels, case.sample.detections, np.where(kept, delta, np.nan), 3)
    expected = solve_sequential(problem).total_mag
    found = finder.everywhere(finder.parameters(delta))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    wild = np.where(kept, delta, 1e3)
    np.testing.assert_array_equal(finder.parameters(wild), finder.parameters(delta))


class TestPairs:
    def test_they_are_successive_detections_of_held_out_stars(self, joint):
        sample, held = joint.sample, joint.finder.held_out
        found = find_pairs(sample, held)
        visit = sample.detections.codes("visit")[0]
        field = sample.detections.codes("field")[0]
        expected = set()
        for star in np.flatnonzero(held):
            rows = np.flatnonzero(sample.star == star)
            expected |= {(a, b) for a, b in pairwise(rows) if visit[a] != visit[b]}
        assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected
        np.testing.assert_array_equal(found.across, field[found.first] != field[found.second])

    def test_differences_are_of_corrected_magnitudes(self):
        pairs = DetectionPairs(
            np.array([0, 1, 2]),
            np.array([1, 2, 3]),
            np.array([False, True, False]),
            np.array([0, 1, 2]),
        )
        mag, corrections = np.array([15.0, 15.1, 15.3, 15.0]), np.array([0.1, 0.0, 0.0, np.nan])
        found = errors_by_pairs(corrections, mag, pairs)
        np.testing.assert_allclose(found["repeats"].error_mag, [0.0], atol=1e-12)
        np.testing.assert_allclose(found["overlaps"].error_mag, [-0.2 / 2**0.5], atol=1e-12)
        assert "overlaps" not in errors_by_pairs(
            corrections, mag, replace(pairs, across=pairs.first < 0)
        )


class TestTruth:
    def test_it_is_joined_by_file_detector_and_row(self, joint, tiny_survey):
        detections = joint.sample.detections
        found = true_offsets(tiny_survey.data, detections)
        truth = pq.read_table(tiny_survey.data / "truth.parquet").to_pylist()
        by_key = {(each["file"], each["ccd"], each["row"]): each for each in truth}
        files, row = detections.arrow.column("file").to_pylist(), detections["row"]
        for place in range(0, len(detections), 97):
            true = by_key[files[place], int(detections["ccd"][place]), int(row[place])]
            assert found.exposure_mag[place] == true["offset_visit"] + true["offset_ccd"]
            assert found.map_mag[place] == true["offset_pixel"]

    def test_real_data_have_none(self, joint, tmp_path):
        assert true_offsets(tmp_path, joint.sample.detections) is None

    def test_a_file_of_another_kind_is_refused(self, joint, tmp_path):
        pq.write_table(pa.table({"moon": [1]}), tmp_path / "truth.parquet")
        with pytest.raises(DataError, match=r"truth\.parquet: is not the truth"):
            true_offsets(tmp_path, joint.sample.detections)
