"""A whole survey in memory: the identities of its truth, and its traits one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from scrframe.config import SimulationSettings
from scrframe.simulate.survey import SimulatedSurvey, build_survey
from scrframe.tables import Camera

Build = Callable[..., SimulatedSurvey]


def joined(survey: SimulatedSurvey) -> pd.DataFrame:
    """Return truth and observation, one row a detection that is a star."""
    parts = []
    for number in range(len(survey.visits)):
        truth = survey.truth(number, f"file{number}", f"visit{number}").to_pandas()
        seen = survey.visit(number).detections.to_pandas()
        seen["row"] = seen.groupby("ccd").cumcount()
        truth["number"] = number
        parts.append(truth.merge(seen, on=["ccd", "row"], validate="one_to_one"))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def noisy_rows(survey: SimulatedSurvey) -> pd.DataFrame:
    return joined(survey)


@pytest.fixture(scope="module")
def quiet_rows(quiet: SimulatedSurvey) -> pd.DataFrame:
    return joined(quiet)


def stars_of(survey: SimulatedSurvey) -> pd.DataFrame:
    table = survey.catalogue.table.to_pandas()
    table["e_true"], table["bp_true"] = survey.stars.extinction, survey.stars.bp_mag
    return table.set_index("source_id")


def test_without_scatter_only_the_offsets_part_observed_from_true(
    quiet_rows: pd.DataFrame, quiet: SimulatedSurvey
) -> None:
    rows = quiet_rows
    assert len(rows) > 5000
    np.testing.assert_allclose(rows.mag_true - rows.mag, rows.offset_total, atol=1e-12)
    total = rows.offset_visit + rows.offset_ccd + rows.offset_pixel
    np.testing.assert_allclose(rows.offset_total, total, atol=1e-15)
    assert not rows[["outlier", "variable", "defect"]].to_numpy().any()
    # u = G_BP + C0 + R E with the catalogued values, which have no noise.
    star = stars_of(quiet).loc[rows.source_id]
    model = star.bp_mag.to_numpy() + rows.colour0 + rows.R * star.extinction.to_numpy()
    np.testing.assert_allclose(rows.mag_true, model, atol=1e-12)


def test_r_is_eq_4_of_the_paper(quiet_rows: pd.DataFrame, noisy_rows: pd.DataFrame) -> None:
    def eq_4(rows: pd.DataFrame) -> Any:
        return 0.042 * rows.colour0**2 + 0.027 * rows.colour0 + 1.42

    np.testing.assert_allclose(quiet_rows.R, eq_4(quiet_rows), rtol=1e-12)
    # With a law that varies it is so up to one factor for each field that drew the star.
    factors = np.unique(np.round(noisy_rows.R / eq_4(noisy_rows), 9))
    assert len(factors) <= 4
    assert np.ptp(factors) > 0.01


def test_truth_is_in_its_gauge(noisy_rows: pd.DataFrame) -> None:
    rows = noisy_rows
    assert abs(rows.offset_visit.sum()) < 1e-9
    assert rows.groupby("visit", observed=True).offset_visit.nunique().eq(1).all()
    assert rows.groupby("visit", observed=True).offset_ccd.sum().abs().max() < 1e-9
    assert rows.groupby("ccd").offset_pixel.sum().abs().max() < 1e-9


def test_rows_count_within_their_detector(survey: SimulatedSurvey) -> None:
    table = survey.visit(0).detections.to_pandas()
    assert table.ccd.is_monotonic_increasing
    truth = survey.truth(0, "f", "v").to_pandas()
    for ccd, rows in truth.groupby("ccd"):
        assert rows.row.max() < (table.ccd == ccd).sum()


def test_columns_of_the_truth(survey: SimulatedSurvey) -> None:
    assert survey.truth(0, "f", "v").column_names == [
        "file",
        "ccd",
        "row",
        "source_id",
        "visit",
        "field",
        "mag_true",
        "colour0",
        "extinction",
        "R",
        "offset_visit",
        "offset_ccd",
        "offset_pixel",
        "offset_total",
        "outlier",
        "variable",
        "defect",
    ]


def test_hidden_scatter(noisy_rows: pd.DataFrame, survey: SimulatedSurvey) -> None:
    star = stars_of(survey).loc[noisy_rows.source_id]
    model = star.bp_true.to_numpy() + noisy_rows.colour0 + noisy_rows.R * noisy_rows.extinction
    rows = noisy_rows.assign(hidden=noisy_rows.mag_true - model).drop_duplicates("source_id")
    assert rows.hidden.std() == pytest.approx(0.05, rel=0.05)
    # A star has one true magnitude, however often it is seen.
    assert noisy_rows.groupby("source_id").mag_true.nunique().eq(1).all()


def test_coherent_scatter_can_be_the_whole(build: Build) -> None:
    survey = build(hidden_scatter=0.03, hidden_coherent=1.0, fields=6, density=1500.0)
    rows = joined(survey).drop_duplicates("source_id")
    star = stars_of(survey).loc[rows.source_id]
    hidden = rows.mag_true - star.bp_true.to_numpy() - rows.colour0 - rows.R * rows.extinction
    within = hidden.groupby(rows.field, observed=True).std()
    assert hidden.std() > 0.01
    # Fields of half a degree are much smaller than the scale of two degrees.
    assert within.max() < 0.5 * hidden.std()


def test_photometric_noise_exceeds_its_catalogued_error(noisy_rows: pd.DataFrame) -> None:
    rows = noisy_rows[~(noisy_rows.outlier | noisy_rows.variable | noisy_rows.defect)]
    noise = rows.mag_true - rows.mag - rows.offset_total
    foreseen = np.hypot(1.5 * rows.mag_err, 0.008)
    assert (noise / foreseen).std() == pytest.approx(1, abs=0.03)
    assert (noise / rows.mag_err).std() > 1.5


def test_blends_brighten_and_variables_vary(noisy_rows: pd.DataFrame) -> None:
    residual = noisy_rows.mag - noisy_rows.mag_true + noisy_rows.offset_total
    wrong = residual[noisy_rows.outlier & ~noisy_rows.variable & ~noisy_rows.defect]
    assert wrong.mean() < -0.02
    assert wrong.std() > 0.1
    assert noisy_rows.outlier.mean() == pytest.approx(0.02, abs=0.006)
    assert residual[noisy_rows.variable].std() > 0.05
    assert noisy_rows.groupby("source_id").variable.nunique().eq(1).all()


@pytest.mark.parametrize("on", [True, False])
def test_defective_column(
    on: bool, camera: Camera, curve: Callable[..., Any], quiet_settings: dict[str, Any]
) -> None:
    large = replace(camera, nx=2048, ny=2000, pixel_scale_arcsec=0.42)
    settings = {**quiet_settings, "defective_column": on, "fields": 2, "density": 20000.0}
    rows = joined(build_survey(SimulationSettings(**settings), large, curve, band="u"))
    lost = rows.mag - rows.mag_true + rows.offset_total
    if not on:
        assert not rows.defect.any()
        return
    defect = rows[rows.defect]
    assert set(defect.ccd) == {11}
    assert defect.x.between(1750, 1790).all()
    assert defect.y.max() < 1400
    # Light is lost, unevenly: by 0.10 mag with a scatter of 0.08, for some 100 detections.
    assert lost[rows.defect].mean() == pytest.approx(0.10, abs=0.03)
    assert lost[rows.defect].std() == pytest.approx(0.08, abs=0.025)
    assert lost[~rows.defect].abs().max() < 1e-12


def test_stars_seen_twice_are_the_same_star(noisy_rows: pd.DataFrame) -> None:
    count = noisy_rows.groupby("source_id").size()
    assert (count >= 2).mean() > 0.2
    spread = noisy_rows.groupby("source_id").dec.max() - noisy_rows.groupby("source_id").dec.min()
    assert spread.max() * 3600 < 5


def test_positions_have_their_error_and_move(quiet: SimulatedSurvey) -> None:
    found = quiet.visits[0]
    star = found.star[found.star >= 0]
    years = (quiet.layout.mjd[0] - 57388.5) / 365.25
    dec = quiet.stars.dec_deg[star] + quiet.traits.pmdec[star] * years / 3.6e6
    miss = (found.dec_deg[found.star >= 0] - dec) * 3.6e6
    assert miss.std() == pytest.approx(70 / np.sqrt(2), rel=0.06)
    assert 1 < np.median(np.abs(quiet.traits.pmdec)) < 20


def test_extinction_and_its_noise(noisy_rows: pd.DataFrame, survey: SimulatedSurvey) -> None:
    star = stars_of(survey)
    noise = (star.extinction - star.e_true) / star.extinction_err
    assert noise.std() == pytest.approx(1, abs=0.04)
    by_field = noisy_rows.groupby("field", observed=True).extinction
    control = by_field.get_group(survey.layout.name[0])
    assert control.min() > 0.03
    assert control.max() < 0.45
    assert by_field.mean().max() > 2 * control.mean()
    assert by_field.std().max() > 0.1


def test_populations_differ_with_extinction_only_if_asked(build: Build) -> None:
    def relation(survey: SimulatedSurvey) -> tuple[float, int]:
        stars = survey.stars
        return float(np.corrcoef(stars.extinction, stars.colour0)[0, 1]), len(stars)

    # The correlation of n independent pairs scatters by 1 / sqrt(n): four of these.
    alone, number = relation(build(population_gradients=False))
    assert abs(alone) < 4 / np.sqrt(number)
    together, number = relation(build(population_gradients=True))
    assert together > 4 / np.sqrt(number)


def test_two_builds_are_equal_and_seeds_differ(build: Build) -> None:
    first, second, other = (build(fields=2, seed=seed) for seed in (8, 8, 9))
    for number in range(4):
        once, again = (made.visit(number).detections.to_pandas() for made in (first, second))
        pd.testing.assert_frame_equal(once, again, check_exact=True)
        assert first.truth(number, "f", "v").equals(second.truth(number, "f", "v"))
    assert first.catalogue.table.equals(second.catalogue.table)
    assert np.array_equal(first.catalogue.coefficients, second.catalogue.coefficients)
    assert not first.visit(0).detections.equals(other.visit(0).detections)


def test_switches_leave_the_rest_as_it_is(survey: SimulatedSurvey, quiet: SimulatedSurvey) -> None:
    """The same stars, dates and offsets, so that what a trait does can be seen by itself."""
    np.testing.assert_array_equal(survey.layout.mjd, quiet.layout.mjd)
    np.testing.assert_array_equal(survey.stars.extinction, quiet.stars.extinction)
    errors = survey.catalogue.coefficient_errors
    np.testing.assert_array_equal(errors.shape, quiet.catalogue.coefficient_errors.shape)


def test_other_sources(survey: SimulatedSurvey, build: Build) -> None:
    found = survey.visit(0).detections.to_pandas()
    classes = set(found.classification)
    assert {-1, -2, 1, 0} <= classes
    assert found.mag.isna().any()
    assert found.mag_err[found.mag.notna()].min() >= 0.001
    bare = build(other_sources=0.0, fields=2)
    assert bare.stars.has_spectrum.all()
    assert all((visit.star >= 0).all() for visit in bare.visits)
