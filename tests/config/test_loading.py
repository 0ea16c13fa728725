"""Descriptions as a user writes them, right and wrong."""

import pickle
from pathlib import Path

import pytest

from scrframe.config import load_survey
from scrframe.config.survey import SurveyDescription
from scrframe.errors import ConfigError


def refusal(load, text, *overrides, **environ):
    with pytest.raises(ConfigError) as caught:
        load(text, *overrides, **environ)
    return str(caught.value)


def test_defaults_are_the_papers(load, minimal):
    survey = load(minimal.partition("offsets:")[0])
    assert survey.reference.match_radius == 1.0
    assert (survey.colour_model.test_fraction, survey.colour_model.standardise) == (
        0.25,
        "per_star",
    )
    assert (survey.reddening.order, survey.reddening.max_rounds) == (2, 5)
    assert survey.reddening.colour_percentiles == (5.0, 95.0)
    assert survey.offsets.mode == "joint"
    assert survey.offsets.min_stars == 20
    paper = [level for level in survey.offsets.levels if level.mode != "joint"]
    assert [level.name for level in paper] == ["visit", "ccd", "pixel"]
    assert paper[2].settings.size == 256.0
    assert [level.name for level in survey.offsets.active_levels()][-1] == "map"
    assert [level.name for level in survey.offsets.candidates()][:2] == ["fine_map", "law_field"]
    assert [str(cut) for cut in survey.zero_point] == [
        "mag > 14",
        "mag < 17",
        "colour > 1",
        "colour < 2",
        "extinction < 1",
    ]
    assert [writer.kind for writer in survey.writers] == ["fits_catalogue"]
    assert [diagnostic.kind for diagnostic in survey.diagnostics] == ["spread"]
    assert survey.source == Path("s.yaml")


def test_a_candidate_is_left_out_by_its_name(load, minimal):
    text = minimal.partition("offsets:")[0]
    every = [level.name for level in load(text).offsets.candidates()]
    some = load(text + "offsets: {terms: {without: [sky, r_v]}}").offsets.candidates()
    assert [level.name for level in some] == [name for name in every if name not in ("sky", "r_v")]
    said = refusal(load, text + "offsets: {terms: {without: [skye]}}")
    assert 'leave out "skye", which is no candidate; did you mean "sky"?' in said


def test_plugin_blocks(load, minimal):
    survey = load(minimal.replace("{kind: forest}", "{kind: forest, boost: {rate: 0.5}}"))
    assert survey.loader.settings.aperture == 3
    assert survey.colour_model.settings.trees == 100
    assert survey.colour_model.plugins["boost"].rate == 0.5
    assert survey.offsets.levels[0].settings.by == ("visit",)


def test_an_empty_plugin_block_means_defaults(load, minimal):
    assert load(minimal.replace("{kind: forest}", "{kind: forest, forest: }")) == load(minimal)


def test_switching_kind_needs_no_other_edit(load, minimal):
    text = minimal.replace("{kind: forest}", "{kind: forest, forest: {trees: 7}}")
    survey = load(text, "colour_model.kind=boost")
    assert survey.colour_model.settings.rate == 0.1


def test_blocks_of_other_kinds_are_validated_too(load, minimal):
    text = minimal.replace("{kind: forest}", "{kind: forest, boost: {loss: l11}}")
    message = refusal(load, text)
    assert message.startswith('s.yaml:13:44: colour_model.boost.loss is "l11"; expected ')
    assert message.endswith("expected 'l1' or 'l2'; did you mean \"l1\"?")


