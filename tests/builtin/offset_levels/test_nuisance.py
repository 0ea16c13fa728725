"""Slopes against plain arithmetic, cells of the sky against geometry."""

import numpy as np
import pytest
from pydantic import ValidationError

from scrframe.builtin.offset_levels.sky import SkyCellConfig, prepare_sky_cell
from scrframe.builtin.offset_levels.slope import SlopeConfig, prepare_slope
from scrframe.errors import ConfigError


def slope(sample, **settings):
    return prepare_slope("law", sample, SlopeConfig(**settings))


class TestSlope:
    def test_columns_are_the_values_of_the_expressions(self, survey, matched):
        detections = survey(2)
        terms = ("extinction", "extinction * colour0", "-(colour0 - 1) ** 2 / airmass")
        level = slope(matched(survey(1)), of=terms, by=("field",))
        e, c, a = (detections[name] for name in ("extinction", "colour0", "airmass"))
        values = {terms[0]: e, terms[1]: e * c, terms[2]: -((c - 1) ** 2) / a}
        labels = level.labels().to_pydict()
        expected = [
            values[term] * (detections["field"] == field)
            for field, term in zip(labels["field"], labels["term"], strict=True)
        ]
        found = level.design(detections).weights.toarray()
        np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-14, atol=0)
        assert labels["field"] == ["f0"] * 3 + ["f1"] * 3
        assert labels["term"] == [*terms, *terms]

    def test_it_is_nuisance(self, survey, matched):
        level = slope(matched(survey(1)), of=("extinction",))
        assert level.role == "nuisance"
        assert level.within_exposure

    def test_the_mean_of_the_sample_can_be_taken_off(self, survey, matched):
        sample, other = survey(1), survey(2)
        level = slope(matched(sample), of=("extinction", "colour0"), centre=True)
        for column, name in enumerate(("extinction", "colour0")):
            found = level.design(other).weights.toarray()[:, column]
            expected = other[name] - sample[name].mean()
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)

    def test_a_value_that_is_none_gives_an_empty_row(self, survey, matched):
        detections = survey(1).with_columns({"airmass": np.tile([0.0, 1.0, np.nan], 200)})
        level = slope(matched(detections), of=("extinction", "colour0 / airmass"), centre=True)
        counts = np.diff(level.design(detections).weights.indptr)
        assert counts.reshape(-1, 3).tolist() == [[0, 2, 0]] * 200
        assert np.isfinite(level.state()["centres"]).all()

    def test_a_column_that_is_not_there_is_named(self, survey, matched):
        message = (
            r'offsets\.levels\.law\.of: unknown column "extintion"; did you mean "extinction"\?'
        )
        with pytest.raises(ConfigError, match=message):
            slope(matched(survey(1)), of=("extintion * colour0",))
        with pytest.raises(ConfigError, match=r'\.of: expression "field": column "field" is a lab'):
            slope(matched(survey(1)), of=("field",))

    @pytest.mark.parametrize(
        ("of", "message"),
        [
            ([], "at least 1"),
            (["extinction >"], "not an expression"),
            (["extinction > 1"], "not a number"),
            (["2 * 3"], "names no column"),
            (["exp(colour0)"], "arithmetic is"),
            ([""], "is empty"),
            (["colour0", " colour0"], 'names "colour0" twice'),
        ],
    )
    def test_expressions_that_are_refused(self, of, message):
        with pytest.raises(ValidationError, match=message):
            SlopeConfig(of=of)


class TestSkyCell:
    def test_a_star_has_one_cell_whatever_the_visit(self, survey, matched):
        # The same stars in two visits, seen elsewhere on the sky and on the detector.
        one = survey(1)
        moved = {"ra": one["ra"] + 0.2, "x": one["y"], "mjd": one["mjd"] + 500}
        two = one.with_columns({**moved, "visit": ["other"] * len(one)})
        level = prepare_sky_cell("sky", matched(one), SkyCellConfig(size="0.1 deg"))
        cells = level.design(one).partition()
        np.testing.assert_array_equal(level.design(two).partition(), cells)
        assert set(cells) == set(range(level.labels().num_rows))
        assert level.labels().num_rows > 20
