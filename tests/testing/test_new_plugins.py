"""A new plugin of every kind can be used at once, and nothing is overwritten."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from scrframe.errors import PluginError
from scrframe.plugin.registry import KINDS
from scrframe.plugin.scaffold import TEMPLATES, new_plugin


def test_a_template_for_every_kind():
    assert set(TEMPLATES) == set(KINDS)


@pytest.mark.slow
def test_tests_of_every_kind_pass_at_once(new_plugins):
    """As after an installation: one run of pytest over the tests of all kinds."""
    sources = sorted(str(path) for path in new_plugins.glob("*/src"))
    folders = sorted(str(path) for path in new_plugins.glob("*/tests"))
    assert len(folders) == len(KINDS)
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-rs",
            "--import-mode=importlib",
            *folders,
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sources, *sys.path])},
        cwd=new_plugins,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout[-3000:]
    # What may be skipped: an example in place of a simulation, rows in memory that a loader does
    # not read, and a model that is no smoother.
    last = answer.stdout.strip().splitlines()[-1]
    assert " 4 skipped" in last and "failed" not in last
    assert answer.stdout.count("has no `write_simulated`") == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_distribution_that_can_be_installed(new_plugins, kind):
    path = new_plugins / f"scrframe-good-{kind}"
    project = tomllib.loads((path / "pyproject.toml").read_text("utf-8"))["project"]
    ((name, module),) = project["entry-points"]["scrframe"].items()
    assert name == f"good_{kind.replace('-', '_')}"
    source = path / "src" / Path(*module.split("."))
    tree = ast.parse(source.with_suffix(".py").read_text("utf-8"))
    hooks = [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert KINDS[kind] in hooks
    for file in ("README.md", "LICENSE", "tests/test_plugin.py"):
        text = (path / file).read_text("utf-8")
        assert text.strip() and "{{" not in text and "{%" not in text
    for line in source.with_suffix(".py").read_text("utf-8").splitlines():
        assert len(line) <= 100, line


def test_nothing_is_overwritten(tmp_path):
    path = new_plugin("star_lists", "survey", tmp_path)
    before = sorted(str(each) for each in tmp_path.rglob("*"))
    with pytest.raises(PluginError, match="exists: nothing is overwritten"):
        new_plugin("star_lists", "writer", tmp_path)
    assert sorted(str(each) for each in tmp_path.rglob("*")) == before
    assert path == tmp_path / "scrframe-star-lists"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Star",
        "star-lists",
        "2mass",
        "_star",
        "star__lists",
        "star_",
        "class",
        "match",
        "s" * 41,
        "../star",
        "star lists",
        "stérn",
    ],
)
def test_names_that_cannot_be_used(tmp_path, name):
    with pytest.raises(PluginError, match="name"):
        new_plugin(name, "survey", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken(tmp_path):
    with pytest.raises(PluginError, match="colour model called 'ridge' is installed"):
        new_plugin("ridge", "colour-model", tmp_path, taken=["ridge"])


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(PluginError, match="cannot be written"):
        new_plugin("star_lists", "survey", tmp_path / "file")


@pytest.mark.slow
@pytest.mark.closure
def test_installed_by_pip_it_is_found_and_passes(tmp_path):
    """In a fresh environment that sees the packages of this one."""
    pytest.importorskip("hatchling")
    pytest.importorskip("pip")
    path = new_plugin("star_lists", "survey", tmp_path)
    venv.create(tmp_path / "env", with_pip=False, system_site_packages=False)
    scripts = "Scripts" if os.name == "nt" else "bin"
    python = tmp_path / "env" / scripts / "python"
    # The packages of the running environment, as a .pth file adds them.
    (site,) = (tmp_path / "env").rglob("site-packages")
    (site / "outer.pth").write_text("\n".join(p for p in sys.path if p), encoding="utf-8")
    install = [
        str(python),
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-e",
        str(path),
    ]
    subprocess.run(install, check=True, capture_output=True, timeout=300)
    check = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path / "tests")]
    done = subprocess.run(check, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout
    assert "failed" not in done.stdout