def test_corrections_are_those_of_the_catalogue(load, minimal):
    text = minimal.replace(
        "1 arcsec", "1 arcsec\n  corrections: [{kind: by_table, by_table: {path: t.csv}}]"
    )
    correction = load(text).reference.corrections[0]
    assert (correction.kind, correction.settings.path) == ("by_table", "t.csv")
    assert "s.yaml:7:24: reference.corrections.0.kind names no correction" in refusal(
        load, text.replace("kind: by_table", "kind: by_tabel")
    )
    assert refusal(load, text.replace("path: t.csv", "")) == (
        's.yaml:7:44: reference.corrections.0.by_table lacks the key "path"'
    )
    other = text.replace("kind: stars", "kind: bare")
    assert "(known: none)" in refusal(load, other)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("1 arcsec", "1 deg/s", '6:17: reference.match_radius has unit "deg/s"; expected'),
        ("1 arcsec", "1 mag", '6:17: reference.match_radius has unit "mag"; expected arcsec'),
        ("1 arcsec", "1", "6:17: reference.match_radius has no unit; expected arcsec"),
        ("1 arcsec", "0 arcsec", "6:17: reference.match_radius is "),
        ("1 arcsec", "nan arcsec", "6:17: reference.match_radius is "),
        ("256 pix", "256 arcsec", 'offsets.levels.pixel.size has unit "arcsec"; expected pix'),
        ("min_stars", "min_star", "15:3: offsets.min_star is an unknown key; did you mean"),
        ("min_stars: 20", "min_stars: many", '15:14: offsets.min_stars is "many"; expected a'),
        ("min_stars: 20", "min_stars: true", "15:14: offsets.min_stars is true; expected a"),
        ("min_stars: 20", 'min_stars: "20"', '15:14: offsets.min_stars is "20"; expected a'),
        ("min_stars: 20", "min_stars: 0", "15:14: offsets.min_stars is 0; expected greater"),
        ("min_stars: 20", "mode: seq", "15:9: offsets.mode is \"seq\"; expected 'joint' or"),
        ("min_stars: 20", "joint: {margin: 0.3}", "offsets.joint.margin has no unit; expected mag"),
        ("min_stars: 20", "joint: {reserved: 1}", "offsets.joint.reserved is 1; expected less"),
        ("min_stars: 20", "tolerance: 5", "15:14: offsets.tolerance has no unit; expected mag"),
        ("aperture: 3", "apertur: 3", "3:31: loader.tiles.apertur is an unknown key; did"),
        ("aperture: 3", "aperture: 9", "3:41: loader.tiles.aperture is 9; expected less"),
        ("{aperture: 3}", "3", "3:30: loader.tiles is 3; expected a mapping of keys"),
        ("tiles: {", "tile: {", '3:23: loader.tile is an unknown key; did you mean "tiles"?'),
        ("kind: tiles, ", "", '3:9: loader lacks the key "kind"'),
        ("kind: tiles", "kind: [a]", "3:16: loader.kind is a list; expected text"),
        ("kind: tiles", "kind: tile", '3:16: loader.kind: no survey loader is called "tile"'),
        ("kind: tiles", "kind: lost", "plugin 'lost' is broken: ImportError"),
        ("kind: tiles, ", "kind: tiles, plugins: {}, ", "loader.plugins is an unknown key"),
        ("kind: bin", "kind: bim", "18:27: offsets.levels.pixel.kind: no offset level is"),
        ("size: 256", "sise: 256", "18:43: offsets.levels.pixel.sise is an unknown key; did"),
        ("name: visit, ", "", '17:7: offsets.levels.0 lacks the key "name"'),
        ("name: visit", "name: Visit", '17:14: offsets.levels.Visit.name is "Visit"; exp'),
        ("name: pixel", "name: visit", 'offsets.levels has two levels called "visit"'),
        ("name: pixel", "name: pixel, parent: ccd", "which is not a level before it (visit)"),
        ("by: [visit]", "by: [chip]", "17:39: offsets.levels.visit.by.0: unknown column"),
        ("by: [visit]", "by: [bp_rp]", "17:39: offsets.levels.visit.by.0: unknown column"),
        ("mag > 12", "magg > 12", '11:7: selection.calibration.1: unknown column "magg"; did'),
        ("mag > 12", "teff > 12", '11:7: selection.calibration.1: "teff" is provided by none'),
        ("mag > 12", "mag >", '11:7: selection.calibration.1: cut "mag >": is not an expression'),
        ("mag > 12", "12", "11:7: selection.calibration.1 is not a cut; expected text"),
        ("mag > 12", "visit > 12", '11:7: selection.calibration.1: cut "visit > 12": labels'),
        ("name: demo\n", "", '1:1: the description lacks the key "name"'),
        ("name: demo", "name: ../demo", '1:7: name is "../demo"; expected text to match'),
        ("name: demo", "name: 12", "1:7: name is 12; expected text"),
        ("band: u", "bend: u", '2:1: bend is an unknown key; did you mean "band"?'),
        ("band: u", "band: u\nband: g", '3:1: duplicate key "band" (first at s.yaml:2:1)'),
        ("band: u", "band: u\nreddening: {start: .inf}", "reddening.start is inf; expected a fin"),
        (
            "band: u",
            "band: u\nreddening: {start: true}",
            "reddening.start is true; expected a number",
        ),
        ("band: u", "band: u\nreddening: ", "3:11: reddening is empty; expected a mapping"),
        (
            "band: u",
            "band: u\nreddening: {colour_percentiles: [95, 5]}",
            "3:33: reddening.colour_percentiles must ascend",
        ),
        (
            "band: u",
            "band: u\nsimulation: {ccd_static: 0.9}",
            "3:13: simulation has ccd_static + ccd_drift + ccd_jitter = ",
        ),
    ],
)
def test_each_mistake_has_one_line(load, minimal, old, new, says):
    assert old in minimal
    message = refusal(load, minimal.replace(old, new, 1))
    assert says in message
    assert all(line.startswith("s.yaml:") for line in message.splitlines())


