"""docs/reference/hooks.md agrees with the source, and its examples run."""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from dataclasses import fields
from types import MappingProxyType
from typing import Any

import pluggy
import pytest
from docs_reading import DOCS, blocks, sections, table

from scrframe.plugin import Registry, hookspecs, load_registry
from scrframe.plugin.registry import HOOKS, Provider

HOOKS_PAGE = DOCS / "reference" / "hooks.md"


class TestHooks:
    """docs/reference/hooks.md."""

    names = tuple(name for name in vars(hookspecs) if name.startswith("scrframe_"))
    text = MappingProxyType(sections(HOOKS_PAGE))

    def test_every_hook_has_a_section_and_nothing_else_has(self):
        assert [title for title in self.text if title.startswith("scrframe_")] == list(self.names)

    @pytest.mark.parametrize("name", names)
    def test_signature(self, name):
        signature = inspect.signature(getattr(hookspecs, name))
        plain = re.sub(r"['\"]", "", f"{name}{signature}")
        assert f"`{plain}`" in self.text[name]

    @pytest.mark.parametrize("name", HOOKS)
    def test_fields_of_its_descriptor(self, name):
        kind = HOOKS[name][0]
        common = {"name", "summary", "version", "config"}
        expected = [field.name for field in fields(kind) if field.name not in common]
        rows = table(self.text[name])
        assert [row[f"field of `{kind.__name__}"] for row in rows] == expected

    @pytest.mark.parametrize("name", HOOKS)
    def test_signatures_of_its_callables(self, name):
        kind = HOOKS[name][0]
        hints = typing.get_type_hints(kind)
        for row in table(self.text[name]):
            field, said = list(row.values())
            if not said.startswith("("):
                continue
            documented = said[1 : said.index(")")].split(", ")
            assert documented == parameters(hints[field], documented), f"{kind.__name__}.{field}"

    @pytest.mark.parametrize("name", HOOKS)
    def test_what_is_installed_takes_these_arguments(self, name):
        kind = HOOKS[name][0]
        registry = load_registry()
        said = dict(tuple(row.values()) for row in table(self.text[name]))
        for provided in registry.names(kind):
            descriptor = registry.get(kind, provided)
            for field, text in said.items():
                function = getattr(descriptor, field)
                if text.startswith("(") and function is not None:
                    count = len(text[1 : text.index(")")].split(", "))
                    inspect.signature(function).bind(*range(count))

    @pytest.mark.parametrize("name", names)
    def test_example_runs_and_registers(self, name, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        plugin, use = blocks(self.text[name])
        module = types.ModuleType("example_plugin")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(compile(plugin, f"{name} in {HOOKS_PAGE.name}", "exec"), vars(module))
        registry = empty_registry()
        registry.add(module, Provider("example", "docs", "example_plugin"))
        if name in HOOKS:
            assert [hook for hook, _, _ in registry.everything()] == [name]
        else:
            registry.step_done("any", None)
            module.SEEN.clear()
        exec(compile(use, f"use of {name} in {HOOKS_PAGE.name}", "exec"), vars(module))

    def test_steps_that_plugins_observe(self):
        steps = set()
        for path in (DOCS.parent / "scrframe" / "run").rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            steps |= set(re.findall(r'\b_notify\(\w+, "(\w+)"', text))
        assert {row["step"] for row in table(self.text["scrframe_step_done"])} == steps


def parameters(hint: Any, documented: list[str]) -> list[str]:
    """Return the parameters of a callable type; names are the documented ones if it has none."""
    if "None" in str(hint) and typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(each for each in typing.get_args(hint) if each is not type(None))
    if inspect.isclass(hint):  # a protocol names its parameters
        return list(inspect.signature(hint.__call__).parameters)[1:]
    arguments = typing.get_args(hint)[0]
    if arguments is Ellipsis:
        return documented
    return documented if len(arguments) == len(documented) else [str(each) for each in arguments]


def empty_registry() -> Registry:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return Registry(manager)
