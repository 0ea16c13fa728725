"""The factor and its selected inverse against dense linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from scrframe.errors import CalibrationError
from scrframe.offsets.joint.mixed_model import MixedModel, Term, Weights
from scrframe.offsets.joint.normal_equations import normal_matrix
from scrframe.offsets.joint.variance_components import prior_matrix
from scrframe.offsets.linalg import factor as factor_module
from scrframe.offsets.linalg import panels, selected_inverse
from scrframe.offsets.linalg.factor import Factor, choose_dense

#: The bound that variances are held to.
RTOL = 1e-8
FIELDS, CCDS, BINS = 10, 4, 3
VISITS, EXPOSURES = 2 * FIELDS, 2 * FIELDS * CCDS
WIDTHS = {
    "constant": 1,
    "visit": VISITS,
    "static": CCDS,
    "jitter": EXPOSURES,
    "bin": CCDS * BINS,
    "slope": FIELDS,
}


def survey_model(seed: int, detections: int = 2500, share: float = 0.3) -> MixedModel:
    """Draw fields in a row, two visits of each; a share of the stars lies in two fields."""
    rng = np.random.default_rng(seed)
    stars = detections // 2
    field = rng.integers(0, FIELDS, stars)
    second = np.where(rng.random(stars) < share, (field + 1) % FIELDS, field)
    star = np.repeat(np.arange(stars), 2)
    visit = 2 * np.stack([field, second], axis=1).ravel() + np.tile([0, 1], stars)
    ccd = np.clip(np.repeat(rng.integers(0, CCDS, stars), 2) + rng.integers(0, 2, 2 * stars), 0, 3)
    rows = len(star)
    ends = np.cumsum([0, *WIDTHS.values()])
    terms = tuple(
        Term(
            name,
            "nuisance" if name in {"constant", "slope"} else "correction",
            low,
            high,
            None if name == "constant" else sparse.csr_array(np.eye(high - low)),
        )
        for name, low, high in zip(WIDTHS, ends[:-1], ends[1:], strict=True)
    )
    of_visit, of_ccd = np.divmod(np.arange(EXPOSURES), CCDS)
    place = np.stack(
        [
            np.zeros(EXPOSURES, int),
            1 + of_visit,
            1 + VISITS + of_ccd,
            1 + VISITS + CCDS + np.arange(EXPOSURES),
        ],
        axis=1,
    )
    own = np.stack([ccd * BINS + rng.integers(0, BINS, rows), CCDS * BINS + visit // 2], axis=1)
    value = np.stack([np.ones(rows), np.repeat(rng.uniform(0, 2, stars), 2)], axis=1)
    return MixedModel(
        terms,
        _rows(place, np.ones(place.shape), int(ends[4])),
        _rows(own, value, CCDS * BINS + FIELDS),
        visit * CCDS + ccd,
        star,
        stars,
    )


def _rows(column: np.ndarray, value: np.ndarray, width: int) -> sparse.csr_array:
    indptr = np.arange(0, column.size + 1, column.shape[1])
    return sparse.csr_array((value.ravel(), column.ravel(), indptr), (len(column), width))


def system(model: MixedModel, seed: int = 0) -> sparse.csc_array:
    rng = np.random.default_rng(seed)
    weights = Weights(
        rng.uniform(1, 5000, len(model.star)) * (rng.random(len(model.star)) > 0.1),
        rng.uniform(100, 300, model.stars),
    )
    sd = {name: 0.02 for name in WIDTHS if name != "constant"}
    return sparse.csc_array(normal_matrix(model, weights) + prior_matrix(model, sd))


def dense_mask(model: MixedModel, names: set[str]) -> np.ndarray:
    mask = np.zeros(model.width, dtype=bool)
    for term in model.terms:
        mask[term.columns] = term.name in names
    return mask


BORDERS = {
    "none": set(),
    "usual": {"constant", "static", "bin"},
    "most": {"constant", "static", "bin", "slope", "visit"},
    "all": set(WIDTHS),
}


@pytest.fixture(params=BORDERS, scope="module")
def solved(request):
    """A model, its system with some border, and the dense inverse."""
    model = survey_model(1)
    matrix = system(model)
    mask = dense_mask(model, BORDERS[request.param])
    return model, matrix, Factor(matrix, mask), np.linalg.inv(matrix.toarray())


def test_solve_is_the_dense_one(solved):
    _, matrix, factor, inverse = solved
    right = np.random.default_rng(2).standard_normal((matrix.shape[0], 3))
    scale = np.abs(inverse).max()
    np.testing.assert_allclose(factor.solve(right), inverse @ right, rtol=RTOL, atol=RTOL * scale)
    np.testing.assert_allclose(
        factor.solve(right[:, 0]), inverse @ right[:, 0], rtol=RTOL, atol=RTOL * scale
    )


def test_log_determinant_is_the_dense_one(solved):
    _, matrix, factor, _ = solved
    expected = np.linalg.slogdet(matrix.toarray())[1]
    assert factor.log_determinant == pytest.approx(expected, rel=RTOL)


def test_the_block_of_a_term_is_the_dense_one(solved):
    model, _, factor, inverse = solved
    for term in model.terms:
        block = inverse[term.columns, term.columns]
        scale = np.abs(inverse).max()
        np.testing.assert_allclose(factor.block(term.columns), block, rtol=RTOL, atol=RTOL * scale)


def test_a_plan_serves_a_factor_of_the_same_places_and_no_other():
    model = survey_model(1)
    first, other = system(model), system(survey_model(2))
    mask = dense_mask(model, BORDERS["usual"])
    plan = Factor(first, mask).plan
    right = np.random.default_rng(2).standard_normal(model.width)
    for matrix, fits in ((sparse.csc_array(2 * first), True), (other, False)):
        factor = Factor(matrix, mask, plan)
        assert (factor.plan is plan) == fits
        np.testing.assert_array_equal(factor.solve(right), Factor(matrix, mask).solve(right))


def test_variances_are_the_dense_ones(solved):
    _, _, factor, inverse = solved
    np.testing.assert_allclose(factor.diagonal(), np.diag(inverse), rtol=RTOL)


def test_variances_of_the_offset_of_each_detection_are_the_dense_ones(solved):
    model, _, factor, inverse = solved
    shared = model.by_exposure[model.exposure]
    rows = sparse.csr_array(sparse.hstack([shared, model.by_detection], format="csr"))
    expected = np.sum((rows @ inverse) * rows.toarray(), axis=1)
    np.testing.assert_allclose(factor.row_variances(rows), expected, rtol=RTOL)


def test_rows_outside_the_pattern_are_solved_for(solved):
    model, _, factor, inverse = solved
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((90, model.width)) * (rng.random((90, model.width)) < 0.2)
    rows[0] = 0.0
    expected = np.sum((rows @ inverse) * rows, axis=1)
    np.testing.assert_allclose(factor.row_variances(sparse.csr_array(rows)), expected, rtol=RTOL)


def test_the_trace_with_a_precision_of_any_pattern_is_the_dense_one(solved):
    model, _, factor, inverse = solved
    rng = np.random.default_rng(4)
    for term in model.terms:
        block = inverse[term.columns, term.columns]
        for matrix in (np.eye(term.width), rng.standard_normal((term.width, term.width))):
            found = factor.trace(sparse.csr_array(matrix), term.columns)
            scale = np.sum(np.abs(matrix * block.T))
            assert found == pytest.approx(np.trace(matrix @ block), abs=RTOL * scale)


def test_the_trace_by_probes_is_off_by_no_more_than_its_error(solved):
    model, _, factor, inverse = solved
    probes = 400
    for term in model.terms[1:]:
        block = inverse[term.columns, term.columns]
        unit = sparse.csr_array(np.eye(term.width))
        found = factor.trace(unit, term.columns, probes=probes, seed=1)
        around = np.sum(block**2) - np.sum(np.diag(block) ** 2)
        error = np.sqrt(2 * around / probes)
        assert found == pytest.approx(np.trace(block), rel=RTOL, abs=5 * error)
        assert found == factor.trace(unit, term.columns, probes=probes, seed=1)
    assert error < 0.1 * np.trace(block)


def test_entries_hold_every_nonzero_of_the_matrix(solved):
    _, matrix, factor, inverse = solved
    row, column = sparse.coo_array(matrix).coords
    found = factor.entries(row.astype(np.int64), column.astype(np.int64))
    np.testing.assert_allclose(found, inverse[row, column], rtol=RTOL, atol=RTOL * inverse.max())


@pytest.mark.parametrize("panel", [1, 4, 200])
@pytest.mark.parametrize("block", [1, 5])
@pytest.mark.parametrize("batch", [10, 4096])
def test_no_width_of_panels_blocks_or_batches_changes_the_result(monkeypatch, panel, block, batch):
    model = survey_model(5, detections=600)
    matrix = system(model)
    monkeypatch.setattr(panels, "PANEL", panel)
    for module in (panels, panels, selected_inverse, factor_module):
        monkeypatch.setattr(module, "BLOCK", block)
    monkeypatch.setattr(panels, "BATCH", batch)
    monkeypatch.setattr(panels, "SLACK", 0.0)
    factor = Factor(matrix, dense_mask(model, BORDERS["usual"]))
    inverse = np.linalg.inv(matrix.toarray())
    np.testing.assert_allclose(factor.diagonal(), np.diag(inverse), rtol=RTOL)
    shape = inverse.shape[0]
    np.testing.assert_allclose(
        factor.solve(np.eye(shape)), inverse, rtol=RTOL, atol=RTOL * inverse.max()
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("density", [0.0, 0.01, 0.1, 0.6])
def test_any_pattern_of_a_positive_definite_matrix_will_do(seed, density):
    rng = np.random.default_rng(seed)
    half = sparse.random_array((70, 70), density=density, rng=rng)
    matrix = sparse.csc_array(half @ half.T + sparse.diags_array(rng.uniform(0.5, 2, 70)))
    factor = Factor(matrix, rng.random(70) < 0.2)
    inverse = np.linalg.inv(matrix.toarray())
    np.testing.assert_allclose(factor.diagonal(), np.diag(inverse), rtol=RTOL)
    assert factor.log_determinant == pytest.approx(np.linalg.slogdet(matrix.toarray())[1])


def test_the_order_of_parameters_does_not_matter():
    model = survey_model(6)
    matrix, mask = system(model), dense_mask(model, BORDERS["usual"])
    order = np.random.default_rng(7).permutation(model.width)
    moved = Factor(sparse.csc_array(matrix[order][:, order]), mask[order])
    factor = Factor(matrix, mask)
    np.testing.assert_allclose(moved.diagonal(), factor.diagonal()[order], rtol=RTOL)
    assert moved.log_determinant == pytest.approx(factor.log_determinant, rel=RTOL)


def test_the_same_matrix_gives_the_same_bits():
    model = survey_model(8)
    matrix, mask = system(model), dense_mask(model, BORDERS["usual"])
    first, second = Factor(matrix, mask), Factor(matrix, mask)
    np.testing.assert_array_equal(first.diagonal(), second.diagonal())


@pytest.mark.parametrize("border", BORDERS)
def test_a_singular_or_indefinite_matrix_is_refused_in_plain_words(border):
    model = survey_model(9)
    mask = dense_mask(model, BORDERS[border])
    matrix = system(model)
    least = np.linalg.eigvalsh(matrix.toarray())[0]
    unit = sparse.identity(model.width)
    Factor(sparse.csc_array(matrix - 0.9 * least * unit), mask)
    no_prior = normal_matrix(model, Weights(np.ones(len(model.star)), np.ones(model.stars)))
    nothing = sparse.csc_array((model.width, model.width))
    for bad in (matrix - 1.1 * least * unit, matrix - 1e6 * unit, no_prior, nothing):
        with pytest.raises(CalibrationError, match="cannot be separated"):
            Factor(sparse.csc_array(bad), mask)


def test_terms_that_many_exposures_share_are_dense_and_local_ones_are_not():
    exposures, visits = 6400, 200
    ccd, visit = np.arange(exposures) % 32, np.arange(exposures) // 32
    terms = tuple(
        Term(name, "correction", low, high, sparse.csr_array(sparse.identity(high - low)))
        for name, low, high in [
            ("visit", 0, 200),
            ("static", 200, 232),
            ("jitter", 232, 6632),
            ("bin", 6632, 6664),
            ("cell", 6664, 7064),
        ]
    )
    model = MixedModel(
        terms,
        _rows(
            np.stack([visit, visits + ccd, 232 + np.arange(exposures)], axis=1),
            np.ones((exposures, 3)),
            6632,
        ),
        _rows(
            np.stack([ccd, 32 + np.arange(exposures) // 16], axis=1), np.ones((exposures, 2)), 432
        ),
        np.arange(exposures),
        np.arange(exposures),
        exposures,
        visit=visit,
    )
    dense = choose_dense(model)
    found = {term.name for term in terms if dense[term.columns].all()}
    assert found | {"visit"} == {"visit", "static", "bin"}
    assert not dense[232:6632].any()
    assert not dense[6664:].any()


def test_the_trace_of_few_columns_of_the_dense_block_needs_no_inverse_of_it():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(60, 60))
    matrix = root @ root.T + 60 * np.eye(60)
    factor = Factor(sparse.csc_array(matrix), np.arange(60) >= 20)
    some = slice(30, 36)
    precision = sparse.csr_array(
        sparse.diags_array([1.0, 2.0, 1.0], offsets=[-1, 0, 1], shape=(6, 6))
    )
    wanted = np.trace(precision.toarray() @ np.linalg.inv(matrix)[some, some])
    assert factor.holds_densely(some) and not factor.holds_densely(slice(15, 36))
    assert factor.trace(precision, some) == pytest.approx(wanted, rel=1e-12)
    assert "_corner_inverse" not in vars(factor)
    factor.diagonal()
    assert factor.trace(precision, some) == pytest.approx(wanted, rel=1e-12)