def test_all_mistakes_are_told_at_once(load, minimal):
    text = minimal.replace("band", "bend").replace("aperture", "apert").replace("1 arcsec", "1")
    lines = refusal(load, text).splitlines()
    assert {line.split(": ")[0] for line in lines} == {
        "s.yaml:1:1",
        "s.yaml:2:1",
        "s.yaml:3:31",
        "s.yaml:6:17",
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "s.yaml: is empty"),
        ("# only a comment\n", "s.yaml: is empty"),
        ("- a\n- b\n", "s.yaml:1:1: is not a mapping of keys"),
        ("just text", "s.yaml:1:1: is not a mapping of keys"),
        (b"name: \xff\xfe", "s.yaml: is not UTF-8 text (byte 6)"),
        (b"SIMPLE  =                    T", "s.yaml:1:1: is not a mapping of keys"),
        (bytes(range(256)), "s.yaml: is not UTF-8 text"),
    ],
)
def test_what_is_no_description(load, text, says):
    assert refusal(load, text).startswith(says)


def test_a_file_that_is_not_there(registry, tmp_path):
    with pytest.raises(ConfigError, match=r"absent.yaml: cannot be read: No such file"):
        load_survey(tmp_path / "absent.yaml", registry=registry)
    with pytest.raises(ConfigError, match=r"cannot be read"):
        load_survey(tmp_path, registry=registry)


def test_a_byte_order_mark_and_windows_lines_are_fine(load, minimal):
    assert load(b"\xef\xbb\xbf" + minimal.replace("\n", "\r\n").encode()) == load(minimal)


def test_the_data_root_comes_from_the_environment(load, minimal):
    assert load(minimal).data.root == "sample"
    assert load(minimal, SCRFRAME_DATA="/d").data.root == "/d"
    assert load(minimal, SCRFRAME_DATA="").data.root == "sample"
    written = minimal + 'data: {root: "${ELSEWHERE:-there}"}\n'
    assert load(written, SCRFRAME_DATA="/d").data.root == "there"
    assert load(written, ELSEWHERE="here").data.root == "here"


def test_the_description_as_used_loads_to_an_equal_one(load, minimal):
    text = minimal.replace("aperture: 3", 'note: "1e5 ${HOME:-x}", aperture: 4')
    first = load(text, "reddening.tolerance=1e-4", "data.root='1:30'", HOME="$${X} yes")
    again = load(first.as_yaml())
    assert again == first
    assert again.digest() == first.digest()
    assert again.as_yaml() == first.as_yaml()
    assert "1.0 arcsec" in first.as_yaml()
    assert again.data.root == "1:30"
    assert again.loader.settings.note == "1e5 $${X} yes"


def test_equality_and_digest_see_every_setting(load, minimal):
    first, other = load(minimal), load(minimal, "loader.tiles.aperture=4")
    assert first != other
    assert first.digest() != other.digest()
    assert hash(first) == hash(load(minimal))


def test_the_digest_does_not_depend_on_where_the_file_lies(load, minimal, registry, tmp_path):
    other = tmp_path / "elsewhere" / "t.yaml"
    other.parent.mkdir()
    other.write_text("# moved\n" + minimal.replace("1 arcsec", "1000 mas"))
    moved = load_survey(other, registry=registry, environ={})
    assert moved.digest() == load(minimal).digest()
    assert moved.source == other


def test_descriptions_can_be_sent_to_workers(load):
    survey = load()
    copy = pickle.loads(pickle.dumps(survey))
    assert copy == survey
    assert copy.source == survey.source
    assert copy.loader.settings.aperture == 3
    assert copy.selection.calibration[0].evaluate is not None


def test_descriptions_cannot_be_changed(load):
    survey = load()
    with pytest.raises(ValueError, match="frozen"):
        survey.offsets.min_stars = 3
    assert isinstance(survey, SurveyDescription)
