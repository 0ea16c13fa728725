"""The gauge: sums that must vanish vanish, totals change by one constant, rows agree."""

import numpy as np
import pytest
from scipy import sparse

from scrframe.offsets.joint.gauge import gauge_rows, in_gauge
from scrframe.offsets.joint.mixed_model import MixedModel, Term

VISITS, CCDS, BINS = 6, 4, 5


def case(seed=1, n=3000):
    """Return a model (constant, visit, jitter, a nuisance; pixels, a nuisance) and codes."""
    rng = np.random.default_rng(seed)
    visit = np.repeat(np.arange(VISITS), CCDS)
    ccd = np.tile(np.arange(CCDS), VISITS)
    # The last exposure of visit 2 is known but has no detection.
    exposure = rng.choice(np.delete(np.arange(VISITS * CCDS), 2 * CCDS + 3), n)
    pixel = ccd[exposure] * BINS + rng.integers(0, BINS, n)
    blocks = {
        "constant": (np.ones((len(visit), 1)), "correction"),
        "visit": (np.eye(VISITS)[visit], "correction"),
        "jitter": (np.eye(len(visit)), "correction"),
        "season": (np.eye(2)[visit % 2], "nuisance"),
        "pixel": (np.eye(CCDS * BINS)[pixel], "correction"),
        "slope": (rng.normal(size=(n, 2)), "nuisance"),
    }
    terms, first = [], 0
    for name, (block, role) in blocks.items():
        terms.append(Term(name, role, first, first + block.shape[1], None))
        first += block.shape[1]
    shared = [block for block, _ in blocks.values() if len(block) == len(visit)]
    own = [block for block, _ in blocks.values() if len(block) == n]
    model = MixedModel(
        tuple(terms),
        sparse.csr_array(np.hstack(shared)),
        sparse.csr_array(np.hstack(own)),
        exposure,
        np.arange(n),
        n,
    )
    weights = rng.uniform(0.1, 1, n) * (rng.random(n) < 0.8)
    return model, visit, ccd, weights, rng.normal(size=model.width)


def parts(model, parameters):
    """Return the exposures' total and the pixel map's values, of the correction alone."""
    kept = parameters.copy()
    for term in model.terms:
        if term.role == "nuisance":
            kept[term.columns] = 0
    split = model.by_exposure.shape[1]
    return model.by_exposure @ kept[:split], model.by_detection @ kept[split:], kept


@pytest.mark.parametrize("weighted", [False, True])
def test_parts_sum_to_zero_within_their_parents_and_the_total_stays(weighted):
    model, visit, ccd, weights, parameters = case()
    weights = weights if weighted else None
    total, maps, _ = parts(model, parameters)
    count = np.bincount(model.exposure, minlength=len(visit))
    exposure = model.exposure
    gauged = in_gauge(total, visit, count, [maps], ccd, exposure, weights)
    w = np.ones(len(exposure)) if weights is None else weights
    pixel = maps - gauged.map_shift_mag[ccd[exposure]]
    jitter, offset = gauged.ccd_mag[exposure], gauged.visit_mag[visit[exposure]]
    np.testing.assert_allclose(np.bincount(ccd[exposure], w * pixel), 0, atol=1e-10)
    np.testing.assert_allclose(np.bincount(visit[exposure], w * jitter), 0, atol=1e-10)
    assert (w * offset).sum() == pytest.approx(0, abs=1e-10)
    np.testing.assert_allclose(
        pixel + jitter + offset + gauged.constant_mag, total[exposure] + maps, atol=1e-12
    )


def test_a_map_may_come_as_design_and_parameters():
    model, visit, ccd, _, parameters = case()
    total, maps, kept = parts(model, parameters)
    count = np.bincount(model.exposure, minlength=len(visit))
    split = model.by_exposure.shape[1]
    as_values = in_gauge(total, visit, count, [maps, maps], ccd, model.exposure)
    pair = (model.by_detection, kept[split:])
    as_pair = in_gauge(total, visit, count, [pair, maps], ccd, model.exposure)
    np.testing.assert_allclose(as_pair.visit_mag, as_values.visit_mag, atol=1e-14)
    np.testing.assert_allclose(as_pair.map_shift_mag, as_values.map_shift_mag, atol=1e-14)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_rows_give_what_the_gauge_gives(weighted):
    model, visit, ccd, weights, parameters = case(seed=2)
    weights = weights if weighted else None
    total, maps, _ = parts(model, parameters)
    count = np.bincount(model.exposure, minlength=len(visit))
    gauged = in_gauge(total, visit, count, [maps], ccd, model.exposure, weights)
    terms = [term for term in model.terms if term.role == "correction"]
    rows = gauge_rows(model, terms, visit, ccd, weights)
    mean = rows.mean @ parameters
    np.testing.assert_allclose(rows.visits @ parameters - mean, gauged.visit_mag, atol=1e-12)
    np.testing.assert_allclose(
        rows.exposures @ parameters - mean, gauged.visit_mag[visit] + gauged.ccd_mag, atol=1e-12
    )
    assert mean == pytest.approx(gauged.constant_mag, abs=1e-12)


def test_an_exposure_s_row_holds_no_pixel_of_another_ccd():
    model, visit, ccd, _, _ = case()
    terms = [term for term in model.terms if term.role == "correction"]
    rows = gauge_rows(model, terms, visit, ccd)
    # constant, visit, jitter and the five pixels of its CCD; no nuisance.
    assert np.diff(rows.exposures.indptr).tolist() == [3 + BINS] * len(visit)


def test_a_visit_without_detections_still_has_an_offset():
    model, visit, ccd, _, parameters = case()
    total, maps, _ = parts(model, parameters)
    weights = np.where(visit[model.exposure] == 4, 0.0, 1.0)
    count = np.bincount(model.exposure, minlength=len(visit))
    gauged = in_gauge(total, visit, count, [maps], ccd, model.exposure, weights)
    shift = gauged.map_shift_mag
    expected = (total + shift[ccd])[visit == 4].mean() - gauged.constant_mag
    assert gauged.visit_mag[4] == pytest.approx(expected, abs=1e-12)
