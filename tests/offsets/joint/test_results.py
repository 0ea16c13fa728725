"""Offsets in the gauge with their errors: values, variances and shifts as dense matrices."""

from dataclasses import replace

import numpy as np
import pytest
from joint_cases import blup, draw_case, error_covariance
from scipy import sparse

from scrframe.offsets.joint.fit import fit_joint
from scrframe.offsets.joint.mixed_model import correction_values
from scrframe.offsets.joint.normal_equations import normal_matrix
from scrframe.offsets.joint.results import JointResults
from scrframe.offsets.joint.stars import weighted
from scrframe.offsets.joint.variance_components import prior_matrix
from scrframe.offsets.linalg.factor import Factor
from scrframe.statistics.covariance import entries

SHARED = ("visit", "static", "drift", "jitter")
#: With one map, with two that share constants, with none; one map has no constant to move.
KINDS = {
    "one": (*SHARED, "pixel", "tilt", "slope", "free"),
    "two": (*SHARED, "pixel", "smooth", "slope"),
    "none": ("visit", "jitter", "slope"),
}
#: Rounding of solves and of differences of variances.
CLOSE = {"rtol": 1e-6, "atol": 1e-10}


class Dense:
    """The gauge by its definition, over detections with weight, as matrices on parameters."""

    def __init__(self, case, fit):
        self.case, self.model, exposures = case, case.model, case.design.exposures
        self.used = fit.weights.detection > 0
        self.exposure = exposures.of_detection[self.used]
        self.visit, self.ccd = exposures.visit, exposures.ccd
        self.parts = {name: self._rows(name) for name in self._corrections()}
        self.covariance = error_covariance(self.model, fit.weights, fit.estimate.sd_mag)

    def _corrections(self):
        return [term.name for term in self.model.terms if term.role == "correction"]

    def _rows(self, name):
        """Return what the term adds to each detection with weight, shape (m, p)."""
        if name in SHARED:
            block = self.model.by_exposure.toarray()[self.model.exposure]
        else:
            block = self.model.by_detection.toarray()
        split = self.model.by_exposure.shape[1]
        rows = np.zeros((len(block), self.model.width))
        columns = np.arange(split) if name in SHARED else np.arange(split, self.model.width)
        term = self.case.design.term(name)
        kept = (columns >= term.first) & (columns < term.last)
        rows[:, columns[kept]] = block[:, kept]
        return rows[self.used]

    def movable(self):
        return [name for name in self.parts if name in ("pixel", "smooth")]

    def map_mean(self, name):
        """Return the mean of a map over each detector, by exposure, shape (x, p)."""
        ccd = self.ccd[self.exposure]
        return np.array([self.parts[name][ccd == number].mean(axis=0) for number in self.ccd])

    def exposures(self):
        """Return the sum of an exposure's terms and of its detector's maps, shape (x, p)."""
        block = np.zeros((len(self.ccd), self.model.width))
        split = self.model.by_exposure.shape[1]
        for name in self.parts:
            if name in SHARED:
                columns = self.case.design.term(name).columns
                block[:, columns] = self.model.by_exposure.toarray()[:, :split][:, columns]
        return block + sum(self.map_mean(name) for name in self.movable())

    def visits(self):
        rows = self.exposures()[self.exposure]
        visit = self.visit[self.exposure]
        return np.array([rows[visit == number].mean(axis=0) for number in range(max(visit) + 1)])

    def mean(self):
        return self.exposures()[self.exposure].mean(axis=0)

    def errors(self, rows):
        return np.sqrt(np.einsum("ip,pq,iq->i", rows, self.covariance, rows))


@pytest.fixture(scope="module", params=KINDS)
def state(request):
    """Return a case, its fit, the results and the dense matrices; some rows have no weight."""
    case = draw_case(11, KINDS[request.param], stars=250)
    fit = without_some(case, fit_joint(case.using(max_rounds=3)))
    return case, fit, JointResults(fit), Dense(case, fit)


def without_some(case, fit):
    """Return the fit with every 17th detection left out, its variances as they were."""
    weight = fit.weights.detection.copy()
    weight[::17] = 0.0
    weights = replace(fit.weights, detection=weight)
    system = normal_matrix(case.model, weights) + prior_matrix(case.model, fit.estimate.sd_mag)
    # As in a large survey: what is local is sparse, where a small one would be dense.
    dense = np.ones(case.model.width, dtype=bool)
    for name in ("visit", "jitter"):
        dense[case.design.term(name).columns] = False
    factor = Factor(sparse.csc_array(system), dense)
    parameters = factor.solve(weighted(case.model, weights, case.problem.delta_mag))
    return replace(
        fit,
        weights=weights,
        factor=factor,
        estimate=replace(fit.estimate, parameters=parameters),
        residual_mag=case.problem.delta_mag - case.model.values(parameters),
    )


