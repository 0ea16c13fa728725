"""`scrframe compare`: what it shows, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from scrframe.cli.comparing import WIDE, comparison_lines, comparison_table
from scrframe.cli.rendering import rendered

FIGURES = SimpleNamespace


def backend(name, sd_mag, *, verdict=None, offsets="not told apart", fault=None):
    if fault:
        return FIGURES(name=name, fault=fault, folds={}, offsets={}, against_reference={})
    spread = FIGURES(sd_mag=sd_mag, mad_mag=sd_mag - 0.005)
    trends = {
        key: FIGURES(rms_mag=value)
        for key, value in (
            ("predicted_colour", 0.0012),
            ("reference_mag", 0.0),
            ("extinction", 0.003),
        )
    }
    folds = {
        kind: FIGURES(dispersion=spread, trends=trends, coverage=FIGURES(within_1=0.684))
        for kind in ("random", "blocked")
    }
    against = {}
    if verdict is not None:
        against = {
            "blocked_sd": FIGURES(value=0.0021, low=0.0011, high=0.0031, verdict=verdict),
            "offset_total": FIGURES(value=0.001, low=0.0, high=0.002, verdict=offsets),
        }
    levels = {level: FIGURES(rms_mag=0.004) for level in ("visit", "ccd", "pixel", "total")}
    return FIGURES(name=name, fault=None, folds=folds, offsets=levels, against_reference=against)


def run_of(ranking, *backends):
    costs = [
        FIGURES(
            backend=each.name,
            fit_s=3.2,
            predict_per_s=1e5 * (number + 1),
            peak_memory_mb=150.0,
            model_mb=12.5,
        )
        for number, each in enumerate(backends)
        if not each.fault
    ]
    comparison = FIGURES(
        survey="mine",
        band="u",
        reference=backends[0].name,
        control_stars=1234,
        truth=True,
        data_note="simulated",
        backends=backends,
        ranking=ranking,
    )
    return FIGURES(comparison=comparison, costs=costs)


def shown(run):
    return rendered([comparison_table(run)], False, WIDE)


def test_the_table_has_a_row_for_each_model_the_best_first():
    run = run_of(
        (("b",), ("a",)),
        backend("a", 0.066),
        backend("b", 0.064, verdict="better"),
        backend("c", 0.0, fault="predicts values that are not finite for 3 of 9 stars"),
    )
    lines = [line.strip() for line in shown(run).splitlines()]
    rows = [line for line in lines if line[:2] in {"a ", "b ", "c "}]
    assert [row[0] for row in rows] == ["b", "a", "c"]
    assert "1,234 control stars" in lines[0] and lines[0].endswith("simulated")
    assert re.search(r"better +\+2.10 \+- 1.00 ", rows[0])
    for figure in (
        "64.0  64.0",
        "59.0  59.0",
        "1.2  0.0  3.0",
        "4.0  4.0  4.0  4.0",
        "68.4%",
        "3.2",
        "200,000",
        "150",
        "12.5",
    ):
        assert figure in rows[0]
    assert "the reference" in rows[1]
    assert "fault, see below" in rows[2]


def test_the_best_is_advised_if_it_stands_alone():
    run = run_of((("b",), ("a",)), backend("a", 0.066), backend("b", 0.064, verdict="better"))
    lines = comparison_lines(run, "out")
    assert lines[0] == "ranking by the sd in blocked folds, best first: b; then a"
    assert lines[1] == "use b: its sd in blocked folds, 64.0 mmag, is the smallest"


def test_of_those_not_told_apart_the_fastest_is_advised():
    run = run_of((("a", "b"),), backend("a", 0.064), backend("b", 0.065, verdict="not told apart"))
    lines = comparison_lines(run, "out")
    assert lines[0].endswith("a = b (= not told apart)")
    assert lines[1].startswith("use b: not told apart from a")
    assert "200,000 stars a second" in lines[1]


def test_not_one_whose_offsets_are_worse():
    other = backend("b", 0.065, verdict="not told apart", offsets="worse")
    lines = comparison_lines(run_of((("a", "b"),), backend("a", 0.064), other), "out")
    assert lines[1].startswith("use a: not told apart from b")


def test_faults_are_told_once_more_below_the_table():
    run = run_of((("a",),), backend("a", 0.064), backend("b", 0.0, fault="does not work"))
    assert "fault of b: does not work" in comparison_lines(run, "out")


@pytest.fixture(scope="module")
def options():
    return ["--folds", "2", "--seeds", "1", "--workers", "1"]


def test_a_comparison_ends_with_the_table_and_the_advice(scrframe_command, tiny_survey, options):
    answer = scrframe_command(
        "compare",
        tiny_survey.description,
        "--data",
        tiny_survey.data,
        "--out",
        "found",
        "--backends",
        "ridge",
        *options,
        "--set",
        "colour_model.kind=ridge",
        *tiny_survey.options,
    )
    assert answer.code == 0, answer.err
    assert answer.err == ""
    lines = answer.out.splitlines()
    assert lines[0].startswith("scrframe: survey vphas_u, data root ")
    assert any(re.match(r" *ridge +the reference ", line) for line in lines)
    assert any(line.startswith("use ridge: ") for line in lines)
    assert lines[-1].startswith("products in found: comparison.json")
    plain = json.loads(Path("found/comparison.json").read_text(encoding="utf-8"))
    assert plain["reference"] == "ridge"
    assert plain["truth"] is True


def test_an_unknown_model_is_refused_in_one_line(refused, tiny_survey):
    line = refused(
        "compare", tiny_survey.description, "--data", tiny_survey.data, "--backends", "rigde"
    )
    assert 'no colour model is called "rigde"; did you mean "ridge"?' in line


@pytest.mark.parametrize("option", [("--folds", "1"), ("--seeds", "0")])
def test_too_few_folds_or_seeds_are_wrong_usage(refused, tiny_survey, option):
    assert option[0] in refused("compare", tiny_survey.description, *option)


def test_no_data_root_is_refused_and_nothing_left(refused, tiny_survey):
    line = refused("compare", tiny_survey.description, "--data", "nowhere")
    assert 'data root "nowhere" does not exist' in line


def test_regions_are_ranked_instead(scrframe_command, tiny_survey):
    answer = scrframe_command(
        "compare",
        tiny_survey.description,
        "--data",
        tiny_survey.data,
        "--out",
        "found",
        "--regions",
        "--workers",
        "1",
        "--set",
        "colour_model.kind=ridge",
        *tiny_survey.options,
    )
    assert answer.code == 0, answer.err
    plain = json.loads(Path("found/regions.json").read_text(encoding="utf-8"))
    kinds = [each["region"]["kind"] for each in plain["regions"]]
    assert kinds.count("described") == 1
    for each in plain["regions"]:
        assert each["region"]["name"] in answer.out
    totals = [each["total_mag"] for each in plain["regions"] if each["fault"] is None]
    assert totals == sorted(totals)
    assert plain["data_note"] == "simulated u magnitudes on real Gaia XP spectra"
    lines = answer.out.splitlines()
    assert lines[-1] == "products in found: regions.json, regions.ecsv"
    assert any(line.startswith(("train on ", "keep the described ")) for line in lines)


def test_regions_and_colour_models_are_not_compared_at_once(refused, tiny_survey):
    line = refused("compare", tiny_survey.description, "--regions", "--backends", "ridge")
    assert "leave out --backends" in line
