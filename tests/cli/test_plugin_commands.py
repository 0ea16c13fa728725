"""`scrframe plugins new` and `scrframe plugins check`."""

from __future__ import annotations

from pathlib import Path

import pytest

from scrframe.cli.plugins import Kind, outcome_lines
from scrframe.plugin.registry import KINDS
from scrframe.testing import Outcome


def test_kinds_are_those_of_the_hooks():
    assert [kind.value for kind in Kind] == list(KINDS)


def test_new_writes_a_distribution_and_says_how_to_go_on(scrframe_command):
    answer = scrframe_command("plugins", "new", "star_lists", "--kind", "survey", "--out", "here")
    assert answer.code == 0 and answer.err == ""
    assert "pip install -e here/scrframe-star-lists" in answer.out
    assert "scrframe plugins check star_lists --kind survey" in answer.out
    assert Path("here/scrframe-star-lists/src/scrframe_star_lists/plugin.py").is_file()


def test_new_refuses_what_is_there_or_cannot_be_named(scrframe_command, refused):
    assert scrframe_command("plugins", "new", "mine", "--kind", "writer").code == 0
    assert "nothing is overwritten" in refused("plugins", "new", "mine", "--kind", "writer")
    assert "lower-case" in refused("plugins", "new", "My-Plugin", "--kind", "writer")
    assert "is installed" in refused("plugins", "new", "ridge", "--kind", "colour-model")
    assert "--kind" in refused("plugins", "new", "other", "--kind", "loader")
    assert "--kind" in refused("plugins", "new", "other")


def test_check_of_a_good_plugin(scrframe_command):
    answer = scrframe_command("plugins", "check", "zgr23", "--kind", "curve")
    assert answer.code == 0 and answer.err == ""
    lines = answer.out.splitlines()
    assert lines[0].split() == ["CHECK", "RESULT"]
    assert [line.split() for line in lines[1:-1]][2] == ["check_settings", "passed"]
    assert lines[-1] == "curve zgr23: 9 passed, 0 failed"


def test_check_that_fails_ends_with_code_1(scrframe_command):
    answer = scrframe_command("plugins", "check", "zgr23", "--kind", "curve", "--set", "index=2")
    assert answer.code == 1 and "Traceback" not in answer.out + answer.err
    assert "check_settings        FAILED\n    NoConfig refuses the settings" in answer.out
    assert "not tested: needs settings" in answer.out
    assert answer.out.splitlines()[-1].startswith("curve zgr23: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nosuch"], "nothing installed is called 'nosuch'"),
        (["zgr23"], "say which with --kind"),
        (["ridge", "--kind", "survey"], 'no survey loader is called "ridge"'),
        (["ridge", "--set", "penalties"], "expected KEY=VALUE"),
        (["ridge", "--set", "penalties=[1"], "not valid YAML"),
    ],
)
def test_check_refuses_what_it_cannot_find(refused, arguments, words):
    assert words in refused("plugins", "check", *arguments)


def test_long_advice_is_wrapped_below_its_check():
    found = [
        Outcome("check_units", "failed", "ra is in radians: " + "give degrees " * 20),
        Outcome("check_round_trip", "not tested", "no simulation"),
    ]
    lines = outcome_lines(found)
    assert lines[1].split() == ["check_units", "FAILED"]
    assert lines[2].startswith("    ra is in radians") and max(map(len, lines)) <= 100
    assert lines[-1].split(maxsplit=1) == ["check_round_trip", "not tested: no simulation"]
