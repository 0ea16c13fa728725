"""The rules of the house, read from the source.

Every import counts, also one inside a function or for type checking only.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "scrframe"
PLUGIN_SOURCES = sorted(REPOSITORY.glob("plugins/*/src"))

GROUND = ("units", "observer", "errors", "arrays", "version")
#: The rooms from the roof to the ground: each imports only what stands below it.
ROOMS = (
    "cli",  # the only room that prints or exits
    "handle",  # a finished run in Python
    "export",  # what images take from a run
    "analysis",  # what people do with runs
    "fetch",  # archives to a data root
    "run",  # the straight line, from a description to corrected catalogues
    "report",  # the page of a run and its figures
    "checks",  # null tests and anomalies
    "products",  # what a run leaves
    "simulate",  # surveys with known truth
    "testing",  # the conformance kit
    "builtin",  # plugins that ship inside
    "config",  # YAML to SurveyDescription
    "plugin",  # what authors import
    "spectra",  # XP coefficients to fluxes, passbands
    "scr",  # the method
    "offsets",  # the offsets: joint, sequential, applied
    "io",  # readers and writers of every table format
    "tables",  # what travels
    "statistics",  # what all may use
    "units",
    "observer",
    "errors",
    "arrays",
    "version",
)
#: Rooms that may know less than what stands below them, and what they may know.
NARROW = {
    "fetch": {"run", "products", "config", "plugin", "scr", "io", "tables", "statistics", *GROUND},
    "simulate": {"config", "plugin", "spectra", "io", "tables", "statistics", *GROUND},
    "testing": {"plugin", "spectra", "tables", "statistics", *GROUND},
    "builtin": {"plugin", "spectra", "io", "tables", "statistics", *GROUND},
    "config": {"plugin", "io", "tables", "statistics", *GROUND},
    "plugin": {"io", "tables", "statistics", *GROUND},
    "spectra": {"io", "tables", "statistics", *GROUND},
    "scr": {"tables", "statistics", *GROUND},
    "offsets": {"tables", "statistics", *GROUND},
}
#: The method is arithmetic: these and Python's own library.
METHOD = ("scr", "offsets", "statistics")
METHOD_LIBRARIES = {"numpy", "scipy"}
#: Rooms that must work for any survey, telescope and backend.
GENERAL = ("scr", "offsets", "statistics", "checks", "config", "tables", "run")
#: Surveys, telescopes, cameras, pipelines and backends. Gaia stands in the vocabulary of
#: columns, and its spectra in what simulated data say of themselves.
NAMES = {
    "vphas",
    "omegacam",
    "casu",
    "vst",
    "eso",
    "skymapper",
    "sdss",
    "decam",
    "noirlab",
    "nsc",
    "rubin",
    "lsst",
    "apogee",
    "lamost",
    "zgr23",
    "imcore",
    "sklearn",
    "scikit",
    "lightgbm",
    "lgbm",
    "xgboost",
    "forest",
    "forests",
    "torch",
    "keras",
}
#: What plugins may import of scrframe.
FOR_PLUGINS = ("plugin", "tables", "units", "errors")


def sources(*rooms: str) -> list[Path]:
    """Return the modules of some rooms, of the whole package if none is named."""
    if not rooms:
        return sorted(PACKAGE.rglob("*.py"))
    found = [path for room in rooms for path in sorted((PACKAGE / room).rglob("*.py"))]
    return found + [PACKAGE / f"{room}.py" for room in rooms if (PACKAGE / f"{room}.py").exists()]


def plugin_sources() -> list[Path]:
    return [path for folder in PLUGIN_SOURCES for path in sorted(folder.rglob("*.py"))]


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and full name of all that a module imports: `a.b.c` for `from a.b import c`."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def rooms_imported(path: Path) -> Iterator[tuple[int, str]]:
    for line, name in imports(path):
        steps = name.split(".")
        if steps[0] == "scrframe" and len(steps) > 1 and steps[1] != "__version__":
            yield line, steps[1]


def place(path: Path, line: int) -> str:
    return f"{path.relative_to(REPOSITORY)}:{line}"


def test_every_room_has_its_place():
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert rooms - {"__init__", "__pycache__", "py"} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_what_stands_below(room):
    below = set(ROOMS[ROOMS.index(room) :])
    allowed = below & ({room} | NARROW.get(room, below))
    wrong = [
        f"{place(path, line)}: {room} imports scrframe.{other}"
        for path in sources(room)
        for line, other in rooms_imported(path)
        if other not in allowed
    ]
    assert wrong == []


def module_name(path: Path) -> str:
    steps = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(steps[:-1] if steps[-1] == "__init__" else steps)


def imported_modules(path: Path, modules: set[str]) -> set[str]:
    names = {name for _, name in imports(path)}
    return {
        name if name in modules else name.rpartition(".")[0]
        for name in names
        if name in modules or name.rpartition(".")[0] in modules
    }


def circles(arrows: dict[str, set[str]]) -> list[str]:
    """Return the modules that import themselves, by way of others."""
    left = {name: set(others) & set(arrows) - {name} for name, others in arrows.items()}
    while True:
        imported = set().union(*left.values())
        rest = {name: others & set(left) for name, others in left.items() if name in imported}
        rest = {name: others for name, others in rest.items() if others}
        if len(rest) == len(left):
            return sorted(left)
        left = rest


def test_no_module_imports_itself_by_way_of_others():
    modules = {module_name(path): path for path in sources()}
    arrows = {name: imported_modules(path, set(modules)) for name, path in modules.items()}
    assert circles(arrows) == []


def test_circles_are_seen():
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": {"f"}, "f": set()}
    assert circles(arrows) == ["a", "b", "c"]


def test_folders_and_files_stay_small():
    """A file is a concept, a folder a room: at most 400 lines, at most 16 files."""
    long = [
        f"{path.relative_to(REPOSITORY)}: {lines} lines"
        for path in sources()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 400
    ]
    full = [
        f"{folder.relative_to(REPOSITORY)}: {number} files"
        for folder in sorted({path.parent for path in sources()})
        if (number := len(list(folder.glob("*.py")))) > 16
    ]
    assert (long, full) == ([], [])


def test_no_two_classes_share_a_name():
    homes: dict[str, list[str]] = {}
    for path in [*sources(), *plugin_sources()]:
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(place(path, node.lineno))
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}


def test_nothing_but_the_package_itself_imports_the_command_line():
    wrong = [
        place(path, line)
        for path in [*sources(), *plugin_sources()]
        if "cli" not in path.relative_to(REPOSITORY).parts
        for line, other in rooms_imported(path)
        if other == "cli"
    ]
    assert wrong == []


@pytest.mark.parametrize("room", METHOD)
def test_method_imports_arithmetic_only(room):
    allowed = METHOD_LIBRARIES | set(sys.stdlib_module_names) | {"scrframe"}
    wrong = [
        f"{place(path, line)}: {name}"
        for path in sources(room)
        for line, name in imports(path)
        if name.partition(".")[0] not in allowed
    ]
    assert wrong == []


@pytest.mark.parametrize("room", METHOD)
def test_method_neither_reads_nor_writes(room):
    libraries = {"os", "pathlib", "io", "subprocess", "json", "pickle", "shutil", "tempfile"}
    wrong = [
        f"{place(path, line)}: {name}"
        for path in sources(room)
        for line, name in imports(path)
        if name.partition(".")[0] in libraries
    ]
    wrong += [place(path, line) for path in sources(room) for line, _ in calls(path, {"open"})]
    assert wrong == []


def calls(path: Path, names: set[str]) -> Iterator[tuple[int, str]]:
    """Yield line and name of calls of plain or dotted functions."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in names:
                yield node.lineno, called


