"""A whole comparison on a tiny survey: the same for all, the same again, and true."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from comparing import FAULTS, everyone, model, registry_with

import scrframe
from scrframe.analysis.compare import run as flow
from scrframe.analysis.compare.result import Comparison
from scrframe.analysis.compare.run import compare_backends
from scrframe.errors import CalibrationError, ConfigError, PluginError
from scrframe.observer import Observer
from scrframe.plugin import ColourModel
from scrframe.run.plugins import resolve_plugins

#: Files that a rerun repeats to the bit.
REPEATED = ("comparison.json", "comparison.ecsv")
GOOD = ("linear", "wasteful")


def compare(tiny, out, backends, *, changes=(), models=None, **more):
    registry = registry_with(models or everyone())
    changes = [*tiny.changes, "colour_model.kind=linear", *changes]
    survey = scrframe.load_survey(tiny.description, overrides=changes, registry=registry)
    more = {"folds": 3, "seeds": 2, "workers": 1, **more}
    return compare_backends(
        survey, data=tiny.data, out=out, backends=backends, registry=registry, **more
    )


@pytest.fixture(scope="module", autouse=True)
def plain_page() -> Iterator[None]:
    """The page has tests of its own, and its figures take most of the time."""

    def page(comparison, costs, residuals):
        names = [each.name for each in comparison.backends if each.fault is None]
        assert list(residuals) == names
        assert [each.backend for each in costs] == names
        return "page"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow, "comparison_page", page)
        patch.setattr(
            flow, "write_page", lambda page, folder: (folder / "index.html").write_text(page)
        )
        yield


@pytest.fixture(scope="module")
def alone(tiny_survey, tmp_path_factory):
    """Two backends, both good."""
    return compare(tiny_survey, tmp_path_factory.mktemp("alone") / "out", GOOD)


@pytest.fixture(scope="module")
def together(tiny_survey, tmp_path_factory):
    """The same among all that are at fault, with two workers."""
    names = [*FAULTS, *GOOD]
    return compare(tiny_survey, tmp_path_factory.mktemp("together") / "out", names, workers=2)


def test_faults_are_named_and_the_others_still_reported(together):
    found = {each.name: each for each in together.comparison.backends}
    for name, words in FAULTS.items():
        assert words in found[name].fault
        assert found[name].folds == {}
    for name in GOOD:
        assert found[name].fault is None
        assert set(found[name].folds) == {"random", "blocked"}
        assert set(found[name].offsets) >= {"visit", "ccd", "pixel", "total", "repeats"}
    assert sorted(name for group in together.comparison.ranking for name in group) == list(GOOD)
    assert {each.backend for each in together.costs} == set(GOOD)


def test_further_backends_change_no_figure_of_another(alone, together):
    found = {each["name"]: each for each in together.comparison.to_json()["backends"]}
    for each in alone.comparison.to_json()["backends"]:
        assert found[each["name"]] == each


@pytest.mark.slow
def test_a_rerun_is_the_same_to_the_bit(alone, tiny_survey, tmp_path):
    again = compare(tiny_survey, tmp_path / "out", GOOD, workers=2)
    for name in REPEATED:
        assert (again.path / name).read_bytes() == (alone.path / name).read_bytes()


def test_equal_backends_are_not_told_apart(alone):
    same = next(each for each in alone.comparison.backends if each.name == "wasteful")
    assert {each.verdict for each in same.against_reference.values()} == {"not told apart"}
    assert all(each.value == 0 for each in same.against_reference.values())
    assert alone.comparison.ranking == (GOOD,)


def test_products_hold_what_was_returned(alone):
    plain = json.loads((alone.path / "comparison.json").read_text())
    assert Comparison.from_json(plain).to_json() == alone.comparison.to_json()
    assert plain["data_note"] == "simulated u magnitudes on real Gaia XP spectra"
    table = Table.read(alone.path / "comparison.ecsv")
    assert list(table["backend"]) == list(GOOD)
    own = alone.comparison.backends[0].folds["blocked"].dispersion.sd_mag
    assert table["blocked_sd_mag"][0] == own
    assert str(table["blocked_sd_mag"].unit) == "mag"
    costs = json.loads((alone.path / "costs.json").read_text())
    assert [each["backend"] for each in costs["backends"]] == list(GOOD)
    assert (alone.path / "index.html").exists()


def test_the_description_s_own_model_always_takes_part_and_first(tiny_survey, together):
    plan = flow._plan(resolve_plugins(_survey(tiny_survey), _registry()), ["wasteful"], 2, 1)
    assert [each.name for each in plan.backends] == ["linear", "wasteful"]
    assert together.comparison.backends[0].name == "linear"


def _registry():
    return registry_with(everyone())


def _survey(tiny):
    changes = [*tiny.changes, "colour_model.kind=linear"]
    return scrframe.load_survey(tiny.description, overrides=changes, registry=_registry())


def test_by_default_all_that_is_installed_takes_part(tiny_survey):
    registry = _registry()
    plan = flow._plan(resolve_plugins(_survey(tiny_survey), registry), None, 2, 1)
    assert {each.name for each in plan.backends} == {
        name for name in registry.names(ColourModel) if registry.get(ColourModel, name).learns
    }


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"backends": ["linaer"]}, PluginError, 'did you mean "linear"'),
        ({"backends": []}, ConfigError, "no colour model is named"),
        ({"folds": 1}, ConfigError, "2 folds or more"),
        ({"seeds": 0}, ConfigError, "1 seed or more"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_any_work(
    tiny_survey, tmp_path, more, error, words
):
    with pytest.raises(error, match=words):
        compare(tiny_survey, tmp_path / "out", **{"backends": ["linear"], **more})
    assert list(tmp_path.iterdir()) == []


def test_something_else_is_not_overwritten(tiny_survey, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("dear")
    with pytest.raises(ConfigError, match="choose another --out"):
        compare(tiny_survey, tmp_path / "out", GOOD)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_without_the_own_model_there_is_nothing_to_compare_on(tiny_survey, tmp_path):
    with pytest.raises(
        CalibrationError, match=r"'failing' fails .*out of order.*colour_model.kind"
    ):
        compare(tiny_survey, tmp_path / "out", GOOD, changes=["colour_model.kind=failing"])
    assert list(tmp_path.iterdir()) == []


class Interrupt(Observer):
    """Interrupts once one backend is done."""

    def message(self, text):
        if "done" in text:
            raise KeyboardInterrupt


def test_an_interrupted_comparison_goes_on_where_it_stopped(alone, tiny_survey, tmp_path):
    out, trained = tmp_path / "out", []
    with pytest.raises(KeyboardInterrupt):
        compare(tiny_survey, out, GOOD, observer=Interrupt())
    assert not out.exists()
    models = everyone()
    inner = models["linear"].fit

    def counted(*arguments, **more):
        trained.append(more["seed"])
        return inner(*arguments, **more)

    models["linear"] = model("linear", counted)
    again = compare(tiny_survey, out, GOOD, models=models)
    # The fit of the description trains with the first seed; the second is the comparison's.
    assert set(trained) == {1}
    for name in REPEATED:
        assert (again.path / name).read_bytes() == (alone.path / name).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_offset_errors_are_those_of_the_truth(alone, tiny_survey):
    """The linear model's visit offsets, once more from the differences themselves."""
    truth = pq.read_table(tiny_survey.data / "truth.parquet")
    visits = len(truth.column("visit").combine_chunks().unique())
    for each in alone.comparison.backends:
        assert each.offsets["visit"].count == visits
        # Four visits of some 900 stars with a scatter below 0.1 mag.
        assert each.offsets["visit"].rms_mag < 0.02
        assert each.offsets["total"].rms_mag > each.offsets["visit"].rms_mag


