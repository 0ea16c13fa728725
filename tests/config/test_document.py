"""What YAML text means, and where messages say that it is wrong."""

import pytest
import yaml

from scrframe.config.document import escape, parse_value, parse_yaml, reads_as_text
from scrframe.errors import ConfigError


def data(text, **environ):
    return parse_yaml(text, "f.yaml", environ).data


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("false", False),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("~", None),
        ("", None),
        ("null", None),
        ("12", 12),
        ("-3", -3),
        ("012", 12),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("1e-3", 0.001),
        ("1E5", 1e5),
        (".5", 0.5),
        ("3.", 3.0),
        ("-.inf", float("-inf")),
        ("1.2.3", "1.2.3"),
        ("2011-12-30", "2011-12-30"),
        ('"12"', "12"),
        ("'true'", "true"),
        ('"1:30"', "1:30"),
        ("1 arcsec", "1 arcsec"),
        ("mag < 21.5", "mag < 21.5"),
        ("=", "="),
    ],
)
def test_scalars(text, value):
    read = data(f"key: {text}")["key"]
    assert read == value
    assert type(read) is type(value)


def test_positions_are_those_of_an_editor():
    document = parse_yaml("a: 1\nb:\n  - {c: 2, d: x}\n", "f.yaml", {})
    assert document.origin(("a",)) == "f.yaml:1:4"
    assert document.origin(("b", 0, "d")) == "f.yaml:3:15"
    assert document.origin(("b", 0, "d"), of_key=True) == "f.yaml:3:12"
    assert document.origin(("b", 0, "absent", "x")) == "f.yaml:3:5"
    assert document.origin(()) == "f.yaml:1:1"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", 'f.yaml:3:1: duplicate key "a" (first at f.yaml:1:1)'),
        ("x: {a: 1, a: 2}", 'f.yaml:1:11: duplicate key "a"'),
        ("a: !!python/object/apply:os.system [x]", "f.yaml:1:4: YAML tags are not allowed"),
        ("a: !!int 3", "f.yaml:1:4: YAML tags are not allowed"),
        ("a: !own 3", "f.yaml:1:4: YAML tags are not allowed"),
        ("a: ! 3", "f.yaml:1:4: YAML tags are not allowed"),
        ("a: &x 3\nb: *x", "f.yaml:1:4: YAML anchors are not allowed"),
        ("a: 3\n<<: *x", "f.yaml:2:5: YAML aliases are not allowed"),
        ("%YAML 1.1\n---\na: 3", "f.yaml:1:1: YAML directives are not allowed"),
        ("a: 1:30", 'f.yaml:1:4: "1:30" is a base-60 number'),
        ("a: 1:30:12.5", "f.yaml:1:4: "),
        ("a: [1, 2", "f.yaml:1:9: is not valid YAML"),
        ("a: 1\n\tb: 2", "f.yaml:2:1: is not valid YAML"),
        ("a: b: c", "f.yaml:1:5: is not valid YAML"),
        ("a: 1\n---\nb: 2", "is not valid YAML"),
        ("[1]: 2", "f.yaml:1:1: a key must be a name"),
        ("? {a: 1}\n: 2", "f.yaml:1:3: a key must be a name"),
        ("a: '\x00'", "f.yaml: is not valid YAML"),
        ("a: \x1b[0m", "f.yaml: is not valid YAML"),
        ("a: " + "9" * 5000, "f.yaml:1:4: "),
        ("a: " + "[" * 5000, "nested too deeply"),
        ("a:\n" + "".join(" " * k + "- \n" for k in range(1, 99)), "nested too deeply"),
        ("a: ${1x}", 'f.yaml:1:4: "${1x}" is not a variable'),
        ("a: ${X}", "f.yaml:1:4: the environment variable X is not set"),
    ],
)
def test_what_is_refused(text, says):
    with pytest.raises(ConfigError) as caught:
        data(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_variables_are_expanded_in_text_only_once():
    assert data("a: ${X:-sample}") == {"a": "sample"}
    assert data("a: ${X:-sample}", X="") == {"a": "sample"}
    assert data("a: ${X}", X="") == {"a": ""}
    assert data("a: '${X}/b/${Y:-c}'", X="/d") == {"a": "/d/b/c"}
    assert data("a: ${X}", X="${Y}") == {"a": "${Y}"}
    assert data("a: ${X}", X="12") == {"a": "12"}
    assert data("a: $${X} $X $") == {"a": "${X} $X $"}


@pytest.mark.parametrize("text", ["${X}", "$${X}", "a$$${X:-y}b", "{$}", "$"])
def test_escaped_text_reads_back(text):
    assert data(yaml.safe_dump({"a": escape([text])})) == {"a": [text]}


def test_text_that_must_be_quoted():
    assert not any(map(reads_as_text, ["1e5", "12", "true", "~", "", "1:30"]))
    assert all(map(reads_as_text, ["yes", "1 arcsec", "mag > 3"]))


def test_values_of_options():
    assert parse_value("[a, {b: 1}]", "--set k=v", {}) == ["a", {"b": 1}]
    assert parse_value("", "--set k=", {}) is None
    with pytest.raises(ConfigError, match=r"^--set k=\[: is not valid YAML"):
        parse_value("[", "--set k=[", {})
