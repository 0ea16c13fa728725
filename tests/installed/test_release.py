"""What a release says of itself in several places is one thing."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
#: Names that differ between the two kinds of packages.
CONDA = {"matplotlib": "matplotlib-base"}


def test_versions_agree():
    path = ROOT / "scripts" / "release_check.py"
    spec = importlib.util.spec_from_file_location("release_check", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    said = module.versions(ROOT)
    assert len(said) == 4 and len(set(said.values())) == 1, said


def test_the_recipe_has_the_projects_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    recipe = yaml.safe_load((ROOT / "packaging" / "recipe.yaml").read_text(encoding="utf-8"))
    parts = [re.fullmatch(r"([\w-]+)(.*)", text).groups() for text in project["dependencies"]]
    wanted = {f"{CONDA.get(name, name)} {bound}".strip() for name, bound in parts}
    assert set(recipe["requirements"]["run"]) == {"python >=3.11", *wanted}
    assert recipe["build"]["python"]["entry_points"] == [
        f"{name} = {target}" for name, target in project["scripts"].items()
    ]
    assert recipe["about"]["license"] == project["license"]


def test_the_container_installs_at_the_pins():
    text = (ROOT / "packaging" / "Containerfile").read_text(encoding="utf-8")
    installs = re.findall(r"pip install [^&\n]*", text)
    assert installs and all("-c constraints.txt" in line for line in installs)
    for copied in re.findall(r"plugins/\S+", text):
        assert (ROOT / copied / "pyproject.toml").is_file()
