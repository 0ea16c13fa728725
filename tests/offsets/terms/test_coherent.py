"""What stars may have in common beside the model is in the visits' errors, by Bayes' rule."""

from dataclasses import replace

import numpy as np
import pytest
from joint_cases import ERROR, SCATTER, draw_case

from scrframe.offsets.joint.fit import fit_joint
from scrframe.offsets.outliers.weights import OutlierSettings
from scrframe.offsets.terms import coherent
from scrframe.offsets.terms.coherent import coherent_scatter, step_weights, with_free_visits
from scrframe.offsets.terms.likelihood import Fixed, WeightedData, extended

PRIOR = 0.02


class Drawn:
    """A fit of visits, and a slope by field in the place of what fields have in common."""

    def __init__(self):
        case = draw_case(5, ("visit", "static", "slope"))
        self.problem, self.case = case.problem, case
        base = tuple(level for level in self.problem.levels if level.name != "slope")
        (self.level,) = (level for level in self.problem.levels if level.name == "slope")
        settings = replace(self.problem.settings, outliers=OutlierSettings(False))
        self.fit = fit_joint(replace(self.problem, levels=base, settings=settings))
        self.table = self.problem.table
        self.columns = self.level.design(self.table).weights
        term = self.fit.design.term("visit")
        self.rows = np.zeros((term.width, self.fit.design.model.width))
        self.rows[:, term.columns] = np.eye(term.width) - 1 / term.width

    def base(self, delta_mag):
        data = WeightedData(delta_mag, self.fit.weights)
        return with_free_visits(self.fit.design, data, self.fit.prior_sd_mag)

    def visits(self, parameters):
        return self.rows @ parameters

    def found(self, delta_mag):
        return coherent_scatter(self.base(delta_mag), (self.level,), self.table, self.visits, PRIOR)


@pytest.fixture(scope="module")
def drawn():
    return Drawn()


def test_with_one_standard_deviation_it_is_what_the_solve_with_the_term_has_more(
    drawn, monkeypatch
):
    monkeypatch.setattr(coherent, "STEPS", np.array([1.5]))
    monkeypatch.setattr(coherent, "NOTHING", 0.0)
    delta = drawn.problem.delta_mag
    base, found = drawn.base(delta), drawn.found(delta)
    model = extended(base.fixed.model, drawn.level, drawn.table)
    sd_mag = {**base.sd_mag, drawn.level.name: 1.5 * PRIOR}
    there = Fixed.of(model, base.fixed.data, sd_mag)
    width = base.fixed.model.width
    rows = np.hstack([drawn.rows, np.zeros((len(drawn.rows), model.width - width))])
    more = np.sum(rows * there.factor.solve(rows.T.copy()).T, axis=1)
    more -= np.sum(drawn.rows * base.fixed.factor.solve(drawn.rows.T.copy()).T, axis=1)
    moved = rows @ there.parameters - drawn.rows @ base.fixed.parameters
    np.testing.assert_allclose(found.visit_mag**2, more + moved**2, rtol=1e-6)
    assert found.probability == 1.0
    assert found.sd_mag == pytest.approx(1.5 * PRIOR)


def test_zero_points_that_fields_share_are_no_evidence(drawn):
    delta = drawn.problem.delta_mag
    visit, labels = drawn.table.codes("visit")
    shared = 0.08 * np.random.default_rng(1).standard_normal(len(labels))[visit]
    found, moved = drawn.found(delta), drawn.found(delta + shared)
    # What a free visit's prior of a magnitude still says of 0.08 mag: its square over two.
    assert moved.probability == pytest.approx(found.probability, abs=5e-3)
    np.testing.assert_allclose(moved.visit_mag, found.visit_mag, rtol=0.02)


def test_errors_hold_over_the_prior(drawn):
    """Drawn from the prior, the visits' errors are as large as stated, to four errors of that."""
    rng = np.random.default_rng(3)
    design, fit = drawn.fit.design, drawn.fit
    model, star = design.model, drawn.problem.star
    ratios = []
    for _ in range(80):
        values = np.zeros(model.width)
        for term in model.terms:
            if term.precision is not None:
                values[term.columns] = fit.prior_sd_mag[term.name] * rng.normal(size=term.width)
        sd = PRIOR * rng.choice(coherent.STEPS, p=step_weights()) * (rng.random() < 0.5)
        delta = model.values(values) + drawn.columns @ (
            sd * rng.normal(size=drawn.columns.shape[1])
        )
        delta += (rng.normal(size=star.max() + 1) / np.sqrt(fit.weights.star))[star]
        delta += rng.normal(size=len(star)) / np.sqrt(fit.weights.detection)
        base, found = drawn.base(delta), drawn.found(delta)
        solved = base.fixed.factor.solve(drawn.rows.T.copy())
        square = np.sum((drawn.rows @ (base.fixed.parameters - values)) ** 2)
        stated = np.sum(drawn.rows * solved.T) + np.sum(found.visit_mag**2)
        ratios.append(square / stated)  # 1 in the mean, whatever the data
    spread = np.std(ratios) / np.sqrt(len(ratios))
    assert np.mean(ratios) == pytest.approx(1.0, abs=4 * spread)
    assert 4 * spread < 0.6  # or the test would not tell


def test_noise_alone_is_told_from_it(drawn):
    rng = np.random.default_rng(8)
    star = drawn.problem.star
    noise = SCATTER * rng.normal(size=star.max() + 1)[star] + ERROR * rng.normal(size=len(star))
    quiet = drawn.found(noise)
    loud = drawn.found(noise + drawn.columns @ (0.06 * np.array([1.0, -1.0])))
    assert quiet.probability < 0.5
    assert loud.probability > 0.99
    assert loud.record()["scales"].keys() == {""}  # of one alternative
