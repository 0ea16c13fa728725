"""Figures of colours and reddening give back the injected colours and law."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from run_drawn import assert_drawn, made_up_run, with_slopes

from scrframe.report.figures.colour import figure_predicted_colour, judged_stars
from scrframe.report.figures.reddening import colour_slopes, figure_reddening


@pytest.fixture(scope="module")
def data():
    return made_up_run()


def observed_colour(data, rows):
    """Return mag_cal - reference - R E by its definition."""
    stars = data.stars
    ratio = data.law.ratio(stars["colour0"][rows])
    reference = stars["mag_model"][rows] - stars["colour0"][rows]
    reference = reference - ratio * stars["extinction"][rows]
    return stars["mag_cal"][rows] - reference - ratio * stars["extinction"][rows]


def test_judged_stars_are_weighted_means_of_their_detections():
    rows = 3000
    star = np.arange(rows) // 2
    data = made_up_run(rows, source_id=star.astype(np.int64), in_control=np.ones(rows, bool))
    data.stars["colour0"][1::2] = data.stars["colour0"][::2]
    data.stars["mag_model"] = data.stars["mag_cal"] + data.residual
    found = judged_stars(data, np.ones(rows, bool))
    assert np.array_equal(found.source_id, np.arange(rows // 2))
    value = observed_colour(data, np.arange(rows)).reshape(-1, 2)
    weight = (data.star("mag_err") ** -2.0).reshape(-1, 2)
    wanted = np.average(value, weights=weight, axis=1)
    np.testing.assert_allclose(found.observed_mag, wanted, rtol=0, atol=1e-12)
    assert np.array_equal(found.detections, np.full(rows // 2, 2))


def test_test_stars_are_judged_if_they_are_told(data):
    product = figure_predicted_colour(data)
    assert_drawn(product)
    rows = np.flatnonzero(data.star("in_test"))
    assert np.array_equal(product.data["source_id"], data.star("source_id")[rows])
    observed = observed_colour(data, rows)
    np.testing.assert_allclose(product.data["observed"], observed, rtol=0, atol=1e-12)
    r2 = 1 - np.sum((product.data["predicted"] - observed) ** 2) / np.sum(
        (observed - observed.mean()) ** 2
    )
    assert f"r2 {r2:.4f}" in product.alt and f"{len(rows)} test stars" in product.alt
    sd = 1000 * np.std(product.data["predicted"] - observed)
    assert f"difference {sd:.1f} mmag" in product.alt


def test_control_stars_of_a_run_that_tells_no_test_stars(data):
    stars = {name: values for name, values in data.stars.items() if name != "in_test"}
    product = figure_predicted_colour(replace(data, stars=stars))
    assert len(product.data) == data.star("in_control").sum()
    assert "control stars" in product.alt


def test_no_control_star_no_figure():
    none = np.zeros(2000, bool)
    assert figure_predicted_colour(made_up_run(2000, in_control=none, in_test=none)) is None


def test_without_noise_the_slopes_are_the_law_exactly():
    data = made_up_run(noise_mag=0.0)
    slopes = colour_slopes(data, np.arange(len(data.ccd)))
    np.testing.assert_allclose(slopes.slope, slopes.law, rtol=0, atol=1e-10)
    # Within a bin C0 varies, and with it R; the bin's slope is close to R at its middle.
    ratio = data.law.ratio(slopes.colour0_mag)
    np.testing.assert_allclose(slopes.slope[1:-1], ratio[1:-1], atol=0.01)


def test_slopes_find_a_law_that_is_wrong():
    data = made_up_run(60_000, seed=11)
    wrong = 0.05 * data.law.ratio(data.star("colour0")) * data.star("extinction")
    # The sky follows a law that is 5 per cent steeper than the run's.
    shifted = replace(data, stars={**data.stars, "delta": data.star("delta") - wrong})
    slopes = colour_slopes(shifted, np.arange(len(data.ccd)))
    pull = (slopes.slope - 1.05 * slopes.law) / slopes.err
    assert np.abs(pull).max() < 4 and 0.5 < np.std(pull) < 1.6
    assert ((slopes.slope - slopes.law) / slopes.err > 5).all()


def test_variation_between_fields_is_in_the_errors():
    data = made_up_run(60_000, seed=12)
    sd, fields = 0.03, len(data.fields)
    own = sd * np.random.default_rng(5).normal(size=fields)
    _, field = np.unique(data.visit_table.field, return_inverse=True)
    extra = own[field[data.visit_code]] * data.star("extinction")
    shifted = replace(
        data,
        law=with_slopes(data.law, sd),
        stars={**data.stars, "delta": data.star("delta") - extra},
    )
    slopes = colour_slopes(shifted, np.arange(len(data.ccd)))
    assert (slopes.err > sd / np.sqrt(fields)).all()
    assert np.abs((slopes.slope - slopes.law) / slopes.err).max() < 4
    # All bins share the fields, whose mean departure they show.
    assert np.mean(slopes.slope - slopes.law) == pytest.approx(own.mean(), abs=0.006)


def test_reddening_holds_slopes_and_excesses(data):
    product = figure_reddening(data)
    assert_drawn(product)
    table = product.data
    slopes = colour_slopes(data, np.arange(len(data.ccd)))
    mine = table[table["kind"] == "slope"]
    assert np.array_equal(mine["value"], slopes.slope)
    assert mine["n_detections"].sum() > 0.99 * len(data.ccd)  # the clip takes 6e-5 of a Gaussian
    excess = table[table["kind"] == "excess"]
    assert len(np.unique(excess["colour0"])) == 2
    # Medians of noise of 0.04 mag, and R that varies within the slice of colour.
    noise = 5 * 0.05 / np.sqrt(np.asarray(excess["n_detections"]))
    spread = 0.15 * np.asarray(excess["extinction"])
    assert (np.abs(excess["value"] - excess["law"]) < noise + spread).all()


def test_the_band_is_the_error_of_the_law(data):
    below = figure_reddening(data).figure.axes[1]
    band = below.collections[0].get_paths()[0].vertices
    law = next(line for line in below.lines if line.get_label() == "law")
    x, y = law.get_data()
    middle = np.full(len(x), np.median(data.star("extinction")))
    err = np.sqrt(data.law.variance(x, middle))
    top = np.array([band[np.isclose(band[:, 0], one), 1].max() for one in x[5:-5]])
    np.testing.assert_allclose(top, (y + err)[5:-5], rtol=1e-9)


def test_hardly_any_detections_or_one_extinction():
    assert figure_reddening(made_up_run(300)) is None
    assert figure_reddening(made_up_run(2000, extinction=np.full(2000, 0.3))) is None


def test_many_fields_of_few_detections_have_no_slopes():
    product = figure_reddening(made_up_run(600, visits=400))
    assert "no bin of colour has fields with enough detections" in product.alt
    assert np.isnan(product.data["value"][product.data["kind"] == "slope"]).all()
