"""All pages: links, code, pieces of descriptions, command lines, and what is generated."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import types
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import typer
import yaml
from docs_reading import DOCS, SHIPPED, blocks

import scrframe
from scrframe.cli.app import app
from scrframe.config import load_combined, survey_schema
from scrframe.config.document import parse_yaml
from scrframe.errors import ConfigError
from scrframe.plugin import load_registry
from scrframe.testing import CHECKS


@pytest.fixture(scope="module")
def generate() -> types.ModuleType:
    """Return docs/generate.py, which writes parts of the reference."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestGeneratedPages:
    def test_every_key_of_the_description_is_there(self, generate):
        registry = load_registry()
        page = generate.keys_page(registry)
        missing = [
            key
            for definition in survey_schema(registry)["$defs"].values()
            for key in definition.get("properties", {})
            if not re.search(rf"[`.]{re.escape(key)}[`.\[]", page)
        ]
        assert missing == []

    def test_every_key_says_what_it_means(self, generate):
        lines = generate.keys_page(load_registry()).splitlines()
        assert [line for line in lines if line.startswith("| `") and line.endswith("|  |")] == []

    def test_keys_of_the_shipped_description_are_there(self, generate):
        page = generate.keys_page(load_registry())
        described = yaml.safe_load((DOCS.parent / "surveys" / "vphas_u.yaml").read_text())
        for path in leaves(described):
            assert f"`{path}`" in page, path

    def test_every_column_is_there(self, generate):
        page = generate.columns_page(load_registry())
        assert "| `gal_b` | deg | float64 | detection | derived |" in page
        assert "`error_bit_flag`" in page

    def test_every_command_is_there(self, generate):
        page = generate.commands_page()
        for command in ("calibrate", "validate", "schema", "plugins list", "simulate", "apply"):
            assert f"## scrframe {command}\n" in page
        assert "--set" in page and "--unknown-visit" in page

    def test_every_check_of_plugins_is_there(self, generate):
        page = generate.checks_page()
        for kind, checks in CHECKS.items():
            assert f"## {kind}\n" in page
            assert all(f"| `{check.__name__}` | " in page for check in checks)

    def test_the_api_is_all_that_scrframe_offers(self, generate):
        named = [name for names in generate.API.values() for name in names]
        assert sorted([*named, "__version__"]) == dir(scrframe)
        page = generate.api_page()
        assert all(f":: scrframe.{name}\n" in page for name in named)


def leaves(value: Any, path: str = "") -> Iterator[str]:
    """Yield the keys of a description, `[]` for the items of a list of mappings."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield path
        for inner in value:
            yield from (key for key in leaves(inner, f"{path}[]") if not key.endswith("size"))
    else:
        yield path


PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http", "#", "mailto:")):
            assert (page.parent / target.partition("#")[0]).exists(), target


#: Rooms that authors of plugins import; all else stands in `scrframe` itself.
PUBLIC_ROOMS = {"plugin", "tables", "units", "errors", "testing"}


@pytest.mark.parametrize("page", [*PAGES, DOCS.parent / "README.md"], ids=lambda page: page.name)
def test_no_private_path_is_named(page):
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w./-])scrframe\.([A-Za-z_]+)", text))
    assert named - PUBLIC_ROOMS - set(dir(scrframe)) == set()


def test_readme_links_lead_somewhere():
    readme = DOCS.parent / "README.md"
    for target in re.findall(r"\]\(([^)\s]+)\)", readme.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (readme.parent / target.partition("#")[0]).exists(), target


AUTHORS_PAGES = ("write-a-plugin.md", "add-a-colour-model.md", "add-a-level.md")


@pytest.mark.parametrize(
    "page", [DOCS / "how-to" / name for name in AUTHORS_PAGES], ids=lambda page: page.name
)
def test_code_on_other_pages_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = re.sub(r"^   (?=\S| {4})", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = blocks(text)
    assert found
    names = {"__name__": "example"}  # a block may go on from those above it
    for block in found:
        exec(compile(block, page.name, "exec", dont_inherit=True), names)


def yaml_blocks() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the pieces of descriptions on all pages; an indented one changes that before it."""
    for page in PAGES:
        whole: dict[str, Any] = {}
        for text in re.findall(r"^```yaml\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.M):
            piece = parse_yaml(text, page.name, {"band": "${band}"}).data  # in which `on` is a word
            if text.startswith(" "):
                ((key, before),) = whole.items()
                piece = {key: {**before, **piece}}
            whole = piece
            yield page.name, whole


@pytest.mark.parametrize(
    ("page", "piece"), list(yaml_blocks()), ids=lambda value: value if type(value) is str else ""
)
def test_pieces_of_descriptions_are_valid(page, piece, tmp_path):
    if "members" in piece:  # one of several surveys, which lies beside theirs
        shutil.copytree(SHIPPED.parent, tmp_path / "surveys")
        path = tmp_path / "surveys" / "several.yaml"
        path.write_text(yaml.safe_dump(piece), encoding="utf-8")
        assert len(load_combined(path).members) == len(piece["members"])
        return
    if "bands" in piece:  # a whole one, or changes to bands of the shipped description
        path = tmp_path / "bands.yaml"
        shipped = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
        shipped["loader"]["vphas_casu"] |= {"band": "${band}", "filter": "${band}"}
        del shipped["band"]
        levels = shipped["offsets"]["levels"]
        levels += [{"name": "chip", "kind": "group", "by": ["ccd"]}]
        whole = piece if "loader" in piece else {**shipped, **piece}
        path.write_text(yaml.safe_dump(whole, sort_keys=False), encoding="utf-8")
        assert list(load_combined(path).bands) == list(piece["bands"])
        return
    shipped = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    description = {**shipped, **piece}
    if page == "write-a-plugin.md":  # its loader is that of the page's own plugin
        assert description["loader"]["kind"] in (DOCS / "how-to" / page).read_text("utf-8")
        description["loader"] = shipped["loader"]
    elif description["loader"]["kind"] != shipped["loader"]["kind"]:
        # It has other columns: with cuts and levels that any survey has.
        levels = [{"name": "visit", "kind": "group", "by": ["visit"]}]
        cuts = {"calibration": ["mag > 12"], "control": ["gal_b > 3.5"]}
        own = {"selection": cuts, "offsets": {"levels": levels}}
        description |= {key: value for key, value in own.items() if key not in piece}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(description), encoding="utf-8")
    survey = scrframe.load_survey(path)
    assert all(getattr(survey, key) is not None for key in piece)


def command_lines() -> Iterator[str]:
    for page in [*PAGES, DOCS.parent / "README.md"]:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        yield from re.findall(r"^ *\$ (scrframe .*)$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("line", sorted(set(command_lines())))
def test_command_lines_are_understood(line):
    words = shlex.split(line.replace("<data root>", "DIR"), comments=True)[1:]
    command: Any = typer.main.get_command(app)
    context = command.make_context("scrframe", list(words))
    while hasattr(command, "resolve_command"):
        name, command, words = command.resolve_command(context, words)
        context = command.make_context(name, list(words), parent=context)
    changes = [word for before, word in pairwise(words) if before == "--set"]
    if "offsets.min_star=30" in changes:
        with pytest.raises(ConfigError, match=r"did you mean \"min_stars\""):
            scrframe.load_survey(SHIPPED, overrides=changes)
    elif any(word.endswith("vphas_u_g.yaml") for word in words):
        path = SHIPPED.with_name("vphas_u_g.yaml")
        assert load_combined(path, overrides=changes)
    else:
        scrframe.load_survey(SHIPPED, overrides=changes)