@pytest.mark.parametrize("mode", ["sequential"])
def test_mode_sequential_is_compared_too(tiny_survey, tmp_path, mode):
    run = compare(
        tiny_survey, tmp_path / "out", ["wasteful"], changes=[f"offsets.mode={mode}"], seeds=1
    )
    for each in run.comparison.backends:
        assert set(each.offsets) == {"visit", "ccd", "pixel", "total", "repeats"}
        assert np.isfinite([level.rms_mag for level in each.offsets.values()]).all()


def documented(heading: str, column: str) -> list[str]:
    page = Path(__file__).parents[3] / "docs" / "reference" / "comparison.md"
    text = "\n" + page.read_text(encoding="utf-8").replace("# Products", "## Products", 1)
    section = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert f"| {column} |" in section
    return [row.split("`")[1] for row in rows]


def spelled(value, known, path=""):
    """Yield each key of a document as the reference spells it."""
    if any(key.startswith(f"{path}.<") for key in known) and path:
        yield from (key for key in known if key.startswith(f"{path}.<"))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from spelled(inner, known, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        yield from (
            found for inner in value or [None] for found in spelled(inner, known, f"{path}[]")
        )
    else:
        yield path


@pytest.mark.parametrize("name", ["comparison.json", "costs.json"])
def test_every_key_is_documented(alone, name):
    known = documented(name, "key")
    plain = json.loads((alone.path / name).read_text())
    assert dict.fromkeys(spelled(plain, known)) == dict.fromkeys(known)


def test_every_file_is_documented(alone):
    known = {path.rstrip("/") for path in documented("Products of a comparison", "path")}
    # The figures are the page's.
    assert {path.name for path in alone.path.iterdir()} | {"figures"} == known
