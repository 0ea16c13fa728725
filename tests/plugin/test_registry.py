"""The registry: who provides what, what is broken and why, and names that nobody provides."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib.metadata import EntryPoint

import numpy as np
import pluggy
import pytest

from scrframe.errors import PluginError
from scrframe.plugin import (
    ColourModel,
    ExtinctionCurve,
    NoConfig,
    Registry,
    hookimpl,
    hookspecs,
    load_registry,
)
from scrframe.plugin.registry import HOOKS, KINDS, Provider, hook_of

CURVE = ExtinctionCurve(
    "flat", "The same at all wavelengths", "1.2", curve=lambda config, wavelength_nm: wavelength_nm
)
MODEL = ColourModel("flat", "The mean of all colours", "0.3", fit=lambda *arguments: None)


def providing(*, curves=(), models=()):
    """Return a plugin that yields some descriptors."""

    class Plugin:
        @hookimpl
        def scrframe_extinction_curves(self):
            yield from curves

        @hookimpl
        def scrframe_colour_models(self):
            return list(models)

    return Plugin()


def by(name, distribution="scrframe-mine"):
    return Provider(name, distribution, f"{name}.plugin")


@pytest.fixture
def registry():
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return Registry(manager)


def test_what_a_plugin_yields_is_found_by_kind_and_name(registry):
    registry.add(providing(curves=[CURVE, replace(CURVE, name="steep")], models=[MODEL]), by("my"))
    assert registry.get(ExtinctionCurve, "flat") is CURVE
    assert registry.get(ColourModel, "flat") is MODEL
    assert registry.names(ExtinctionCurve) == ["flat", "steep"]
    assert registry.provider(ColourModel, "flat") == by("my")
    assert [(hook, each.name, each.version) for hook, each, _ in registry.everything()] == [
        ("scrframe_extinction_curves", "flat", "1.2"),
        ("scrframe_extinction_curves", "steep", "1.2"),
        ("scrframe_colour_models", "flat", "0.3"),
    ]
    assert registry.get(ExtinctionCurve, "flat").config is NoConfig


def test_a_name_that_is_provided_twice_names_both(registry):
    registry.add(providing(curves=[CURVE]), by("first", "scrframe-first"))
    other = providing(curves=[replace(CURVE, name="new"), replace(CURVE, version="2")])
    with pytest.raises(PluginError) as caught:
        registry.add(other, by("second", "scrframe-second"))
    assert str(caught.value) == (
        "extinction curve 'flat' is provided twice: by 'first' (scrframe-first) and by 'second'"
        " (scrframe-second); uninstall one of them"
    )
    # The second leaves no trace; the first still works.
    assert registry.names(ExtinctionCurve) == ["flat"]
    assert registry.get(ExtinctionCurve, "flat").version == "1.2"
    assert not registry.manager.is_registered(other)


def test_a_plugin_that_yields_a_name_twice(registry):
    with pytest.raises(PluginError, match=r"'my' yields two of name 'flat' \(extinction curve\)"):
        registry.add(providing(curves=[CURVE, CURVE]), by("my"))


def test_two_plugins_of_one_name(registry):
    first = providing(curves=[CURVE])
    registry.add(first, by("my", "scrframe-one"))
    with pytest.raises(PluginError, match="'my' of scrframe-two: another one has the same name"):
        registry.add(providing(models=[MODEL]), by("my", "scrframe-two"))
    assert registry.manager.is_registered(first) and registry.names(ColourModel) == []


class Nothing:
    @hookimpl
    def scrframe_colour_models(self):
        return None


class Misspelt:
    @hookimpl
    def scrframe_color_models(self):
        return []


class Argument:
    @hookimpl
    def scrframe_colour_models(self, config):
        return []


class Raises:
    @hookimpl
    def scrframe_colour_models(self):
        yield MODEL
        raise KeyError("trees")


@pytest.mark.parametrize(
    ("plugin", "error", "message"),
    [
        (Nothing(), PluginError, "scrframe_colour_models must yield descriptors"),
        (providing(models=[CURVE]), PluginError, "ColourModel .colour model., not Extinction"),
        (Misspelt(), PluginError, "scrframe_color_models"),
        (Argument(), PluginError, "config"),
        (Raises(), KeyError, "trees"),
    ],
)
def test_a_contract_that_is_broken_leaves_no_trace(registry, plugin, error, message):
    with pytest.raises(error, match=message):
        registry.add(plugin, by("my"))
    assert registry.everything() == []
    assert not registry.manager.is_registered(plugin)
    # The name is free again.
    registry.add(providing(models=[MODEL]), by("my"))
    assert registry.names(ColourModel) == ["flat"]


def test_unknown_names_say_what_is_meant_and_what_is_there(registry):
    registry.add(providing(models=[MODEL, replace(MODEL, name="steep")]), by("my"))
    with pytest.raises(PluginError) as caught:
        registry.get(ColourModel, "Flatt")
    assert str(caught.value) == (
        'no colour model is called "Flatt"; did you mean "flat"? (installed: flat, steep)'
    )
    with pytest.raises(PluginError, match=r'called "flat" \(installed: none\)'):
        registry.get(ExtinctionCurve, "flat")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a function that makes modules the only installed plugins, and loads them."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def load(**sources):
        for name, source in sources.items():
            (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
            monkeypatch.delitem(sys.modules, name, raising=False)
        points = [EntryPoint(f"plugin_{name}", name, "scrframe") for name in sources]
        monkeypatch.setattr("scrframe.plugin.registry.entry_points", lambda group: points)
        return load_registry()

    return load


GOOD = """\
from scrframe.plugin import ExtinctionCurve, hookimpl

