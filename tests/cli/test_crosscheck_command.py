"""`scrframe crosscheck`: what it shows, and what it refuses."""

from __future__ import annotations

from pathlib import Path

from scrframe.cli.uncertainty import NAMED, crosscheck_lines


def test_it_shows_each_level_and_where_the_products_are(scrframe_command, tiny_run):
    answer = scrframe_command("crosscheck", tiny_run.path, tiny_run.path, "--min-stars", "5")
    assert answer.code == 0, answer.err
    assert answer.err == ""
    out = Path("runs") / "tiny_against_tiny"
    assert (out / "crosscheck.json").exists()
    lines = answer.out.splitlines()
    assert "4 common visits, 4 with 5 stars or more in both runs; differences in mmag:" in lines
    zeros = "sd 0.00, MAD 0.00, noise 0.00, constant 0.00; 0 of 4 disagree"
    assert f"  visit: {zeros}" in lines
    assert lines[-1].startswith(f"products in {out}: crosscheck.json")


def test_visits_that_disagree_are_named_the_first_of_many():
    figures = {
        "judged": 40,
        "sd_mag": 0.036,
        "mad_sigma_mag": 0.03,
        "noise_mag": 0.002,
        "constant_mag": -0.01,
        "disagree": 12,
    }
    visit = {"difference_mag": 0.0521, "err_mag": 0.002, "significance": 26.05}
    summary = {
        "common_visits": 44,
        "min_stars": 20,
        "visit": figures,
        "ccd": None,
        "total": None,
        "levels": {},
        "disagree": [{"visit": f"v{number}", **visit} for number in range(12)],
    }
    lines = list(crosscheck_lines(summary, "out"))
    assert lines[1] == (
        "  visit: sd 36.00, MAD 30.00, noise 2.00, constant -10.00; 12 of 40 disagree"
    )
    named = [line for line in lines if line.startswith("  disagrees: ")]
    assert named[0] == "  disagrees: visit v0 by 52.10 +- 2.00 (+26.1 sigma)"
    assert len(named) == NAMED
    assert "  and 2 more visits" in lines


def test_what_is_no_run_is_one_line(refused, tiny_run):
    assert "nowhere" in refused("crosscheck", tiny_run.path, "nowhere")


def test_too_few_stars_are_wrong_usage(refused, tiny_run):
    assert "--min-stars" in refused("crosscheck", tiny_run.path, tiny_run.path, "--min-stars", "1")
