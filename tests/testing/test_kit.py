"""How checks are found, run and parametrised."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from scrframe.builtin.colour_models.ridge import scrframe_colour_models
from scrframe.errors import PluginError
from scrframe.plugin import load_registry
from scrframe.plugin.registry import HOOKS, KINDS, hook_of
from scrframe.testing import CHECKS, find_subject, parametrize_with_checks, run_checks, subject_of
from scrframe.testing.draws import draw_products
from scrframe.testing.plugin_checks import run_check

(RIDGE,) = scrframe_colour_models()


@parametrize_with_checks(
    replace(RIDGE, summary=""), "colour-model", expected_failures={"check_documented": "on purpose"}
)
def test_conformance_of_a_descriptor(check):
    check()


def marks_of(decorator) -> dict[str, list[str]]:
    parameters = decorator.args[1]
    return {each.id: [mark.name for mark in each.marks] for each in parameters}


def test_a_parameter_for_each_check():
    found = marks_of(parametrize_with_checks("ridge", "colour-model"))
    assert list(found) == [check.__name__ for check in CHECKS["colour-model"]]
    assert not any(found.values())


def test_an_expected_failure_is_strict_and_of_the_checks_own_error_only():
    decorator = parametrize_with_checks(
        "ridge", "colour-model", expected_failures={"check_threads": "one thread"}
    )
    (mark,) = next(each for each in decorator.args[1] if each.id == "check_threads").marks
    assert mark.kwargs["strict"] and mark.kwargs["reason"] == "one thread"
    assert issubclass(mark.kwargs["raises"], AssertionError)


def test_unknown_names_are_refused():
    with pytest.raises(PluginError, match=r'did you mean "colour-model"'):
        parametrize_with_checks("ridge", "color-model")
    with pytest.raises(PluginError, match="no check of a curve is called 'check_thread'"):
        parametrize_with_checks("zgr23", "curve", expected_failures={"check_thread": "?"})
    with pytest.raises(PluginError, match="nothing installed is called 'rigde'"):
        find_subject("rigde")
    with pytest.raises(PluginError, match="extinction, curve; say which"):
        find_subject("zgr23")


def test_a_failure_that_is_expected_but_does_not_come_is_a_failure():
    subject = subject_of(RIDGE, "colour-model")
    outcome = run_check(CHECKS["colour-model"][0], subject, {"check_descriptor": "odd name"})
    assert outcome.status == "failed" and "expect it no longer" in outcome.message


def test_what_depends_on_a_failure_is_not_tested():
    subject = subject_of(replace(RIDGE, fit=fit_nothing), "colour-model")
    found = {each.check: each.status for each in run_checks("colour-model", subject)}
    assert found["check_read_only"] == found["check_schema"] == "failed"
    assert found["check_threads"] == found["check_refusals"] == "not tested"
    assert found["check_descriptor"] == "passed"


def fit_nothing(features, colour_mag, weights, config, seed, threads):
    return 1 // 0


def test_an_error_of_the_plugin_says_where():
    subject = subject_of(replace(RIDGE, fit=fit_nothing), "colour-model")
    (check,) = [each for each in CHECKS["colour-model"] if each.__name__ == "check_read_only"]
    message = run_check(check, subject).message
    line = fit_nothing.__code__.co_firstlineno + 1
    assert message.startswith("stopped with ZeroDivisionError")
    assert f"{__name__}, line {line}" in message


def test_settings_can_be_given_and_are_validated():
    subject = find_subject("ridge", settings={"errors": True})[1]
    assert subject.config.errors is True
    outcomes = run_checks("colour-model", find_subject("ridge", settings={"penalty": 1})[1])
    (failed,) = [each for each in outcomes if each.status == "failed"]
    assert failed.check == "check_settings" and "penalty" in failed.message


def test_required_settings_come_from_examples():
    assert find_subject("group")[1].config.by == ("visit", "ccd")


def test_kinds_are_the_hooks():
    assert list(KINDS.values()) == list(HOOKS)
    assert list(KINDS) == list(CHECKS)
    with pytest.raises(PluginError, match="kinds: survey"):
        hook_of("loader")


def test_every_check_says_what_it_checks():
    for checks in CHECKS.values():
        assert all((check.__doc__ or "").startswith("Check that ") for check in checks)
        names = [check.__name__ for check in checks]
        assert len(set(names)) == len(names)


def test_drawn_products_have_the_documented_columns():
    from pathlib import Path

    page = Path(__file__).parents[2] / "docs" / "reference" / "products.md"
    section = page.read_text("utf-8").split("\n## stars.parquet\n")[1].split("\n## ")[0]
    documented = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]
    assert draw_products().column_names == documented


def test_outcomes_are_plain_data():
    outcome = run_check(CHECKS["curve"][0], find_subject("zgr23", "curve")[1])
    assert json.loads(json.dumps(vars(outcome))) == {
        "check": "check_descriptor",
        "status": "passed",
        "message": "",
    }


def test_every_kind_finds_its_installed_plugins():
    registry = load_registry()
    for kind, hook in KINDS.items():
        for name in registry.names(HOOKS[hook][0]):
            assert find_subject(name, kind, registry=registry)[1].name == name