@pytest.fixture(scope="module")
def u(state):
    return state[1].estimate.parameters


def test_offsets_are_those_of_the_gauge(state, u):
    _, _, results, dense = state
    found, mean = results.exposures, dense.mean()
    np.testing.assert_allclose(found.offset_mag, (dense.exposures() - mean) @ u, **CLOSE)
    np.testing.assert_allclose(found.visit_mag, (dense.visits() - mean) @ u, **CLOSE)
    own = dense.exposures() - dense.visits()[dense.visit]
    np.testing.assert_allclose(found.ccd_mag, own @ u, **CLOSE)
    assert results.gauged.constant_mag == pytest.approx(mean @ u, abs=1e-10)
    np.testing.assert_array_equal(found.count, np.bincount(dense.exposure))


def test_errors_of_exposures_are_exact(state):
    _, _, results, dense = state
    found, mean = results.exposures, dense.mean()
    np.testing.assert_allclose(found.err_mag, dense.errors(dense.exposures() - mean), **CLOSE)
    own = dense.exposures() - dense.visits()[dense.visit]
    np.testing.assert_allclose(found.ccd_err_mag, dense.errors(own), **CLOSE)


def test_the_covariance_of_visits_is_exact(state):
    _, _, results, dense = state
    rows = dense.visits() - dense.mean()
    expected = rows @ dense.covariance @ rows.T
    found = results.exposures
    np.testing.assert_allclose(found.visit_covariance, expected, rtol=1e-6, atol=1e-12)
    np.testing.assert_array_equal(found.visit_covariance, found.visit_covariance.T)
    np.testing.assert_allclose(found.visit_err_mag, dense.errors(rows), **CLOSE)
    # Visits sum to zero over detections: the covariance has that null direction.
    count = np.bincount(dense.visit[dense.exposure])
    np.testing.assert_allclose(found.visit_covariance @ count, 0, atol=1e-10)


