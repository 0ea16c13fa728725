"""The block `colour_model.search`: what it takes, and what it refuses and where."""

from pathlib import Path

import pytest
import yaml
from fake_plugins import ForestConfig

from scrframe.config import survey_schema
from scrframe.errors import ConfigError


@pytest.fixture
def search(load, minimal):
    """Return a function that loads a description with this text as the search's block."""

    def load_search(text, *overrides):
        block = f"colour_model:\n  kind: forest\n  search: {text}\n"
        return load(minimal.replace("colour_model: {kind: forest}\n", block), *overrides)

    return load_search


def test_without_the_block_nothing_is_searched(load):
    assert load().colour_model.search is None


def test_what_is_right_is_written_as_it_is_read(search, load):
    survey = search("{over: {forest: {trees: [50, 100]}, boost: {loss: [l1, l2]}}, candidates: 4}")
    found = survey.colour_model.search
    assert found.over == {"forest": {"trees": (50, 100)}, "boost": {"loss": ("l1", "l2")}}
    assert (found.candidates, found.factor, found.folds, found.seed) == (4, 3, 3, 1)
    assert load(survey.as_yaml()) == survey


def test_values_are_kept_as_written_for_the_backend_to_read(search):
    values = search("{over: {forest: {trees: ['50', 100]}}}").colour_model.search.over
    read = [ForestConfig(trees=value).trees for value in values["forest"]["trees"]]
    assert read == [50, 100]


def test_the_command_line_can_change_it(search):
    survey = search(
        "{over: {forest: {trees: [1]}}}",
        "colour_model.search.over.forest.trees=[3, 5]",
        "colour_model.search.seed=7",
    )
    assert survey.colour_model.search.over["forest"]["trees"] == (3, 5)
    assert survey.colour_model.search.seed == 7


# The text, the part of it that is named as the place, and what is said of which key.
@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("{over: {forest: {trees: [50, 0]}}}", "0]", ".over.forest.trees.1 is 0; expected greater"),
        (
            "{over: {forest: {trees: [a]}}}",
            "a]",
            '.over.forest.trees.0 is "a"; expected a whole number',
        ),
        ("{over: {boost: {loss: [l1, L2]}}}", "L2", '.over.boost.loss.1 is "L2"; expected'),
        ("{over: {forest: {tree: [5]}}}", "tree:", ".over.forest.tree is an unknown key; did you"),
        ("{over: {forst: {trees: [5]}}}", "forst", ".over.forst is an unknown key: no colour"),
        ("{over: {trees: [5]}}", "[5]", ".over.trees is a list; expected a mapping of keys"),
        ("{over: {forest: {trees: 5}}}", "5", ".over.forest.trees is 5; expected a list"),
        ("{over: {forest: {trees: []}}}", "[]", ".over.forest.trees is a list; expected a list of"),
        ("{over: {forest: {trees: [5, 5]}}}", "[", ".over.forest.trees has the same value twice"),
        ("{over: {forest: {}}}", "{}", ".over.forest names no key to vary"),
        ("{over: {}}", "{}", ".over names no backend"),
        ("{candidates: 4}", "{", ' lacks the key "over"'),
        ("{over: {forest: {trees: [5]}}, factor: 1}", "1", ".factor is 1; expected greater"),
        ("{over: {forest: {trees: [5]}}, fold: 2}", "fold:", ".fold is an unknown key; did"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(search, text, place, said):
    with pytest.raises(ConfigError) as told:
        search(text)
    lines = Path("s.yaml").read_text().splitlines()
    number = next(number for number, line in enumerate(lines, start=1) if "search:" in line)
    column = lines[number - 1].rindex(text) + text.rindex(place) + 1
    assert str(told.value).startswith(f"s.yaml:{number}:{column}: colour_model.search{said}")


def test_all_that_is_wrong_is_told_at_once(search):
    with pytest.raises(ConfigError) as told:
        search("{over: {forest: {trees: [0, x]}, boost: {rates: [1]}}, folds: 3}")
    assert len(str(told.value).splitlines()) == 3


def test_schema_has_it(registry):
    schema = survey_schema(registry)
    keys = schema["$defs"]["SearchSettings"]["properties"]
    assert set(keys) == {"over", "candidates", "folds", "factor", "min_stars", "seed"}
    assert yaml.safe_dump(keys)  # plain data
