"""Three bands in one table: one run, one catalogue of stars, each band as it is alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from small_tables import three_bands

import scrframe
from scrframe.checks.verdict import NullTestResult
from scrframe.cli.rendering import combined_lines
from scrframe.errors import DataError
from scrframe.report.bands import BandPart, write_bands_report

BANDS = ("u", "v", "w")


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    return three_bands(tmp_path_factory.mktemp("three"))


@pytest.fixture(scope="module")
def made(survey, tmp_path_factory):
    description = scrframe.load_combined(survey.description)
    out = tmp_path_factory.mktemp("runs") / "three"
    return scrframe.calibrate_combined(description, data=survey.table.parent, out=out, workers=1)


@pytest.fixture(scope="module")
def runs(made):
    return scrframe.open_runs(made.path)


def test_one_directory_holds_a_run_for_each_band(made, runs):
    assert sorted(path.name for path in made.path.iterdir()) == [
        "shared",
        "star_catalogue.parquet",
        "three_u",
        "three_v",
        "three_w",
    ]
    assert tuple(runs) == BANDS and runs["v"].summary["band"] == "v"
    assert runs.summary == scrframe.open_runs(made.path).summary
    assert "star_catalogue.parquet, three_u/" in list(combined_lines(made.summary, made.path))[-1]


@pytest.mark.parametrize("band", BANDS)
def test_offsets_are_those_alone_within_their_errors(survey, runs, band, tmp_path):
    """Sharing stars moves an offset by what its error loses, which is less than the error."""
    (member,) = (
        each for each in scrframe.load_combined(survey.description).members if each.band == band
    )
    done = scrframe.calibrate(member, data=survey.table.parent, out=tmp_path / "alone", workers=1)
    alone, together = scrframe.open_run(done.path).exposures, runs[band].exposures
    assert alone["visit", "ccd"].as_array().tolist() == together["visit", "ccd"].as_array().tolist()
    assert len(alone) == 12
    moved = np.array(together["offset"] - alone["offset"])
    assert np.all(np.abs(moved) < np.array(alone["offset_err"]))
    assert np.ptp(alone["offset"]) > 5 * np.median(
        alone["offset_err"]
    )  # there is something to move


def test_stars_have_the_columns_of_every_band(made, runs):
    stars = runs.star_catalogue()
    assert len(set(stars["source_id"])) == len(stars)
    for band in BANDS:
        own = runs[band].star_catalogue()
        rows = np.searchsorted(stars["source_id"], own["source_id"])
        assert np.array_equal(stars["source_id"][rows], own["source_id"])
        for name in ("mag_cal", "mag_cal_err", "n_detections", "flags", "variable"):
            whole = stars[f"{name}_{band}"]
            assert np.array_equal(whole[rows], own[name], equal_nan=name.startswith("mag"))
            assert whole.unit == own[name].unit
        missing = np.setdiff1d(np.arange(len(stars)), rows)
        assert np.isnan(stars[f"mag_cal_{band}"][missing]).all()
        assert (stars[f"n_detections_{band}"][missing] == 0).all()
    known = sum(np.isfinite(stars[f"mag_cal_{band}"]).astype(int) for band in BANDS)
    assert np.array_equal(stars["n_bands"], known)
    assert (known == 3).mean() > 0.9
    meta = pq.read_schema(made.path / "star_catalogue.parquet").metadata
    assert meta[b"bands"] == b"u,v,w" and meta[b"data_note"]


def test_the_bands_share_their_stars(runs):
    pairs = runs.summary["stars"]
    assert len(pairs) == 3 and all(each["common"] > 500 for each in pairs)
    # Four fifths of the hidden scatter are in common of u and each other band.
    assert all(each["correlation"] > 3 * each["error"] for each in pairs[:2])


def test_one_table_is_corrected_by_all(survey, runs):
    table = pd.read_parquet(survey.table)
    found = runs.correct(table)
    for band, run in runs.items():
        here = table["filter"] == band
        written = pq.read_table(run.path / "catalogues" / "detections.parquet").to_pandas()
        pd.testing.assert_frame_equal(found[here], written[here], check_exact=True)
    assert found["MAG_CAL"].notna().mean() > 0.9


def test_a_column_of_bands_does(runs):
    parts = [runs[band].stars() for band in BANDS]
    plain = {
        name: np.concatenate([np.array(part[column]) for part in parts])
        for name, column in {
            **{name: name for name in ("visit", "ccd", "mag_err")},
            **{"x": "x_pix", "y": "y_pix", "ra": "ra_deg", "dec": "dec_deg", "mag": "mag_obs"},
        }.items()
    }
    plain["band"] = np.repeat(BANDS, [len(part) for part in parts])
    expected = np.concatenate([np.array(part["mag_cal"]) for part in parts])
    assert np.array_equal(runs.correct(plain)["MAG_CAL"], expected, equal_nan=True)
    order = np.random.default_rng(2).permutation(len(expected))
    mixed = {name: values[order] for name, values in plain.items()}
    mixed["filter"] = mixed.pop("band")
    found = runs.correct(mixed, columns={"band": "filter"})
    assert np.array_equal(found["MAG_CAL"], expected[order], equal_nan=True)
    mixed["filter"] = np.full(len(order), "z")
    assert np.isnan(
        runs.correct(
            mixed,
            columns={"band": "filter"},
        )["MAG_CAL"]
    ).all()
    with pytest.raises(DataError, match="or give a column band"):
        runs.correct({"mag": [1.0]})


def test_one_run_is_not_several(made, small_run):
    with pytest.raises(DataError, match=r"several bands .* scrframe\.open_runs opens them all"):
        scrframe.open_run(made.path)
    with pytest.raises(DataError, match=r"scrframe\.open_run opens one run"):
        scrframe.open_runs(small_run)


def test_the_report_compares_the_bands_and_leads_to_their_pages(made, runs, tmp_path):
    (tmp_path / "u" / "report").mkdir(parents=True)
    (tmp_path / "u" / "report" / "index.html").write_text("the page of u")
    check = NullTestResult("gravity", "Things fall", 0.1, 0.2, "mag", "passed", "seen")
    parts = [
        BandPart(band, tmp_path / band, runs[band].summary, (check,) if band == "u" else ())
        for band in BANDS
    ]
    n_bands = np.array(runs.star_catalogue(["n_bands"])["n_bands"])
    page = write_bands_report(tmp_path, parts, made.summary, n_bands)
    text = page.read_text(encoding="utf-8")
    assert (page.parent / "u" / "index.html").read_text() == "the page of u"
    assert 'href="u/index.html"' in text and 'href="v/index.html"' not in text
    assert "three: calibration report of 3 bands" in text
    assert f"{runs['u'].summary['counts']['calibration']['detections']:,}" in text
    for each in made.summary["stars"]:
        assert f"{each['common']:,}" in text
