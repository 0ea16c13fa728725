"""Descriptions of several surveys, right and wrong; messages name the line to be changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from scrframe.config import is_combined, load_combined, load_survey
from scrframe.errors import ConfigError
from scrframe.plugin import load_registry

SHIPPED = Path(__file__).parents[2] / "surveys" / "vphas_u.yaml"
TWO = """\
name: both
members:
  - one.yaml
  - survey: one.yaml
    set:
      name: other
      offsets.levels.pixel.size: 512 pix
      selection.control: ["gal_b > 3.5"]
share:
  terms: [ccd_static]
"""


@pytest.fixture(scope="module")
def registry():
    return load_registry()


@pytest.fixture
def load(tmp_path, registry):
    (tmp_path / "one.yaml").write_text(SHIPPED.read_text(encoding="utf-8"), encoding="utf-8")

    def load(text, *overrides):
        path = tmp_path / "both.yaml"
        path.write_text(text, encoding="utf-8")
        return load_combined(path, overrides=overrides, registry=registry, environ={})

    return load


def refusal(load, text, *overrides):
    with pytest.raises(ConfigError) as caught:
        load(text, *overrides)
    return str(caught.value).splitlines()


def test_each_survey_is_its_description_with_its_changes(load, registry):
    several = load(TWO)
    assert several.name == "both"
    assert several.share.terms == ("ccd_static",)
    assert several.share.stars
    first, second = several.members
    assert first == load_survey(SHIPPED, registry=registry, environ={})
    changes = (
        "name=other",
        "offsets.levels.pixel.size=512 pix",
        'selection.control=["gal_b > 3.5"]',
    )
    assert second == load_survey(SHIPPED, overrides=changes, registry=registry, environ={})


def test_options_change_all_surveys_after_their_own_changes(load):
    several = load(TWO, "offsets.levels.pixel.size=1025 pix", "simulation.fields=2")
    levels = [
        {level.name: level.settings for level in each.offsets.levels} for each in several.members
    ]
    assert {each["pixel"].size for each in levels} == {1025.0}
    assert {each.simulation.fields for each in several.members} == {2}


def test_data_lie_in_folders_of_the_surveys_names_or_are_the_sample(load):
    several = load(TWO).with_data_root("trees")
    assert [each.data.root for each in several.members] == ["trees/vphas_u", "trees/other"]
    sample = several.with_data_root("sample")
    assert [each.data.root for each in sample.members] == ["sample"] * 2


def test_the_digest_is_that_of_all_that_is_said(load):
    texts = [TWO, TWO.replace("512", "256"), TWO.replace("[ccd_static]", "[]")]
    assert len({load(text).digest() for text in texts}) == 3
    assert load(TWO + "# a comment\n").digest() == load(TWO).digest()


def test_what_is_one_of_several_is_known_by_its_members(tmp_path):
    path = tmp_path / "some.yaml"
    for text, expected in (
        (TWO, True),
        (SHIPPED.read_text("utf-8"), False),
        ("- 1", False),
        ("a: [", False),
    ):
        path.write_text(text, encoding="utf-8")
        assert is_combined(path) == expected
    assert not is_combined(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("  - one.yaml\n", "  - none.yaml\n", "3:5", "none.yaml: cannot be read"),
        ("      name: other\n", "", "4:5", "survey 'vphas_u' is there already"),
        ("name: other", "name: shared", "4:5", 'a survey called "shared"'),
        ("[ccd_static]", "[ccd_stati]", "10:11", "'ccd_stati', which is not a level"),
        ("share:", "shares:", "9:1", 'did you mean "share"'),
        ("    set:", "    sets:", "5:5", "sets is an unknown key"),
        ("512 pix", "512 mag", "7:7", 'unit "mag"'),
        ("levels.pixel.size", "levels.pixl.size", "7:7", 'did you mean "pixel"'),
        ("name: both\n", "", "1:1", 'lacks the key "name"'),
    ],
)
def test_what_is_wrong_is_said_with_its_line(load, tmp_path, old, new, line, said):
    assert old in TWO
    found = refusal(load, TWO.replace(old, new))
    assert any(f"both.yaml:{line}" in each for each in found), found
    assert any(said in each for each in found), found


def test_one_survey_is_not_several(load):
    text = "name: one\nmembers: [one.yaml]\n"
    assert "a list of at least 2" in refusal(load, text)[0]


def test_surveys_in_mode_sequential_are_refused_each_by_name(load):
    found = refusal(load, TWO, "offsets.mode=sequential")
    assert len(found) == 2
    assert "both.yaml:3:5: survey 'vphas_u' has offsets.mode sequential" in found[0]
    assert "survey 'other' has offsets.mode sequential" in found[1]


def test_a_command_for_one_survey_refuses_several(tmp_path, registry):
    path = tmp_path / "both.yaml"
    path.write_text(TWO, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"both.yaml:2:1: describes several surveys, which only"):
        load_survey(path, registry=registry, environ={})