def test_only_the_command_line_prints_or_exits():
    names = {
        "print",
        "exit",
        "quit",
        "sys.exit",
        "os._exit",
        "SystemExit",
        "sys.stdout.write",
        "sys.stderr.write",
        "traceback.print_exc",
        "breakpoint",
        "input",
    }
    modules = [path for path in sources() if PACKAGE / "cli" not in path.parents]
    wrong = [
        f"{place(path, line)}: {name}"
        for path in [*modules, *plugin_sources()]
        for line, name in calls(path, names)
    ]
    wrong += [
        f"{place(path, line)}: {name}"
        for path in [*modules, *plugin_sources()]
        for line, name in imports(path)
        if name.partition(".")[0] in {"rich", "typer", "click", "tqdm"}
    ]
    assert wrong == []


def words(text: str) -> set[str]:
    """Return the words of an identifier or a text, in lower case; `AbcDef_g` has three."""
    parts = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", text)
    return {word for word in re.split(r"[^A-Za-z0-9]+", parts.lower()) if word}


def identifiers_and_strings(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree_of(path)):
        line = getattr(node, "lineno", 1)
        for field in ("id", "attr", "name", "arg", "module", "asname"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                yield line, value
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield line, node.value


@pytest.mark.parametrize("room", GENERAL)
def test_no_survey_telescope_or_backend_is_named(room):
    wrong = [
        f"{place(path, line)}: {', '.join(sorted(words(text) & NAMES))}"
        for path in sources(room)
        for line, text in identifiers_and_strings(path)
        if words(text) & NAMES
    ]
    assert wrong == []


def test_only_the_command_line_knows_the_authors_kit():
    """What is calibrated never depends on what is tested; plugins use it in their tests only."""
    wrong = [
        place(path, line)
        for path in [*sources(), *plugin_sources()]
        if not {"cli", "testing"} & set(path.relative_to(REPOSITORY).parts[:2])
        for line, other in rooms_imported(path)
        if other == "testing"
    ]
    assert wrong == []


def test_the_authors_kit_needs_no_test_runner_at_import():
    at_top = [
        place(path, node.lineno)
        for path in sources("testing")
        for node in at_import(tree_of(path))
        if re.match(r"(import|from) _?pytest\b", ast.unparse(node))
    ]
    assert at_top == []


def test_plugins_import_the_public_rooms_only():
    assert plugin_sources()
    wrong = [
        f"{place(path, line)}: scrframe.{room}"
        for path in plugin_sources()
        for line, room in rooms_imported(path)
        if room not in FOR_PLUGINS
    ]
    wrong += [
        f"{place(path, line)}: {name}"
        for path in plugin_sources()
        for line, name in imports(path)
        if name.startswith("scrframe.plugin.")
        and name.split(".")[2] != "helpers"
        and name.count(".") > 2
    ]
    assert wrong == []


def test_no_manager_of_plugins_is_global():
    makers = {"pluggy.PluginManager", "PluginManager", "load_registry", "Registry"}
    wrong = [
        f"{place(path, node.lineno)}: {ast.unparse(node.func)}"
        for path in [*sources(), *plugin_sources()]
        for node in at_import(tree_of(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in makers
    ]
    assert wrong == []


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what runs when a module is imported: everything outside functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield child
            yield from at_import(child)


@pytest.mark.parametrize("path", [*sources(), *plugin_sources()], ids=lambda p: str(p.name))
def test_what_is_public_has_a_docstring(path):
    assert list(undocumented(tree_of(path), path.stem)) == []


def undocumented(node: ast.Module | ast.ClassDef, name: str) -> Iterator[str]:
    if not ast.get_docstring(node):
        yield name
    private_class = isinstance(node, ast.ClassDef) and node.name.startswith("_")
    for child in node.body:
        if not isinstance(child, (ast.ClassDef, ast.FunctionDef)) or child.name.startswith("_"):
            continue
        if isinstance(child, ast.ClassDef):
            yield from undocumented(child, f"{name}.{child.name}")
        elif not private_class and not ast.get_docstring(child):
            yield f"{name}.{child.name}"


def test_the_checks_see_what_they_should(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(
        "import pluggy\nMANAGER = pluggy.PluginManager('x')\n"
        "def read_casu_file():\n    print('from VPHAS+')\n"
    )
    texts = [text for _, text in identifiers_and_strings(path)]
    assert set().union(*map(words, texts)) & NAMES == {"casu", "vphas"}
    assert [name for _, name in calls(path, {"print"})] == ["print"]
    assert any(isinstance(node, ast.Call) for node in at_import(tree_of(path)))
    assert list(undocumented(tree_of(path), "module")) == ["module", "module.read_casu_file"]
    assert words("resolution") & NAMES == set()
