"""Good plugins, written by `scrframe plugins new`, and broken ones made from them."""

from __future__ import annotations

import importlib
import sys
import types
from pathlib import Path

import pytest

from scrframe.plugin.registry import KINDS
from scrframe.plugin.scaffold import new_plugin

#: What the module `good_plugins` offers, by kind.
NAMES = {
    "survey": "LOADER",
    "reference": "REFERENCE",
    "extinction": "EXTINCTION",
    "curve": "CURVE",
    "colour-model": "MODEL",
    "offset-level": "LEVEL",
    "diagnostic": "DIAGNOSTIC",
    "writer": "WRITER",
    "archive": "ARCHIVE",
}


@pytest.fixture(scope="session")
def new_plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a new plugin of each kind, called good_<kind>, found as installed."""
    folder = tmp_path_factory.mktemp("new")
    for kind in KINDS:
        name = f"good_{kind.replace('-', '_')}"
        path = new_plugin(name, kind, folder)
        # What pip would write, so that the entry point is found without installing.
        info = path / "src" / f"scrframe_{name}-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {path.name}\nVersion: 0.1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text(
            f"[scrframe]\n{name} = scrframe_{name}.plugin\n", encoding="utf-8"
        )
    return folder


@pytest.fixture(scope="session")
def broken_plugins(new_plugins: Path, tmp_path_factory: pytest.TempPathFactory) -> types.ModuleType:
    """Return the module of broken plugins, importable in new processes too."""
    lines = []
    for kind, name in NAMES.items():
        module = f"scrframe_good_{kind.replace('-', '_')}.plugin"
        lines += [f"from {module} import {KINDS[kind]}", f"({name},) = {KINDS[kind]}()"]
    folder = tmp_path_factory.mktemp("good")
    (folder / "good_plugins.py").write_text("\n".join(lines), encoding="utf-8")
    paths = [*sorted(map(str, new_plugins.glob("*/src"))), str(folder), str(Path(__file__).parent)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*paths, *sys.path])
        yield importlib.import_module("broken_plugins")
