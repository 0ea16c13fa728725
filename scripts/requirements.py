"""Print requirements from the pyproject files, one a line.

    python scripts/requirements.py build crosscheck test

`build` names what builds the packages, `all` everything; any other name is an optional
dependency or a dependency group of the root pyproject. Reading them here keeps `make setup`
independent of the age of pip, which learnt of dependency groups late.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def projects() -> list[dict[str, Any]]:
    """Return the pyproject files, the root's first."""
    files = [ROOT / "pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
    return [tomllib.loads(file.read_text(encoding="utf-8")) for file in files]


def build() -> list[str]:
    """Return what builds the packages.

    hatchling needs editables for editable installs; a few dependencies of the peer come as
    source only and need setuptools.
    """
    needed = [entry for project in projects() for entry in project["build-system"]["requires"]]
    return [*dict.fromkeys(needed), "editables", "setuptools"]


def group(name: str) -> list[str]:
    """Return one optional dependency or dependency group of the root."""
    root = projects()[0]
    known = {**root["project"].get("optional-dependencies", {}), **root["dependency-groups"]}
    if name not in known:
        raise SystemExit(f"no dependency group {name!r}; there are: {', '.join(sorted(known))}")
    return list(known[name])


def everything() -> list[str]:
    """Return all requirements but the project's own distributions."""
    found = build()
    for project in projects():
        table = project["project"]
        extras = table.get("optional-dependencies", {}).values()
        groups = project.get("dependency-groups", {}).values()
        found += [entry for part in (table["dependencies"], *extras, *groups) for entry in part]
    own = {project["project"]["name"] for project in projects()}
    return [entry for entry in dict.fromkeys(found) if _name(entry) not in own]


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]


def main(names: list[str]) -> None:
    """Print the requirements of the groups named."""
    special = {"build": build, "all": everything}
    for name in names:
        entries = special[name]() if name in special else group(name)
        sys.stdout.writelines(f"{entry}\n" for entry in entries)


if __name__ == "__main__":
    main(sys.argv[1:])
