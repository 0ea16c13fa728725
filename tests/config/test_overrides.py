"""``--set`` reaches everything that the YAML can say, and says so when it does not."""

import pytest

from scrframe.config.survey import DEFAULT_LEVELS
from scrframe.errors import ConfigError


@pytest.fixture
def no_levels(minimal):
    return minimal.partition("offsets:")[0]


@pytest.mark.parametrize(
    ("option", "path", "value"),
    [
        ("offsets.min_stars=5", "offsets.min_stars", 5),
        ("reddening.visit_constants=false", "reddening.visit_constants", False),
        ("reddening={order: 1}", "reddening.order", 1),
        ("reference.match_radius=500 mas", "reference.match_radius", 0.5),
        ("data.root=/a=b", "data.root", "/a=b"),
        ("band=no", "band", "no"),
        ("simulation.density=1e3", "simulation.density", 1000.0),
        (" offsets.min_stars = 6", "offsets.min_stars", 6),
    ],
)
def test_values_are_yaml(load, minimal, option, path, value):
    node = load(minimal, option)
    for step in path.split("."):
        node = getattr(node, step)
    assert node == value


def test_plugin_keys_and_the_last_one_wins(load, minimal):
    survey = load(minimal, "colour_model.forest.trees=5", "colour_model.forest.trees=6")
    assert survey.colour_model.settings.trees == 6
    assert load(minimal, "loader.tiles.aperture=5").loader.settings.aperture == 5


def test_list_items_go_by_name_or_number(load, minimal):
    assert load(minimal, "offsets.levels.pixel.size=128 pix").offsets.levels[1].settings.size == 128
    assert load(minimal, "offsets.levels.1.size=64 pix").offsets.levels[1].settings.size == 64
    survey = load(minimal, "selection.calibration.1=mag > 13")
    assert [str(cut) for cut in survey.selection.calibration] == [
        "classification == -1",
        "mag > 13",
    ]
    assert str(load(minimal, "zero_point.0=mag > 15").zero_point[0]) == "mag > 15"


def test_levels_that_are_only_defaults_are_reached_and_stay_as_they_are(load, no_levels):
    survey = load(no_levels, "offsets.levels.pixel.size=128 pix", "offsets.levels.ccd.by.1=x")
    levels = {level.name: level.settings for level in survey.offsets.levels}
    assert levels["pixel"].size == 128
    assert levels["ccd"].by == ("visit", "x")
    assert [level["by"] for level in DEFAULT_LEVELS if level["name"] == "ccd"] == [["visit", "ccd"]]
    assert load(no_levels).offsets.levels[-1].settings.size == 256


def test_an_override_mends_the_file(load, minimal):
    assert load(minimal.replace("1 arcsec", "1 mag"), "reference.match_radius=1 arcsec")


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("selection.control=[]", "selection.control is a list; expected a list of at least 1"),
        ("offsets.min_stars", "expected key.path=value"),
        ("=3", "expected key.path=value"),
        ("offsets..min_stars=3", "expected key.path=value"),
        ("offsets.min_stars=many", 'offsets.min_stars is "many"; expected'),
        ("offsets.min_star=3", 'is an unknown key; did you mean "min_stars"?'),
        ("ofsets.min_stars=3", 'ofsets is an unknown key; did you mean "offsets"?'),
        ("offsets.levels.pixl.size=3 pix", 'has no item "pixl"; did you mean "pixel"?'),
        ("offsets.levels.7.size=3 pix", 'has no item "7" (items: visit, pixel)'),
        (
            "offsets.levels.pixel.size=3 mag",
            'offsets.levels.pixel.size has unit "mag"; expected pix',
        ),
        ("selection.calibration.9=mag > 3", 'has no item "9" (items: 0 to 1)'),
        ("selection.calibration.1=magg > 3", 'unknown column "magg"; did you mean "mag"?'),
        ("band.name=3", 'band holds no keys, so there is no "name" in it'),
        ("offsets.min_stars=[", "is not valid YAML"),
        ("offsets.min_stars=!!int 3", "YAML tags are not allowed"),
        ("offsets.min_stars=", "offsets.min_stars is empty; expected"),
        ("data.root=${NOWHERE}", "the environment variable NOWHERE is not set"),
        ("loader.kind=tile", 'no survey loader is called "tile"'),
        ("reference.stars.source=3", "reference.stars.source is 3; expected a mapping of keys"),
        ("reference.stars.source.pth=3", 'is an unknown key; did you mean "path"?'),
    ],
)
def test_mistakes_name_the_option(load, minimal, option, says):
    with pytest.raises(ConfigError) as caught:
        load(minimal, option)
    message = str(caught.value)
    assert message.startswith(f"--set {option}: ")
    assert says in message
    assert "\n" not in message


def test_a_key_of_several_lines_is_told_in_one(load, minimal):
    with pytest.raises(ConfigError, match="off sets is an unknown key") as caught:
        load(minimal, "off\nsets.min_stars=5")
    assert "\n" not in str(caught.value)
