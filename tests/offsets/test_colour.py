"""Colour terms: applied as written out by hand, and found in a drawn survey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

import scrframe
from scrframe.builtin.offset_levels.colour import ColourConfig, prepare_colour
from scrframe.errors import DataError
from scrframe.offsets.apply import apply_solution, near_colours, own_colours
from scrframe.run.correct import read_colours
from scrframe.run.offsets.joint_inputs import reference_colour
from scrframe.tables import (
    FLAG_BITS,
    ColourReference,
    Detections,
    ExposureTable,
    MatchedStars,
    OffsetTable,
    ReddeningLaw,
    Solution,
    SolvedLevel,
)

SURVEY = Path(__file__).parents[2] / "surveys" / "vphas_u.yaml"
LAW = ReddeningLaw(np.array([1.4]), np.eye(1), 0.0, ((0, 0),))
REFERENCE = ColourReference(reference_mag=2.0, spread_mag=0.004, match_radius_arcsec=1.0)
NO_COLOUR = FLAG_BITS["no_colour"]
#: Slopes of detectors 1 and 2, and their errors.
SLOPES, ERRORS = np.array([0.01, -0.02]), np.array([0.003, 0.004])


def detections(relative_colour: list[float] | None = None) -> Detections:
    """Return four detections in two detectors of a visit, two stars of them at one place."""
    n = 4
    columns = {
        "visit": ["a"] * n,
        "band": ["u"] * n,
        "ccd": [1, 2, 1, 2],
        "file": ["f"] * n,
        "extension": [1, 2, 1, 2],
        "row": np.arange(n),
        "ra": np.array([10.0, 10.0, 359.9999, 50.0]),
        "dec": np.array([-30.0, -30.00005, 0.0, 89.9]),
        **{name: np.zeros(n) for name in ("mjd", "x", "y")},
        "mag": np.full(n, 15.0),
        "mag_err": np.full(n, 0.01),
    }
    if relative_colour is not None:
        columns["relative_colour"] = np.array(relative_colour)
    return Detections.from_columns(columns)


@pytest.fixture
def solution() -> Solution:
    sample = detections([0.5, 1.0, -1.0, 0.2])
    stars = np.zeros(4, dtype=np.int64)
    matched = MatchedStars(sample, sample, stars, np.zeros((1, 1), np.float32), stars == 1)
    level = prepare_colour("ccd_colour", matched, ColourConfig())
    offsets = OffsetTable(SLOPES, ERRORS, np.zeros(2), np.array([2, 2]))
    exposures = ExposureTable(
        np.array(["a", "a"]),
        np.array([1, 2]),
        np.array([0.1, 0.2]),
        np.full(2, 0.005),
        np.full(2, 0.003),
        np.array(["ccd", "ccd"]),
        np.array([9, 9]),
    )
    levels = (SolvedLevel(level, "colour", offsets, False),)
    return Solution(levels, 0.0, LAW, ("a",), {}, exposures, colour=REFERENCE)


def test_a_colour_adds_its_slope_beside_the_total(solution):
    found = apply_solution(solution, detections([0.5, 1.0, -1.0, np.nan]))
    np.testing.assert_allclose(found.total_mag, [0.1, 0.2, 0.1, 0.2], atol=1e-15)
    np.testing.assert_allclose(found.colour_mag, [0.005, -0.02, -0.01, 0.0], atol=1e-15)
    np.testing.assert_allclose(found.applied_mag, found.total_mag + found.colour_mag, atol=0)
    assert found.reference_colour_mag == 2.0
    assert found.flags.tolist() == [0, 0, 0, NO_COLOUR]
    # The error of the slope counts; without a colour, the spread of the terms is systematic.
    own = np.sqrt(0.005**2 + 0.01**2 + (ERRORS[[0, 1, 0]] * [0.5, 1.0, 1.0]) ** 2)
    np.testing.assert_allclose(found.errors["mag_cal_err"][:3], own, rtol=1e-12)
    assert found.errors["mag_cal_sys"].tolist() == pytest.approx([0.003, 0.003, 0.003, 0.005])


def test_without_colours_all_are_of_the_reference_colour(solution):
    found = apply_solution(solution, detections())
    assert found.colour_mag.tolist() == [0.0] * 4
    assert (found.flags == NO_COLOUR).all()


def test_the_nearest_star_gives_the_colour():
    """The second star is 0.18 arcsec from the second detection, across RA 0 lies the third."""
    ra, dec = np.array([10.0, 10.0, 0.0001, 50.0]), np.array([-30.0, -30.0001, 0.0, 89.8])
    colour = np.array([1.0, 3.0, 2.5, 9.0])
    seen = near_colours(detections(), ra, dec, colour, REFERENCE)
    np.testing.assert_allclose(seen["relative_colour"], [-1.0, 1.0, 0.5, np.nan])


def test_catalogues_colours_serve_where_no_star_is_near():
    seen = detections().with_columns({"observed_colour": np.array([9.0, 9.0, np.nan, 2.5])})
    alone = own_colours(seen, REFERENCE)
    np.testing.assert_allclose(alone["relative_colour"], [7.0, 7.0, np.nan, 0.5])
    ra, dec, colour = np.array([10.0]), np.array([-30.0]), np.array([1.0])
    both = near_colours(seen, ra, dec, colour, REFERENCE)
    np.testing.assert_allclose(both["relative_colour"], [-1.0, -1.0, np.nan, 0.5])
    assert "relative_colour" not in own_colours(detections(), REFERENCE)


def test_a_slope_that_all_share_is_no_term(solution):
    """The prior holds the mean of the slopes at zero, not their differences."""
    precision = solution.levels[0].fitted.precision().toarray()
    covariance = np.linalg.inv(precision)
    assert np.ones(2) @ covariance @ np.ones(2) / 4 < 1e-3
    assert np.array([1, -1]) @ covariance @ np.array([1, -1]) == pytest.approx(2.0)


def test_stars_of_one_colour_tell_no_colour_term():
    sample = detections([0.5, 0.51, 0.49, 0.5])
    stars = np.zeros(4, dtype=np.int64)
    matched = MatchedStars(sample, sample, stars, np.zeros((1, 1), np.float32), stars == 1)
    with pytest.raises(DataError, match="nearly one colour"):
        prepare_colour("ccd_colour", matched, ColourConfig())


@pytest.mark.parametrize(
    ("colours", "given", "expected"),
    [
        ([0.5, 1.0, 1.5, 2.5], None, 2.0),
        ([0.1, 0.2, 0.4, 0.6], None, 0.3),  # of another band: the median
        ([0.1, 0.2, 0.4, 0.6], 1.0, 1.0),
    ],
)
def test_offsets_hold_at_a_colour_that_the_sample_has(colours, given, expected):
    sample = detections()
    reference = sample.with_columns({"reference_mag": sample["mag"] - np.array(colours)})
    row = np.arange(4)
    matched = MatchedStars(sample, reference, row, np.zeros((4, 1), np.float32), row < 0)
    assert reference_colour(matched, given) == pytest.approx(expected)


def test_a_table_that_holds_no_colours_is_refused(tmp_path):
    path = tmp_path / "stars.parquet"
    path.write_text("ra_deg,dec_deg,colour")
    with pytest.raises(DataError, match="must be a Parquet table with numbers ra_deg"):
        read_colours(path, np.zeros(0))
    pq.write_table(pa.table({"ra_deg": [1.0], "dec_deg": [2.0], "colour": ["red"]}), path)
    with pytest.raises(DataError, match="must be a Parquet table with numbers"):
        read_colours(path, np.array([2.0]))
    pq.write_table(pa.table({"ra_deg": [1.0], "dec_deg": [2.0], "colour": [0.5]}), path)
    assert [len(column) for column in read_colours(path, np.array([np.nan]))] == [0, 0, 0]
    assert [column.tolist() for column in read_colours(path, np.array([2.0]))] == [[1], [2], [0.5]]


def _rows(table: pa.Table) -> list[tuple[str, int, int]]:
    """Return what identifies each detection."""
    columns = (table[name].to_pylist() for name in ("file", "ccd", "row"))
    return list(zip(*columns, strict=True))


def test_terms_of_a_drawn_survey_are_found_and_applied(tmp_path):
    """Injected terms come back within their errors, and `apply` repeats the run's catalogues."""
    survey = scrframe.load_survey(
        SURVEY,
        overrides=(
            "simulation.fields=4",
            "simulation.overlapping_fields=1.0",
            "simulation.traits.ccd_colour=0.03",
            "simulation.other_sources=0.1",
            "colour_model.kind=ridge",
            "offsets.terms={candidates: [{name: ccd_colour, kind: colour}]}",
        ),
    )
    tree = scrframe.simulate_survey(survey, tmp_path / "tree")
    run = scrframe.calibrate(survey, data=tree, out=tmp_path / "run", workers=1, report=False)
    assert run.summary["offsets"]["joint"]["terms"]["kept"] == ["ccd_colour"]
    table = pq.read_table(run.path / "stars.parquet")
    truth = pq.read_table(tree / "truth.parquet")
    injected = dict(zip(_rows(truth), truth["offset_colour"].to_pylist(), strict=True))
    true = np.array([injected[row] for row in _rows(table)])
    wrong = table["offset_colour"].to_numpy() - true
    relative = table["colour"].to_numpy() - 2.0
    # All detectors have the colour model's mean slope in common, which nobody can tell.
    wrong -= relative * (wrong @ relative) / (relative @ relative)
    assert np.sqrt(np.mean(wrong**2)) < 0.25 * np.sqrt(np.mean(true**2))

    scrframe.apply(
        run.path,
        [tree / "catalogues"],
        out=tmp_path / "again",
        colours=run.path / "star_catalogue.parquet",
    )
    scrframe.apply(run.path, [tree / "catalogues"], out=tmp_path / "without")
    rows = scrframe.open_run(run.path).correct(table.drop(["offset_colour", "mag_cal", "flags"]))
    assert np.array_equal(rows["MAG_CAL"], table["mag_cal"].to_numpy())
    nowhere = table.select(["visit", "ccd", "x_pix", "y_pix", "mag_obs", "mag_err", "mjd"])
    rows = scrframe.open_run(run.path).correct(nowhere)
    assert (rows["CAL_FLAGS"].to_numpy() & NO_COLOUR).all()
    assert np.isfinite(rows["MAG_CAL"].to_numpy()).all()
    for path in (run.path / "catalogues").rglob("*.fits"):
        name = path.relative_to(run.path / "catalogues")
        assert (tmp_path / "again" / name).read_bytes() == path.read_bytes()
        with fits.open(path) as told, fits.open(tmp_path / "without" / name) as untold:
            one, other = told[1].data, untold[1].data
            assert np.array_equal(one["OFFSET_TOTAL"], other["OFFSET_TOTAL"])
            assert (other["OFFSET_COLOUR"] == 0).all() and (other["CAL_FLAGS"] & NO_COLOUR).all()
            known = (one["CAL_FLAGS"] & NO_COLOUR) == 0
            assert known.any() and np.ptp(one["OFFSET_COLOUR"][known]) > 0.01
