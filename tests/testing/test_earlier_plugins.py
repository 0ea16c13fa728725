"""Plugins that version 0.1.0 wrote still pass, and what they may import is still there.

`tests/fixtures/plugins_0_1_0` holds the module of a plugin of each kind, as ``scrframe plugins new
kept_<kind>`` of 0.1.0 wrote it, and the public names of that version.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from pathlib import Path

import pluggy
import pytest

from scrframe.plugin import Registry, hookspecs
from scrframe.plugin.registry import KINDS, Provider
from scrframe.testing import find_subject, run_checks
from scrframe.testing.fresh import share_process

KEPT = Path(__file__).parents[1] / "fixtures" / "plugins_0_1_0"
PUBLIC = json.loads((KEPT / "public_names.json").read_text(encoding="utf-8"))
#: The kinds that there were; later ones have no such plugin.
OLD_KINDS = {kind: hook for kind, hook in KINDS.items() if kind != "archive"}
#: Their examples stand in place of simulations, and one model is no smoother.
NOT_TESTED = {
    "survey": {"check_rows_in_memory"},
    "reference": {"check_round_trip"},
    "extinction": {"check_round_trip"},
    "colour-model": {"check_smoother"},
}


@pytest.fixture(scope="module")
def subjects(tmp_path_factory):
    """Return the plugins as a registry finds them, by kind; one new process answers for all."""
    folder = tmp_path_factory.mktemp("kept")
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    registry = Registry(manager)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(folder), *sys.path])
        for kind in OLD_KINDS:
            module = f"scrframe_kept_{kind.replace('-', '_')}"
            text = (KEPT / f"{kind}.text").read_text(encoding="utf-8")
            (folder / f"{module}.py").write_text(text, encoding="utf-8")
            registry.add(importlib.import_module(module), Provider(module, "kept", module))
        assert len(registry.everything()) == len(OLD_KINDS)
        found = {
            kind: find_subject(f"kept_{kind.replace('-', '_')}", kind, registry=registry)[1]
            for kind in OLD_KINDS
        }
        share_process(list(found.values()))
        yield found


@pytest.mark.parametrize("kind", OLD_KINDS)
def test_a_plugin_of_0_1_0_passes(subjects, kind):
    with warnings.catch_warnings():
        # What they import has not been renamed either.
        warnings.simplefilter("error", FutureWarning)
        outcomes = run_checks(kind, subjects[kind])
    assert [outcome for outcome in outcomes if outcome.status == "failed"] == []
    untested = {outcome.check for outcome in outcomes if outcome.status == "not tested"}
    assert untested == NOT_TESTED.get(kind, set())


@pytest.mark.parametrize("module", PUBLIC)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_public_names_of_0_1_0_are_there(module):
    offered = importlib.import_module(module)
    assert [name for name in PUBLIC[module] if not hasattr(offered, name)] == []


def test_hooks_of_0_1_0_are_there():
    text = "".join((KEPT / f"{kind}.text").read_text(encoding="utf-8") for kind in OLD_KINDS)
    assert all(f"def {hook}(" in text for hook in OLD_KINDS.values())
