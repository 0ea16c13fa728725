"""Descriptions of many bands: each band is a survey, told apart by what the text says."""

from __future__ import annotations

import re

import pytest
from small_tables import THREE_BANDS

from scrframe.config import is_combined, load_combined, load_survey
from scrframe.errors import ConfigError
from scrframe.plugin import load_registry


@pytest.fixture(scope="module")
def registry():
    return load_registry()


@pytest.fixture
def load(tmp_path, registry):
    def load(text, *overrides):
        path = tmp_path / "three.yaml"
        path.write_text(text, encoding="utf-8")
        return load_combined(path, overrides=overrides, registry=registry, environ={})

    return load


def refusal(load, text, *overrides):
    with pytest.raises(ConfigError) as caught:
        load(text, *overrides)
    return str(caught.value).splitlines()


def line_of(text: str, what: str) -> int:
    return text[: text.index(what)].count("\n") + 1


def test_each_band_is_a_survey(load):
    several = load(THREE_BANDS)
    assert several.name == "three" and several.bands == ("u", "v", "w")
    assert [each.name for each in several.members] == ["three_u", "three_v", "three_w"]
    assert [each.band for each in several.members] == ["u", "v", "w"]
    assert [each.loader.settings.rows for each in several.members] == [
        (f"filter == '{band}'",) for band in "uvw"
    ]
    assert several.share.stars and several.share.terms == ()


def test_changes_of_a_band_and_of_all(load):
    several = load(THREE_BANDS, "reddening.start=1.1")
    assert [each.simulation.visit_sd for each in several.members][2] == 0.04
    assert {each.reddening.start for each in several.members} == {1.1}


def test_a_list_and_a_pattern_of_files_do(load):
    text = THREE_BANDS.replace("detections.parquet", "${band}/*.parquet")
    text = re.sub(r"bands:\n(  .*\n)+", "bands: [g, r]\nshare: {stars: false}\n", text)
    text = text.replace("    rows: [\"filter == '${band}'\"]\n", "")
    several = load(text)
    assert [each.loader.settings.files for each in several.members] == [
        "g/*.parquet",
        "r/*.parquet",
    ]
    assert not several.share.stars


def test_all_bands_have_one_data_root(load):
    members = load(THREE_BANDS).with_data_root("tree").members
    assert {each.data.root for each in members} == {"tree"}


def test_bands_that_nothing_tells_apart_are_refused(load):
    text = THREE_BANDS.replace("${band}", "u")
    (said,) = refusal(load, text)
    assert f"three.yaml:{line_of(text, 'bands:')}:1: bands: u and v would read the same" in said
    assert "${band}" in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("name: three\n", "name: three\nband: u\n"), "band: stands beside bands"),
        (("  v: {simulation", "  v: {simulatoin"), "simulatoin"),
        (
            ("  v: {simulation.shared_scatter: 0.8}", "  v: {reddening.start: ok}"),
            "reddening.start",
        ),
        (("  v:", "  'v v':"), "bands"),
        (("reddening:", "share: {terms: [none]}\nreddening:"), "share.terms names 'none'"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(load, change, says):
    text = THREE_BANDS.replace(*change)
    assert text != THREE_BANDS
    said = refusal(load, text)
    assert any(says in line and "three.yaml:" in line for line in said), said


@pytest.mark.parametrize("bands", ["[u, u]", "[u]", "[1, 2]", "u", "{}"])
def test_wrong_lists_of_bands(load, bands):
    text = re.sub(r"bands:\n(  .*\n)+", f"bands: {bands}\n", THREE_BANDS)
    assert all("bands" in line for line in refusal(load, text))


def test_it_is_no_description_of_one_survey(tmp_path, registry):
    path = tmp_path / "three.yaml"
    path.write_text(THREE_BANDS, encoding="utf-8")
    assert is_combined(path)
    with pytest.raises(ConfigError, match="describes several bands, which only calibrate"):
        load_survey(path, registry=registry, environ={})
