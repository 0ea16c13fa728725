"""The layout of the design: exposures, where levels are held, and what their sum is."""

import numpy as np
import pytest
from joint_cases import CCDS, VISITS, draw_case, prepared
from scipy import sparse

from scrframe.offsets.joint.mixed_model import build_design, correction_values, find_exposures
from scrframe.tables import FittedLevel, LevelDesign

SHARED = ("visit", "static", "drift", "jitter")
OWN = ("pixel", "smooth", "tilt", "slope")


@pytest.fixture(scope="module")
def case():
    return draw_case(3, (*OWN, *SHARED), stars=60)


def test_exposures_are_ordered_by_visit_and_detector_and_each_row_has_its_own(case):
    table = case.problem.table
    found = find_exposures(table)
    keys = list(zip(table["visit"].tolist(), table["ccd"].tolist(), strict=True))
    expected = sorted(set(keys))
    named = [(found.visits[visit], ccd) for visit, ccd in zip(found.visit, found.ccd, strict=True)]
    assert named == expected
    assert [named[number] for number in found.of_detection] == keys
    assert [keys[row] for row in found.first] == named
    assert [keys.index(key) for key in named] == found.first.tolist()
    assert len(found) == len(expected) <= VISITS * CCDS


def test_visits_that_no_row_has_are_no_visits(case):
    table = case.problem.table
    gone = table["visit"][0]
    rest = find_exposures(table.filter(table["visit"] != gone))
    assert gone not in rest.visits
    assert len(rest.visits) == VISITS - 1
    assert set(rest.visit) == set(range(VISITS - 1))


def test_levels_are_held_by_exposure_where_they_can_be(case):
    terms, model = case.model.terms, case.model
    split = model.by_exposure.shape[1]
    assert [term.name for term in terms] == ["constant", *SHARED, *OWN]
    assert [term.first for term in terms] == [0, *(term.last for term in terms[:-1])]
    assert terms[-1].last == model.width
    assert {term.name for term in terms if term.last <= split} == {"constant", *SHARED}
    assert {term.name for term in terms if term.role == "nuisance"} == {"constant", "slope"}


def test_values_are_the_sum_of_what_levels_say_of_each_detection(case):
    parameters = np.random.default_rng(1).normal(size=case.model.width)
    total, corrections = np.full(len(case.problem.star), parameters[0]), 0.0
    for level in case.problem.levels:
        part = level.design(case.problem.table).weights
        part = part @ parameters[case.design.term(level.name).columns]
        total += part
        corrections = corrections + (part if level.role == "correction" else 0.0)
    # Sums of some ten terms of order one.
    np.testing.assert_allclose(case.model.values(parameters), total, atol=1e-12)
    np.testing.assert_allclose(
        correction_values(case.design.model, parameters), corrections, atol=1e-12
    )


def test_priors_are_those_of_the_levels(case):
    terms = {term.name: term for term in case.model.terms}
    assert terms["constant"].precision is None
    for level in case.problem.levels:
        found, expected = terms[level.name].precision, level.precision()
        np.testing.assert_array_equal(found.toarray(), expected.toarray())
    flat = build_design(
        prepared(case.problem.table, ("free",)),
        case.problem.table,
        case.problem.star,
        case.model.stars,
    )
    assert flat.term("free").precision is None


class Liar(FittedLevel):
    """A level that varies within exposures but does not say so."""

    name = "liar"

    def __init__(self, weight):
        self._weight = weight

    def labels(self):
        raise NotImplementedError

    def design(self, detections):
        rows = detections["row"]
        return LevelDesign(sparse.csr_array(self._weight[rows][:, None]))

    def state(self):
        return {}

    def precision(self):
        return None


@pytest.mark.parametrize("kind", ["values", "entries"])
def test_a_level_that_varies_within_exposures_unsaid_is_held_by_detection(case, kind):
    rows = len(case.problem.star)
    weight = np.ones(rows)
    if kind == "values":
        weight = np.random.default_rng(2).normal(size=rows)
    else:
        weight[find_exposures(case.problem.table).first[0]] = 0.0
    design = build_design((Liar(weight),), case.problem.table, case.problem.star, case.model.stars)
    assert design.model.by_exposure.shape[1] == 1
    np.testing.assert_array_equal(design.model.values(np.array([0.0, 1.0])), weight)


def test_a_survey_without_maps_has_no_columns_by_detection(case):
    levels = prepared(case.problem.table, ("visit",))
    model = build_design(levels, case.problem.table, case.problem.star, case.model.stars).model
    assert model.by_detection.shape == (len(case.problem.star), 0)
    parameters = np.arange(float(model.width))
    names = sorted(set(case.problem.table["visit"].tolist()))
    expected = [1.0 + names.index(name) for name in case.problem.table["visit"].tolist()]
    order = [row["visit"] for row in levels[0].labels().to_pylist()]
    assert order == names
    np.testing.assert_array_equal(model.values(parameters), expected)


def test_terms_with_a_column_for_each_visit_or_exposure_are_known_by_their_columns(case):
    """Not by their number: one visit fewer has columns that no row points at."""
    problem = case.problem
    gone = problem.table["visit"] == problem.table["visit"][0]
    table, star = problem.table.filter(~gone), problem.star[~gone]
    design = build_design(problem.levels, table, star, case.model.stars)
    labels = {level.name: level.labels().to_pylist() for level in problem.levels}
    found = {
        name: [
            None if columns is None else [labels[name][column] for column in columns]
            for columns in (design.visit_columns(term), design.exposure_columns(term))
        ]
        for name in (*SHARED, *OWN)
        for term in [design.term(name)]
    }
    exposures = design.exposures
    visits = [{"visit": name} for name in exposures.visits]
    both = [
        {"visit": exposures.visits[visit], "ccd": ccd}
        for visit, ccd in zip(exposures.visit, exposures.ccd, strict=True)
    ]
    assert found.pop("visit") == [visits, None]
    assert found.pop("jitter") == [None, both]
    assert set(map(tuple, found.values())) == {(None, None)}
