"""The description that ships, with the plugins that are installed."""

import re
from pathlib import Path

import jsonschema
import pytest

from scrframe.config import is_combined, load_combined, load_survey, survey_schema
from scrframe.config.document import parse_yaml
from scrframe.plugin import load_registry

SURVEYS = Path(__file__).parents[2] / "surveys"


@pytest.fixture(scope="module")
def installed():
    return load_registry()


ALL = sorted(SURVEYS.glob("*.yaml"))


@pytest.fixture(params=[path for path in ALL if not is_combined(path)], ids=lambda path: path.name)
def path(request):
    return request.param


@pytest.mark.parametrize("path", [*filter(is_combined, ALL)], ids=lambda path: path.name)
def test_one_of_several_surveys_loads_with_all_of_them(path, installed):
    several = load_combined(path, registry=installed, environ={})
    assert len(several.members) >= 2
    assert several.name == path.stem


def test_it_loads_and_is_valid_by_the_schema(path, installed):
    load_survey(path, registry=installed, environ={})
    written = parse_yaml(path.read_text(), path.name, {}).data
    jsonschema.Draft202012Validator(survey_schema(installed)).validate(written)


def test_it_says_as_used_what_it_says(path, installed, tmp_path):
    survey = load_survey(path, registry=installed, environ={})
    again = tmp_path / "again.yaml"
    again.write_text(survey.as_yaml())
    assert load_survey(again, registry=installed, environ={}) == survey


def test_the_papers_cuts_are_in_the_u_band_description(installed):
    survey = load_survey(SURVEYS / "vphas_u.yaml", registry=installed, environ={})
    assert [str(cut) for cut in survey.selection.calibration] == [
        "classification == -1",
        "mag > 12",
        "mag < 21.5",
        "mag_err < 0.08",
        "phot_bp_rp_excess_factor < 1.3 + 0.06 * bp_rp**2",
        "extinction_err < 0.02",
        "xp_snr > 15",
    ]
    assert [str(cut) for cut in survey.selection.control] == [
        "ra > 105",
        "ra < 110",
        "dec > -3.5",
        "dec < 3",
        "gal_b > 3.5",
    ]
    assert survey.data.root == "sample"


@pytest.mark.parametrize(
    "option",
    [
        "offsets.levels.pixel.size=128 pix",
        "colour_model.kind=lightgbm",
        "loader.vphas_casu.aperture=4",
        "data.on_bad_file=skip",
        "reddening.field_slopes=false reddening.visit_constants=false",
    ],
)
def test_the_keys_of_the_contract_can_be_set(option, installed):
    path = SURVEYS / "vphas_u.yaml"
    options = re.split(r" (?=\w+\.)", option)
    assert load_survey(path, overrides=options, registry=installed) != load_survey(
        path, registry=installed
    )
