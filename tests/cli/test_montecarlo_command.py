"""`scrframe montecarlo`: what it shows, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scrframe.cli.uncertainty import montecarlo_lines


def test_it_ends_with_a_line_for_each_set_of_errors(scrframe_command, tiny_survey):
    answer = scrframe_command(
        "montecarlo",
        tiny_survey.description,
        "--data",
        tiny_survey.data,
        "--out",
        "found",
        "--errors",
        "median",
        "--realisations",
        "2",
        "--workers",
        "1",
        "--seed",
        "4",
        *tiny_survey.options,
        "--set",
        "colour_model.kind=ridge",
        "--set",
        "offsets.mode=sequential",
    )
    assert answer.code == 0, answer.err
    assert answer.err == ""
    *_, line, last = answer.out.splitlines()
    assert re.fullmatch(
        r"median errors: model error \d+\.\d mmag \(median of stars\), \d+\.\d \(90th percentile\);"
        r" sigma of all changes \d+\.\d, the paper's 27",
        line,
    )
    assert last.startswith("products in found: montecarlo.parquet")
    assert Path("found/montecarlo.json").exists()


def test_own_errors_have_no_figure_of_the_paper():
    found = {
        "model_err": {"median_mag": 0.0214, "percentile_90_mag": 0.04},
        "difference": {"gaussian_sigma_mag": 0.0302},
        "paper_sigma_mag": None,
    }
    line, _ = montecarlo_lines({"sets": {"own": found}}, "out")
    assert line == (
        "each star's own: model error 21.4 mmag (median of stars), 40.0 (90th percentile);"
        " sigma of all changes 30.2"
    )


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--errors", "hihg"), "--errors"),
        (("--realisations", "1"), "--realisations"),
        (("--seed", "-1"), "--seed"),
        (("--data", "nowhere"), 'data root "nowhere" does not exist'),
        (("--set", "montecarlo.median.snr=0"), "montecarlo.median.snr is 0"),
        (("--set", "montecarlo.median.mag=5"), "has no unit"),
    ],
)
def test_wrong_input_is_one_line(refused, tiny_survey, option, said):
    assert said in refused("montecarlo", tiny_survey.description, *option)
