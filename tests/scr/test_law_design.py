"""The order of the law: what is there is found, what is not there is not."""

import numpy as np
import pytest
from law_draws import draw, fit_arguments

from scrframe.errors import CalibrationError
from scrframe.scr.law_design import (
    Fields,
    LawData,
    Sums,
    candidates,
    choose_order,
    held_out_loss,
    terms_of,
)
from scrframe.scr.reddening_law import fit_law, held_order, largest_change
from scrframe.tables.settings import ReddeningSettings

AUTO = ReddeningSettings(order="auto", extinction_order="auto")


def chosen(scores):
    return next((score.order, score.extinction_order) for score in scores if score.chosen)


def test_a_term_in_the_extinction_is_found_with_its_error():
    terms, true = ((1, 0), (0, 0), (0, 1)), np.array([0.05, 1.45, -0.04])
    for seed in range(5):
        law = fit_law(**fit_arguments(draw(seed, terms, true)), settings=AUTO)
        assert law.terms == terms
        errors = np.sqrt(np.diag(law.covariance))
        assert np.all(np.abs(law.coefficients - true) < 3 * errors)
        assert np.all(errors < np.array([0.02, 0.03, 0.02]))
        assert sum(score.chosen for score in law.scores) == 1
        assert len(law.scores) == len(candidates(AUTO)) == 8


def test_a_straight_law_is_seldom_taken_for_a_curved_one():
    terms, true = ((1, 0), (0, 0)), (0.08, 1.4)
    found = [
        chosen(fit_law(**fit_arguments(draw(s, terms, true)), settings=AUTO).scores)
        for s in range(20)
    ]
    # By the rule of one standard error a term that is not there is let in by a chance of
    # about one in six at most, and two further ones are even less likely.
    assert found.count((1, 0)) >= 14
    assert sum(order == 3 for order, _ in found) <= 3


def test_variation_between_fields_is_not_taken_for_a_term():
    """Slopes that differ by field look like a curved law to a fold that knows the field."""
    terms, true = ((1, 0), (0, 0)), (0.08, 1.4)
    found = []
    for seed in range(20):
        drawn = draw(seed, terms, true, stars=24_000, slope_sd=0.03)
        found.append(chosen(fit_law(**fit_arguments(drawn), settings=AUTO).scores))
    assert sum(power == 0 for _, power in found) >= 14


def test_scores_are_those_of_a_direct_calculation():
    drawn = draw(3, stars=400, fields=6)
    group = drawn["fields"].code
    terms = terms_of(2, 1)
    data = LawData.of(
        drawn["colour0_mag"], drawn["extinction"], drawn["excess_mag"], drawn["visit"], terms
    )
    design, excess = data.centred(data.finite)
    fold = np.arange(6) % 3
    loss = held_out_loss(Sums.over(design, excess, group, 6), fold)
    for number in range(3):
        inside = fold[group] == number
        # Constants of visits as columns, in place of taking the means out.
        known = ~inside
        dummies = (drawn["visit"][:, None] == np.arange(18)).astype(float)
        columns = np.hstack([data.design, dummies])
        found = np.linalg.lstsq(columns[known], drawn["excess_mag"][known])[0][: len(terms)]
        misfit = drawn["excess_mag"] - data.design @ found
        for field in np.flatnonzero(fold == number):
            rows = [misfit[drawn["visit"] == 3 * field + k] for k in range(3)]
            direct = sum(np.sum((row - row.mean()) ** 2) for row in rows if len(row))
            assert loss[field] == pytest.approx(direct, rel=1e-9)


def test_outliers_do_not_choose():
    terms, true = ((1, 0), (0, 0)), (0.08, 1.4)
    drawn = draw(1, terms, true, stars=20_000)
    # Blue stars in dust that are far too faint would bend the law.
    wrong = (drawn["colour0_mag"] < 1) & (drawn["extinction"] > 1)
    wrong &= np.arange(len(wrong)) % 3 == 0
    drawn["excess_mag"][wrong] += 2.0
    law = fit_law(**fit_arguments(drawn), settings=AUTO)
    assert law.ratio(np.array([1.5]), np.array([0.7])) == pytest.approx(1.52, abs=0.02)
    assert law.order <= 2


def test_orders_that_the_data_do_not_determine_drop_out():
    drawn = draw(2)
    drawn["colour0_mag"] = np.full(len(drawn["visit"]), 1.5)
    law = fit_law(**fit_arguments(drawn), settings=AUTO)
    assert law.order == 0
    assert {score.order for score in law.scores} == {0}
    drawn["extinction"] = np.full(len(drawn["visit"]), 0.5)
    with pytest.raises(CalibrationError, match="not determined in any order"):
        fit_law(**fit_arguments(drawn), settings=AUTO)


def test_a_single_visit_cannot_be_judged_by():
    drawn = fit_arguments(draw(2))
    drawn["visit"] = np.zeros_like(drawn["visit"])
    drawn["fields"] = Fields(drawn["visit"], ("only",))
    with pytest.raises(CalibrationError, match="needs at least two visits"):
        choose_order(**drawn, settings=AUTO)


def test_without_fields_visits_are_held_out():
    drawn = fit_arguments(draw(4))
    by_visit = choose_order(**{**drawn, "fields": None}, settings=AUTO)
    few = Fields(drawn["visit"] // 36, ("a", "b"))
    assert choose_order(**{**drawn, "fields": few}, settings=AUTO) == by_visit
    assert choose_order(**drawn, settings=AUTO) != by_visit


def test_what_is_named_is_not_chosen():
    assert candidates(ReddeningSettings(order="auto")) == [(0, 0), (1, 0), (2, 0), (3, 0)]
    assert candidates(ReddeningSettings(order=1, extinction_order="auto")) == [(1, 0), (1, 1)]
    drawn = fit_arguments(draw(4))
    law = fit_law(**drawn, settings=AUTO)
    again = fit_law(**drawn, settings=held_order(AUTO, law))
    np.testing.assert_array_equal(again.coefficients, law.coefficients)
    assert again.scores == ()


def test_the_change_of_a_law_with_extinction_is_taken_at_the_median():
    drawn = fit_arguments(draw(4))
    law = fit_law(**drawn, settings=ReddeningSettings(order=1, extinction_order=1))
    plain = fit_law(**drawn, settings=ReddeningSettings(order=1))
    colour0, extinction = drawn["colour0_mag"], drawn["extinction"]
    change = largest_change(law, plain, colour0, ReddeningSettings(), extinction)
    grid = np.linspace(*np.percentile(colour0, [5, 95]), 21)
    middle = np.full(21, np.median(extinction))
    assert change == pytest.approx(np.max(np.abs(law.ratio(grid, middle) - plain.ratio(grid))))
    with pytest.raises(ValueError, match="depends on the extinction"):
        largest_change(law, plain, colour0, ReddeningSettings())