@hookimpl
def scrframe_extinction_curves():
    yield ExtinctionCurve("flat", "flat", "1", curve=None)
"""


def test_broken_plugins_are_listed_and_do_not_harm_others(installed):
    registry = installed(
        a_heavy="import a_library_that_nobody_has\n",
        b_good=GOOD,
        c_twice=GOOD,
        d_old=GOOD.replace('"flat", "flat", "1", curve=None', '"old"'),
        e_syntax="def f(:\n",
    )
    assert registry.names(ExtinctionCurve) == ["flat"]
    assert registry.provider(ExtinctionCurve, "flat") == Provider(
        "plugin_b_good", "unknown", "b_good"
    )
    reasons = {broken.provider.plugin: broken.reason for broken in registry.broken}
    assert list(reasons) == ["plugin_a_heavy", "plugin_c_twice", "plugin_d_old", "plugin_e_syntax"]
    assert reasons["plugin_a_heavy"].startswith("ModuleNotFoundError: No module named")
    assert "is provided twice: by 'plugin_b_good'" in reasons["plugin_c_twice"]
    assert reasons["plugin_d_old"].startswith("TypeError: ")
    assert reasons["plugin_e_syntax"].startswith("SyntaxError: ")
    assert not any("\n" in reason for reason in reasons.values())


def test_a_broken_plugin_is_named_where_something_is_missing(installed):
    registry = installed(broken="1 / 0\n", good=GOOD)
    with pytest.raises(PluginError, match="'plugin_broken' is broken: ZeroDivisionError"):
        registry.get(ExtinctionCurve, "steep")
    assert registry.get(ExtinctionCurve, "flat").version == "1"


def test_what_is_built_in_comes_first():
    """So that a plugin that takes the name of a built-in one is the one that is broken."""
    providers = [provider for _, _, provider in load_registry().everything()]
    assert {provider.distribution for provider in providers} >= {"scrframe"}
    names = [plugin for plugin, _ in load_registry().manager.list_name_plugin()]
    own = {provider.plugin for provider in providers if provider.distribution == "scrframe"}
    assert set(names[: len(own)]) == own


def test_observers_that_fail_are_reported_and_the_others_called(registry):
    class Watcher:
        def __init__(self):
            self.seen = []

        @hookimpl
        def scrframe_step_done(self, step, result):
            self.seen.append((step, result))

    class Failing:
        @hookimpl
        def scrframe_step_done(self, step):
            raise RuntimeError(f"no\nroom for {step}")

    first, last = Watcher(), Watcher()
    for name, plugin in (("first", first), ("failing", Failing()), ("last", last)):
        registry.add(plugin, by(name))
    result = np.arange(3)
    assert registry.step_done("sample", result) == [
        "plugin 'failing' failed when the step 'sample' was done (RuntimeError: no room for"
        " sample); the run goes on"
    ]
    assert first.seen == last.seen == [("sample", result)]


def test_kinds_and_hooks():
    assert list(KINDS.values()) == list(HOOKS)
    assert hook_of("curve") == "scrframe_extinction_curves"
    with pytest.raises(PluginError, match=r'no kind \'curves\'; did you mean "curve"\? \(kinds: '):
        hook_of("curves")
