"""docs/reference/products.md and the README agree with the files of real runs."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table
from docs_reading import DOCS, SHIPPED, sections, table

import scrframe
from scrframe.plugin import OffsetLevel, load_registry
from scrframe.products.columns import COLUMNS, LABELS, for_levels
from scrframe.products.stars import law_summary
from scrframe.report.merit import merit_rows
from scrframe.tables import CORRECTION_LEVELS, FLAG_BITS, OrderScore, ReddeningLaw

PRODUCTS_PAGE = DOCS / "reference" / "products.md"
MODES = ("sequential", "joint")
LEVELS_OF_THE_PAPER = ("visit", "ccd", "pixel")
#: Levels that a survey of two fields solves in seconds in either mode, one of each kind of part.
LEVELS = """offsets.levels=[
    {name: visit, kind: group, by: [visit], sd: 60 mmag},
    {name: ccd_static, kind: group, by: [ccd], mode: joint},
    {name: ccd, kind: group, by: [visit, ccd]},
    {name: pixel, kind: bin, by: [ccd], size: 512 pix, sd: 10 mmag},
    {name: field_slope, kind: slope, of: [extinction], by: [field], mode: joint}]"""


#: Of an order that need not be searched.
FIELD_SLOPES = ("reddening.order=2", "reddening.extinction_order=0", "reddening.field_slopes=true")


@pytest.fixture(scope="module")
def runs(tiny_survey, tmp_path_factory) -> Callable[[str], scrframe.Run]:
    """Return a function from a mode to a finished run of the tiny survey in that mode."""
    done: dict[str, scrframe.Run] = {}

    def find(mode: str) -> scrframe.Run:
        if mode not in done:
            changes = (
                *tiny_survey.changes,
                *FIELD_SLOPES,
                f"offsets.mode={mode}",
                LEVELS,
                "offsets.terms=none",
            )
            survey = scrframe.load_survey(tiny_survey.description, overrides=changes)
            out = tmp_path_factory.mktemp("runs") / mode
            done[mode] = scrframe.calibrate(survey, data=tiny_survey.data, out=out, workers=1)
        return done[mode]

    return find


@pytest.fixture(params=MODES)
def run(request, runs) -> scrframe.Run:
    """Return a finished run in each mode."""
    return runs(request.param)


def mode_of(run: scrframe.Run) -> str:
    return run.summary["offsets"]["mode"]


class TestProducts:
    """docs/reference/products.md against the files of a run in each mode."""

    text = MappingProxyType(sections(PRODUCTS_PAGE))

    def rows(self, title: str, mode: str = "") -> list[dict[str, str]]:
        """Return the rows of a table, without those of the other mode if one is given."""
        rows = table(self.text[title])
        assert {row.get("mode", "") for row in rows} <= {"", *MODES}
        return [row for row in rows if not mode or row.get("mode", "") in ("", mode)]

    @pytest.mark.parametrize("name", [name for name in COLUMNS if "<" not in name])
    def test_columns_as_declared(self, name):
        assert [
            (row["column"], row["unit"], row["type"], row.get("mode", ""), row["meaning"])
            for row in self.rows(name)
        ] == [
            (column.name, column.unit, column.type, column.mode, column.description.strip("`"))
            for column in for_levels(COLUMNS[name], LEVELS_OF_THE_PAPER)
        ]

    @pytest.mark.parametrize("level", LEVELS_OF_THE_PAPER)
    def test_columns_of_offsets_as_declared(self, level):
        declared = {column.name: column for column in COLUMNS["offsets_<level>.ecsv"]}
        rows = self.rows(f"offsets_{level}.ecsv")
        shown = {row["column"]: row["meaning"] for row in rows if row["column"] in declared}
        assert shown == {name: declared[name].description for name in shown}
        assert {"offset", "offset_err", "scatter", "n_detections"} <= set(shown)

    def test_whole_directory(self, run):
        documented = {row["path"].rstrip("/") for row in self.rows("Products of a run")}
        documented -= {"report"}  # switched off for speed, see tests/conftest.py
        assert {path.name for path in run.path.iterdir()} == documented

    @pytest.mark.parametrize("name", ["stars.parquet", "star_catalogue.parquet"])
    def test_stars(self, run, name):
        schema = pq.read_schema(run.path / name)
        assert list(parquet_columns(schema)) == [
            (row["column"], row["unit"], row["type"]) for row in self.rows(name, mode_of(run))
        ]
        for key in ("scrframe_version", "survey", "data_root", "data_note", "magnitude_system"):
            assert key.encode() in schema.metadata
            assert f"`{key}`" in self.text["stars.parquet"]

    def test_order_and_identities_of_stars(self, run):
        table = pq.read_table(run.path / "stars.parquet")
        keys = list(
            zip(*(table[name].to_pylist() for name in ("visit", "ccd", "row")), strict=True)
        )
        assert keys == sorted(keys)
        stars = {name: table[name].to_numpy() for name in table.column_names}
        assert np.array_equal(stars["delta"], stars["mag_model"] - stars["mag_obs"])
        cal = stars["mag_obs"] + stars["offset_total"] + stars.get("offset_colour", 0.0)
        assert np.array_equal(stars["mag_cal"], cal, equal_nan=True)
        levels = sum(stars[f"offset_{name}"] for name in ("visit", "ccd", "pixel"))
        total = levels + run.summary["offsets"]["u_ZP_mag"]
        np.testing.assert_allclose(stars["offset_total"], total, rtol=0, atol=1e-12)

    def test_joint_stars(self, runs):
        table = pq.read_table(runs("joint").path / "stars.parquet")
        stars = {name: table[name].to_numpy() for name in table.column_names}
        assert np.isfinite(stars["mag_cal"]).all()
        assert np.array_equal(np.isnan(stars["weight"]), ~stars["in_solve"])
        assert not np.isfinite(stars["star_dev"][~stars["in_solve"]]).any()
        assert np.isfinite(stars["star_dev"][stars["weight"] > 0.1]).all()
        assert stars["reserved"].sum() > 0 and not (stars["reserved"] & stars["in_solve"]).any()
        low = stars["flags"] & FLAG_BITS["low_weight"] > 0
        assert np.array_equal(low, stars["weight"] < 0.5) and low.any()
        noise = runs("joint").summary["offsets"]["joint"]["photometry"]
        variance = (noise["scale"] * stars["mag_err"]) ** 2 + noise["floor_mag"] ** 2
        np.testing.assert_allclose(
            stars["mag_cal_err"] ** 2, stars["offset_total_err"] ** 2 + variance, rtol=1e-12
        )

    def test_levels_of_corrections(self):
        rows = self.rows("Levels of corrections")
        assert [(int(row["value"]), row["level"]) for row in rows] == list(
            enumerate(CORRECTION_LEVELS)
        )

    def test_missing_offsets_are_flagged(self, runs):
        table = pq.read_table(runs("sequential").path / "stars.parquet")
        flags = table["flags"].to_numpy()
        missing = 0
        for name in ("visit", "ccd", "pixel"):
            without = np.isnan(table[f"offset_{name}"].to_numpy())
            missing = missing | without
            assert np.array_equal(flags & FLAG_BITS[f"few_stars_{name}"] > 0, without)
        assert np.array_equal(np.isnan(table["mag_cal"].to_numpy()), missing)
        assert 0 < missing.sum() < len(flags)

    def test_flags(self):
        assert {row["name"]: int(row["bit"]) for row in self.rows("Flags")} == FLAG_BITS

    def test_files_of_the_solution(self, run):
        written = {path.name for path in (run.path / "solution").iterdir()}
        ours = {"exposures.ecsv", "visit_covariance.fits", "design_report.json"}
        suffixes = (".ecsv", ".yaml", ".json", ".fits")
        titles = {title for title in self.text if title.endswith(suffixes)} - {"summary.json"}
        others = {"offsets_ccd_static.ecsv", "offsets_field_slope.ecsv"}
        assert written - others == (titles if mode_of(run) == "joint" else titles - ours)

    @pytest.mark.parametrize("level", ["visit", "ccd", "pixel"])
    def test_offsets(self, run, level):
        name = f"offsets_{level}.ecsv"
        offsets = Table.read(run.path / "solution" / name)
        assert ecsv_columns(offsets) == [
            (row["column"], row["unit"], row["type"]) for row in self.rows(name)
        ]
        said = {"level", "kind", "parent", "settings", "state", "applied", "data_note", "run"}
        assert set(offsets.meta) == said
        joint = mode_of(run) == "joint"
        assert offsets.meta["applied"] is (level == "pixel" or not joint)
        few = offsets["n_detections"] < 3  # the tiny survey's min_stars
        assert np.array_equal(np.isnan(offsets["offset"]), few & (not joint))

    def test_labels_of_all_kinds_of_levels(self):
        known = {
            (row["column"], row["unit"])
            for title in ("offsets_pixel.ecsv", "Labels of other levels")
            for row in table(self.text[title])
        }
        assert {(column.name, column.unit) for column in LABELS} <= known

    def test_exposures(self, runs):
        found = Table.read(runs("joint").path / "solution" / "exposures.ecsv")
        assert ecsv_columns(found) == [
            (row["column"], row["unit"], row["type"]) for row in self.rows("exposures.ecsv")
        ]
        assert len(found) == 4 * 32 and set(found["level"]) <= set(CORRECTION_LEVELS)

    def test_visits(self, run):
        found = Table.read(run.path / "solution" / "visits.ecsv")
        assert ecsv_columns(found) == [
            (row["column"], row["unit"], row["type"]) for row in self.rows("visits.ecsv")
        ]
        assert tuple(found["visit"]) == run.solution.visits

    def test_covariance_of_visits(self, runs):
        with fits.open(runs("joint").path / "solution" / "visit_covariance.fits") as hdus:
            hdus.verify("exception")
            covariance, visits = hdus[0].data, hdus["VISITS"].data["visit"]
            assert hdus[0].header["BUNIT"] == "mag2"
        offsets = Table.read(runs("joint").path / "solution" / "offsets_visit.ecsv")
        assert list(visits) == list(offsets["visit"])
        np.testing.assert_allclose(np.diag(covariance), offsets["offset_err"] ** 2, rtol=1e-9)

    def test_design_report(self, runs):
        report = json.loads((runs("joint").path / "solution" / "design_report.json").read_text())
        documented = [row["key"] for row in self.rows("design_report.json")]
        found = {key.replace("terms[]", "terms") for key in paths(report, [])}
        assert found == {key.replace("terms[]", "terms") for key in documented}
        kinds = next(row for row in self.rows("design_report.json") if row["key"].endswith("kind"))
        assert {f"`{one['kind']}`" for one in report["findings"]} <= set(
            re.findall("`[a-z ]+`", "`" + kinds["meaning"] + "`")
        )

    def test_law(self, run):
        law = Table.read(run.path / "solution" / "reddening_law.ecsv")
        assert ecsv_columns(law) == [
            (row["column"], row["unit"], row["type"]) for row in self.rows("reddening_law.ecsv")
        ]
        assert set(law.meta) == {"law", "covariance", "dM_mag", "scores", "data_note", "run"}

    def test_slopes_of_the_law(self, run):
        slopes = Table.read(run.path / "solution" / "reddening_slopes.ecsv")
        assert ecsv_columns(slopes) == [
            (row["column"], row["unit"], row["type"]) for row in self.rows("reddening_slopes.ecsv")
        ]
        assert set(slopes.meta) == {"sd_mag", "data_note", "run"}

    def test_law_in_the_summary(self):
        terms, score = ((2, 0), (1, 0), (0, 0), (0, 1)), OrderScore(2, 1, 0.06, 0.0, 0.0, True)
        law = ReddeningLaw(np.array([0.04, 0.03, 1.4, -0.02]), np.eye(4), 0.0, terms, (score,))
        model = types.SimpleNamespace(law=law)
        summary = {"reddening_law": law_summary(model, np.linspace(0, 3, 9), np.ones(9))}
        documented = [row["key"] for row in self.rows("summary.json")]
        found = set(paths(summary, [key.split(".") for key in documented]))
        assert found == {key for key in documented if key.startswith("reddening_law.")}

    def test_provenance(self, run):
        provenance = json.loads((run.path / "solution" / "provenance.json").read_text())
        assert list(provenance) == [row["key"] for row in self.rows("provenance.json")]
        joint = mode_of(run) == "joint"
        assert [provenance[key] is not None for key in ("exposures", "photometry")] == [joint] * 2

    def test_nothing_is_a_pickle(self, run):
        for path in (run.path / "solution").iterdir():
            if path.suffix != ".fits":
                path.read_text(encoding="utf-8")

    def test_description_is_one(self, run):
        path = run.path / "solution" / "description.yaml"
        assert scrframe.load_survey(path).name == run.summary["survey"]

    def test_catalogues(self, run, tiny_survey):
        inputs = sorted((tiny_survey.data / "catalogues").iterdir())
        written = sorted((run.path / "catalogues").iterdir())
        assert [path.name for path in inputs] == [path.name for path in written]
        documented = [
            (row["column"], row["unit"], f"1{row['format']}")
            for row in self.rows("catalogues/", mode_of(run))
        ]
        with fits.open(inputs[0]) as before, fits.open(written[0]) as after:
            after.verify("exception")
            assert len(before) == len(after) == 33
            for old, new in zip(before[1:], after[1:], strict=True):
                width = len(old.columns)
                added = [(c.name, c.unit or "", c.format) for c in new.columns[width:]]
                assert added == documented
                assert new.columns.names[:width] == old.columns.names
                assert len(new.data) == len(old.data)
            for keyword in ("SCRVISIT", "SCRVERS", "SCRNOTE", "SCRMSYS"):
                assert f"`{keyword}`" in self.text["catalogues/"]
                assert any(card.startswith(keyword[:7]) for card in after[0].header)

    def test_summary(self, run):
        summary = json.loads((run.path / "summary.json").read_text())
        documented = [row["key"] for row in self.rows("summary.json", mode_of(run))]
        found = dict.fromkeys(paths(summary, [key.split(".") for key in documented]))
        # Nothing was skipped, held or tied, and no visit was unknown in these runs.
        empty = {
            "skipped_catalogues.<catalogue>",
            "absolute.<figure>",
            "catalogues[].unknown_visits[]",
            "offsets.joint.photometry.notes[]",
        }
        bare = {re.sub(r"(\[\]|\.<\w+>)$", "", key) for key in empty}
        assert of_any_law(set(documented) - empty) == of_any_law(set(found) - bare)
        spread = summary["diagnostics"]["spread"]["before"]
        assert all(f"`{key}`" in self.text["summary.json"] for key in spread)

    def test_truth(self, tiny_survey):
        schema = pq.read_schema(tiny_survey.data / "truth.parquet")
        assert [(name, kind) for name, _, kind in parquet_columns(schema)] == [
            (row["column"], row["type"]) for row in self.rows("truth.parquet")
        ]


def of_any_law(keys: set[str]) -> set[str]:
    """Leave out what depends on the terms of the law, and on whether they were chosen."""
    return {key for key in keys if not re.match(r"reddening_law\.([ab]\d$|scores)", key)}


def parquet_columns(schema: Any) -> Iterator[tuple[str, str, str]]:
    """Yield name, unit and type of the columns of a Parquet file."""
    names = {"float": "float32", "double": "float64", "string": "text"}
    for column in schema:
        unit = (column.metadata or {}).get(b"unit", b"").decode()
        yield column.name, unit, names.get(str(column.type), str(column.type))


def ecsv_columns(ecsv: Table) -> list[tuple[str, str, str]]:
    """Return name, unit and type of the columns of an astropy table."""
    return [
        (
            name,
            "" if ecsv[name].unit is None else str(ecsv[name].unit),
            "string" if ecsv[name].dtype.kind == "U" else str(ecsv[name].dtype),
        )
        for name in ecsv.colnames
    ]


def paths(value: Any, known: list[list[str]], path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the documented spelling of every path of a JSON document."""
    stars = [key[len(path)] for key in known if spelled(key, path) and len(key) > len(path)]
    wild = next((step for step in stars if step.startswith("<")), None)
    if isinstance(value, dict) and value:
        if wild and any(spelled(key, (*path, wild)) and len(key) == len(path) + 1 for key in known):
            yield ".".join((*path, wild))
            return
        for name, inner in value.items():
            yield from paths(inner, known, (*path, wild or name))
    elif isinstance(value, list) and value:
        for inner in value:
            yield from paths(inner, known, (*path[:-1], path[-1] + "[]"))
    else:
        yield ".".join(path)


def spelled(key: list[str], path: tuple[str, ...]) -> bool:
    return tuple(key[: len(path)]) == path


def test_readme_shows_what_a_run_prints(runs):
    """With the rows of the shipped description's levels, which are others than the tiny ones."""
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    offsets, registry = scrframe.load_survey(SHIPPED).offsets, load_registry()
    levels = [
        level.name
        for level in offsets.active_levels()
        if registry.get(OffsetLevel, level.kind).role(level.settings) == "correction"
    ]
    summary = runs(offsets.mode).summary
    own, chosen = r"sd of \w+ offsets", r"[ab]\d of R"  # the law's terms depend on the data
    figures = [row[0] for row in merit_rows(summary) if not re.match(f"{own}|{chosen}", row[0])]
    figures += [f"sd of {name} offsets" for name in levels]
    shown = [figure.partition(" = ")[0] for figure in figures]
    assert [figure for figure in shown if figure not in readme] == []
    assert summary["data_note"] in readme