def test_of_many_visits_those_that_share_stars_are_told_exactly(state, monkeypatch):
    case, fit, results, _ = state
    monkeypatch.setattr("scrframe.offsets.joint.results.WHOLE", 0)
    monkeypatch.setattr("scrframe.offsets.joint.visit_errors.NUMBERS", 3 * case.model.width)
    found, whole = JointResults(fit).exposures, results.exposures
    used = fit.weights.detection > 0
    model = fit.design.model
    rows = np.flatnonzero(used)
    visit = fit.design.exposures.visit[model.exposure[rows]]
    star = model.star[rows]
    seen = np.zeros((visit.max() + 1, model.stars))
    seen[visit, star] = 1
    shared = (seen @ seen.T > 0) | np.eye(len(seen), dtype=bool)
    pairs = np.nonzero(shared)
    expected = np.where(shared, whole.visit_covariance, 0.0)
    np.testing.assert_allclose(found.visit_covariance.toarray(), expected, rtol=1e-6, atol=1e-12)
    told = entries(found.visit_covariance, *pairs)
    np.testing.assert_allclose(told, whole.visit_covariance[pairs], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(found.ccd_err_mag, whole.ccd_err_mag, **CLOSE)
    np.testing.assert_allclose(found.visit_err_mag, whole.visit_err_mag, **CLOSE)


def test_of_very_many_visits_draws_tell_the_errors(state, monkeypatch):
    _, fit, whole, _ = state
    monkeypatch.setattr("scrframe.offsets.joint.results.WHOLE", 0)
    monkeypatch.setattr("scrframe.offsets.joint.results.SOLVED", 0)
    found, exact = JointResults(fit).exposures, whole.exposures
    # A variance of 400 draws scatters by 7 per cent, its root by 3.5.
    for name in ("visit_err_mag", "ccd_err_mag"):
        ratio = getattr(found, name) / getattr(exact, name)
        assert np.abs(ratio - 1).max() < 5 * 0.035
        assert abs(ratio.mean() - 1) < 0.035
    np.testing.assert_array_equal(found.err_mag, exact.err_mag)
    told = found.visit_covariance.toarray()
    np.testing.assert_array_equal(told, told.T)
    scale = np.sqrt(np.outer(*[np.diag(exact.visit_covariance)] * 2))
    seen = told != 0
    assert np.abs((told - exact.visit_covariance)[seen] / scale[seen]).max() < 5 / np.sqrt(400)


def test_maps_less_their_means_with_exact_errors(state, u):
    case, _, results, dense = state
    for name in dense.movable():
        term, table = case.design.term(name), results.table(name)
        labels = next(level for level in case.problem.levels if level.name == name).labels()
        place = np.array([np.flatnonzero(dense.ccd == ccd)[0] for ccd in labels["ccd"].to_pylist()])
        rows = np.eye(dense.model.width)[term.columns] - dense.map_mean(name)[place]
        np.testing.assert_allclose(table.offset_mag, rows @ u, **CLOSE)
        np.testing.assert_allclose(table.err_mag, dense.errors(rows), **CLOSE)
        sums = dense.parts[name] != 0
        np.testing.assert_array_equal(table.count, sums[:, term.columns].sum(axis=0))


def test_parts_of_the_products_add_up_to_the_model(state, u):
    """Exposures, maps and the constant are the sum of all corrections, row by row."""
    case, _, results, _ = state
    exposures = case.design.exposures
    total = results.exposures.offset_mag[exposures.of_detection] + results.gauged.constant_mag
    split = case.model.by_exposure.shape[1]
    for level in case.problem.levels:
        term = case.design.term(level.name)
        if term.first >= split and term.role == "correction":
            weights = level.design(case.problem.table).weights
            total = total + weights @ results.table(level.name).offset_mag
    np.testing.assert_allclose(total, correction_values(case.design.model, u), **CLOSE)


def test_tables_of_visits_and_exposures_are_the_products_and_others_their_own_share(state, u):
    case, _, results, dense = state
    exposures, found = case.design.exposures, results.exposures
    labels = {level.name: level.labels().to_pylist() for level in case.problem.levels}
    visits = [exposures.visits.index(row["visit"]) for row in labels["visit"]]
    table = results.table("visit")
    np.testing.assert_array_equal(table.offset_mag, found.visit_mag[visits])
    np.testing.assert_array_equal(table.err_mag, found.visit_err_mag[visits])
    key = {
        (exposures.visits[visit], ccd): number
        for number, (visit, ccd) in enumerate(zip(exposures.visit, exposures.ccd, strict=True))
    }
    place = [key[row["visit"], row["ccd"]] for row in labels["jitter"]]
    table = results.table("jitter")
    np.testing.assert_array_equal(table.offset_mag, found.ccd_mag[place])
    np.testing.assert_array_equal(table.err_mag, found.ccd_err_mag[place])
    np.testing.assert_array_equal(table.count, found.count[place])
    for name in ("static", "drift", "slope", "tilt", "free"):
        if name in labels:
            table, columns = results.table(name), case.design.term(name).columns
            np.testing.assert_array_equal(table.offset_mag, u[columns])
            variance = np.diag(dense.covariance)[columns]
            np.testing.assert_allclose(table.err_mag, np.sqrt(variance), **CLOSE)


def test_scatter_is_that_of_the_residuals_of_each_group(state):
    case, fit, results, dense = state
    table = results.table("jitter")
    rows = dense.parts["jitter"][:, case.design.term("jitter").columns]
    residual = fit.residual_mag[dense.used]
    expected = [
        np.std(residual[column != 0], ddof=1) if (column != 0).sum() > 1 else np.nan
        for column in rows.T
    ]
    np.testing.assert_allclose(table.scatter_mag, expected, rtol=1e-9)


def test_variances_are_the_diagonal(state):
    _, _, results, dense = state
    np.testing.assert_allclose(results.variances(), np.diag(dense.covariance), rtol=1e-6)


def test_a_shift_is_what_solving_again_gives(state):
    case, fit, results, dense = state
    change = np.random.default_rng(12).normal(0, 0.05, len(case.problem.star))
    before, after = (
        blup(case.model, fit.weights, fit.estimate.sd_mag, delta)
        for delta in (case.problem.delta_mag, case.problem.delta_mag + change)
    )
    expected = (dense.exposures() - dense.mean()) @ (after - before)
    np.testing.assert_allclose(results.shift(change), expected, atol=1e-10)


def test_a_constant_shifts_nothing(state):
    case, _, results, _ = state
    shift = results.shift(np.full(len(case.problem.star), 0.3))
    np.testing.assert_allclose(shift, 0, atol=1e-10)


def test_a_shift_with_terms_held_is_what_solving_without_them_gives(state):
    case, fit, results, dense = state
    change = np.random.default_rng(13).normal(0, 0.05, len(case.problem.star))
    change += 0.05 * case.problem.table["extinction"]
    held = case.design.term("slope").columns
    system = np.linalg.inv(dense.covariance)
    rest = np.setdiff1d(np.arange(case.model.width), np.arange(held.start, held.stop))
    sd = fit.estimate.sd_mag
    right = system @ blup(case.model, fit.weights, sd, change)
    moved = np.zeros(case.model.width)
    moved[rest] = np.linalg.solve(system[np.ix_(rest, rest)], right[rest])
    expected = (dense.exposures() - dense.mean()) @ moved
    found = results.shift(change, held=("slope",))
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert np.max(np.abs(found - results.shift(change))) > 1e-4
