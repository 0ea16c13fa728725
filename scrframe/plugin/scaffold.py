"""Writes a new plugin: an installable distribution that works and passes its checks."""

from __future__ import annotations

import keyword
import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from scrframe.errors import PluginError
from scrframe.plugin.registry import HOOKS, hook_of

NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
LONGEST_NAME = 40


@dataclass(frozen=True)
class Template:
    """What differs by kind besides the module: a summary, and lines of a survey description."""

    summary: str
    usage: str


TEMPLATES: dict[str, Template] = {
    "survey": Template("Star lists as CSV, one a visit", "loader: {kind: NAME}"),
    "reference": Template(
        "Stars with fluxes at a few wavelengths, as Parquet", "reference: {kind: NAME}"
    ),
    "extinction": Template(
        "Extinctions of stars, as Parquet",
        "extinction: {values: {kind: NAME}, curve: {kind: zgr23}}",
    ),
    "curve": Template(
        "A power law of the wavelength",
        "extinction: {values: {kind: zgr23}, curve: {kind: NAME}}",
    ),
    "colour-model": Template(
        "Least squares on the spectrum", "colour_model: {kind: NAME, NAME: {penalty: 0.001}}"
    ),
    "offset-level": Template(
        "One offset for each period of time",
        "offsets:\n  levels:\n    - {name: period, kind: NAME, days: 180, sd: 5 mmag}",
    ),
    "diagnostic": Template("Median and scatter after correction", "diagnostics: [{kind: NAME}]"),
    "writer": Template("Corrected catalogues as Parquet", "writers: [{kind: NAME}]"),
    "archive": Template(
        "Stars in a folder of Parquet files",
        "services: {mirror: {dr3: {sources: {kind: NAME, NAME: {url: mirror}}}}}",
    ),
}


def new_plugin(name: str, kind: str, out: Path, taken: Iterable[str] = ()) -> Path:
    """Write a new distribution below a folder and return its path.

    Parameters
    ----------
    name : str
        Name by which survey descriptions will call the plugin, such as ``star_lists``.
    kind : str
        One of `scrframe.plugin.registry.KINDS`.
    out : Path
        Folder in which ``scrframe-<name>`` is made.
    taken : iterable of str
        Names of this kind that are installed.

    Raises
    ------
    PluginError
        If the kind is unknown, the name cannot be used, or the folder exists.
    """
    hook = hook_of(kind)
    check_name(name)
    if name in set(taken):
        raise PluginError(f"a {HOOKS[hook][1]} called {name!r} is installed: choose another name")
    distribution = f"scrframe-{name.replace('_', '-')}"
    target = out / distribution
    if target.exists():
        raise PluginError(f"{target} exists: nothing is overwritten; remove it or choose --out")
    package = distribution.replace("-", "_")
    template = TEMPLATES[kind]
    values = {
        "name": name,
        "kind": kind,
        "hook": hook,
        "label": HOOKS[hook][1],
        "distribution": distribution,
        "package": package,
        "class_name": "".join(word.capitalize() for word in name.split("_")),
        "summary": template.summary,
        "usage": template.usage.replace("NAME", name),
    }
    files = {
        "pyproject.toml": "any/pyproject.toml",
        "README.md": "any/README.md",
        "LICENSE": "any/LICENSE",
        f"src/{package}/__init__.py": "any/__init__.py",
        f"src/{package}/plugin.py": f"{kind}/plugin.py",
        "tests/test_plugin.py": "any/test_plugin.py",
    }
    _write({path: _rendered(source, values) for path, source in files.items()}, target)
    return target


def check_name(name: str) -> None:
    """Raise PluginError unless a name can stand in YAML, file names and Python."""
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise PluginError(
            f"{name!r} cannot be the name of a plugin: use words of lower-case letters and"
            f" digits with single underscores between (star_lists), at most"
            f" {LONGEST_NAME} characters"
        )
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise PluginError(f"{name!r} is a word of Python: choose another name")


def _rendered(source: str, values: dict[str, str]) -> str:
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415 - slow to import

    folder = resources.files("scrframe.plugin") / "templates"
    text = folder.joinpath(*f"{source}.j2".split("/")).read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    return environment.from_string(text).render(values)


def _write(texts: dict[str, str], target: Path) -> None:
    """Write the files, and move them into place when all are there."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-plugin-") as scratch:
            made = Path(scratch) / target.name
            for path, text in texts.items():
                file = made / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            os.rename(made, target)  # noqa: PTH104 - unlike Path.replace it never overwrites files
    except OSError as error:
        raise PluginError(f"{target} cannot be written: {error.strerror or error}") from None
