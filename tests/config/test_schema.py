"""The schema judged by an independent validator, against what `load_survey` says."""

import json

import jsonschema
import pytest

from scrframe.config import column_vocabulary, survey_schema
from scrframe.config.document import parse_yaml
from scrframe.errors import ConfigError
from scrframe.tables import VOCABULARY


@pytest.fixture(scope="module")
def validator(registry):
    schema = survey_schema(registry)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(json.loads(json.dumps(schema)))


def valid(validator, text):
    return validator.is_valid(parse_yaml(text, "s.yaml", {}).data)


def test_what_loads_is_valid(validator, load, minimal):
    assert valid(validator, minimal)
    assert valid(validator, load(minimal).as_yaml())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: demo", "nme: demo"),
        ("aperture: 3", "aperture: 9"),
        ("aperture: 3", "apertur: 3"),
        ("kind: tiles", "kind: tile"),
        ("1 arcsec", "1"),
        ("min_stars: 20", "min_stars: many"),
        ("kind: bin, ", "kind: group, "),
        ("by: [visit]", "of: [visit]"),
        ("min_stars: 20", "mode: seq"),
        ("mag > 12", "12"),
    ],
)
def test_what_does_not_load_is_not_valid(validator, load, minimal, old, new):
    text = minimal.replace(old, new)
    assert not valid(validator, text)
    with pytest.raises(ConfigError):
        load(text)


def test_every_key_of_the_core_is_described(registry):
    schema = survey_schema(registry)
    assert "plugins" not in json.dumps(list(schema["$defs"]["LoaderBlock"]["properties"]))
    for name in ("ReddeningSettings", "SimulationSettings", "DataSettings"):
        for key, about in schema["$defs"][name]["properties"].items():
            assert about.get("description"), f"{name}.{key}"


def test_the_vocabulary_and_the_columns_of_plugins(registry):
    rows = column_vocabulary(registry)
    assert [row.name for row in rows] == [*(c.name for c in VOCABULARY), "sharpness"]
    assert rows[-1].provider == "tiles"
    assert all(row.doc for row in rows)
    assert rows[0].stage == "detection"
    assert len(column_vocabulary()) == len(VOCABULARY)
