"""Keys of earlier versions are taken, with a warning that says where, and the present name."""

import re
import warnings
from dataclasses import replace

import pytest
from fake_plugins import fake_registry

from scrframe.config import load_survey
from scrframe.config.plugin_blocks import ReferenceBlock
from scrframe.config.survey import OffsetSettings, SurveyDescription
from scrframe.errors import ConfigError
from scrframe.plugin import ColourModel, OffsetLevel
from scrframe.tables.settings import ReddeningSettings


@pytest.fixture(autouse=True)
def renamed(monkeypatch):
    """Let some keys have had other names, in every kind of block."""
    monkeypatch.setattr(SurveyDescription, "renamed_keys", {"colours": "colour_model"})
    monkeypatch.setattr(OffsetSettings, "renamed_keys", {"fewest": "min_stars", "parts": "levels"})
    monkeypatch.setattr(ReferenceBlock, "renamed_keys", {"radius": "match_radius"})
    monkeypatch.setattr(ReddeningSettings, "renamed_keys", {"first": "start"}, raising=False)


@pytest.fixture
def registry():
    """Return the fake plugins, of which two had other names for keys of their own."""
    found = fake_registry()
    for kind, name, names in (
        (ColourModel, "forest", {"n": "trees"}),
        (OffsetLevel, "bin", {"width": "size"}),
    ):
        descriptor = found.get(kind, name)
        config = type("Config", (descriptor.config,), {"renamed_keys": names})
        (hook,) = (hook for hook, each, _ in found.everything() if each is descriptor)
        provider = found.provider(kind, name)
        found._found[hook][name] = (replace(descriptor, config=config), provider)
    return found


def warned(load, text, *overrides):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        survey = load(text, *overrides)
    assert all(each.category is FutureWarning for each in caught)
    return survey, [str(each.message) for each in caught]


def line_of(text, key):
    before = text[: re.search(rf"\b{key}:", text).start()]
    return f"s.yaml:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def test_present_names_give_no_warning(load, minimal):
    assert warned(load, minimal)[1] == []


@pytest.mark.parametrize(
    ("new", "old", "dotted"),
    [
        ("colour_model", "colours", "colours"),
        ("min_stars", "fewest", "offsets.fewest"),
        ("levels", "parts", "offsets.parts"),
        ("match_radius", "radius", "reference.radius"),
        ("size", "width", "offsets.levels.pixel.width"),
    ],
)
def test_an_old_name_means_the_same_and_says_where_it_stands(load, minimal, new, old, dotted):
    text = minimal.replace(f"{new}:", f"{old}:")
    survey, messages = warned(load, text)
    assert survey == load(minimal)
    assert messages == [
        f"{line_of(text, old)}: {dotted} is called {new} now; the old name still works, but will be"
        " removed"
    ]


def test_keys_of_a_plugin_under_its_name(load, minimal):
    text = minimal.replace("{kind: forest}", "{kind: forest, forest: {n: 7}}")
    survey, (message,) = warned(load, text)
    assert survey.colour_model.settings.trees == 7
    assert message.startswith(f"{line_of(text, 'n')}: colour_model.forest.n is called trees now")


def test_a_block_that_is_a_dataclass(load, minimal):
    survey, (message,) = warned(load, minimal + "reddening: {first: 2.0}\n")
    assert survey.reddening.start == 2.0
    assert "reddening.first is called start now" in message


def test_errors_name_the_line_of_the_old_key(load, minimal):
    text = minimal.replace("match_radius: 1 arcsec", "radius: 1 mag")
    with pytest.warns(FutureWarning), pytest.raises(ConfigError) as caught:
        load(text)
    assert str(caught.value) == (
        's.yaml:6:11: reference.match_radius has unit "mag"; expected arcsec'
    )


def test_both_names_at_once_are_refused(load, minimal):
    text = minimal.replace("min_stars: 20", "min_stars: 20\n  fewest: 30")
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert str(caught.value) == (
        f"{line_of(text, 'fewest')}: offsets.fewest is called min_stars now, and both are given;"
        " remove fewest"
    )


def test_an_option_with_the_old_name_comes_after_the_text(load, minimal):
    survey, messages = warned(load, minimal, "offsets.fewest=30")
    assert survey.offsets.min_stars == 30
    assert messages == [
        "--set offsets.fewest=30: offsets.fewest is called min_stars now; the old name still"
        " works, but will be removed"
    ]


def test_what_is_written_has_the_present_names(load, minimal, registry, tmp_path):
    survey, _ = warned(load, minimal.replace("colour_model:", "colours:"))
    path = tmp_path / "used.yaml"
    path.write_text(survey.as_yaml(), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_survey(path, registry=registry, environ={}) == survey
