"""`scrframe explain`: what it shows, and what it refuses."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from scrframe.cli.rendering import mmag


@pytest.fixture
def first(tiny_run):
    """Return a visit of the tiny run, and a star with two detections."""
    stars = pq.read_table(tiny_run.path / "star_catalogue.parquet").to_pydict()
    row = stars["n_detections"].index(2)
    detections = pq.read_table(tiny_run.path / "stars.parquet").to_pydict()
    return detections["visit"][0], int(detections["ccd"][0]), stars["source_id"][row]


def test_a_visit_is_explained_in_words(scrframe_command, tiny_run, first):
    answer = scrframe_command("explain", tiny_run.path, "--visit", first[0])
    assert answer.code == 0, answer.err
    for words in (
        f"visit {first[0]}",
        "Offset of the visit",
        "zero point of the visit",
        "Neighbours",
        "Other visits of the same field",
        "Without its stars",
        "its own offset would be",
        "mmag",
        "simulated u magnitudes",
    ):
        assert words in answer.out, words


def test_a_ccd_and_a_star_are_too(scrframe_command, tiny_run, first):
    answer = scrframe_command("explain", tiny_run.path, "--ccd", str(first[1]))
    assert answer.code == 0, answer.err
    assert "Offsets in time" in answer.out and f"CCD {first[1]}" in answer.out
    answer = scrframe_command("explain", tiny_run.path, "--visit", first[0], "--ccd", str(first[1]))
    assert answer.code == 0, answer.err
    assert f"CCD {first[1]} in visit {first[0]}" in answer.out
    answer = scrframe_command("explain", tiny_run.path, "--star", str(first[2]))
    assert answer.code == 0, answer.err
    assert "Model: G_BP" in answer.out and "chi2" in answer.out


@pytest.mark.parametrize("what", ["visit", "ccd", "exposure", "star"])
def test_json_says_the_same(scrframe_command, tiny_run, first, what):
    options = {
        "visit": ["--visit", first[0]],
        "ccd": ["--ccd", str(first[1])],
        "exposure": ["--visit", first[0], "--ccd", str(first[1])],
        "star": ["--star", str(first[2])],
    }[what]
    answer = scrframe_command("explain", tiny_run.path, *options, "--json")
    assert answer.code == 0, answer.err
    plain = json.loads(answer.out, parse_constant=pytest.fail)
    assert plain["kind"] == what
    assert plain["data_note"] == "simulated u magnitudes on real Gaia XP spectra"


def test_an_unknown_name_is_one_line_with_near_ones(refused, tiny_run, first):
    line = refused("explain", tiny_run.path, "--visit", first[0][:-1])
    assert f"knows no visit {first[0][:-1]}; near to it: " in line and first[0] in line
    line = refused("explain", tiny_run.path, "--ccd", "99")
    assert "knows no CCD 99; near to it: 9" in line
    line = refused("explain", tiny_run.path, "--star", str(first[2] + 1))
    assert f"near to it: {first[2]}" in line


def test_something_must_be_named_and_a_star_alone(refused, tiny_run):
    assert "nothing to explain" in refused("explain", tiny_run.path)
    line = refused("explain", tiny_run.path, "--star", "1", "--ccd", "2")
    assert "leave out the visit and the CCD" in line
    assert "no such directory" in refused("explain", "nowhere", "--ccd", "2")


def test_numbers_are_in_mmag():
    assert mmag(0.0123, 0.00456) == "+12.3 +- 4.6"
    assert mmag(-0.00001) == "0.0"
    assert mmag(0.0123, sign=False) == "12.3"
    assert mmag(None, 0.1) == "-"
