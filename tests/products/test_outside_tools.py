"""All that a run, its exports and `apply` write, as other programs read it."""

from __future__ import annotations

import pytest
from astropy.table import Table
from outside_tools import said_by_astropy, said_by_fitsverify, said_by_stilts, tables_below

import scrframe
from scrframe.cli import main

pytestmark = pytest.mark.slow

FORMATS = ("fits", "ecsv", "csv", "vot", "parquet")


def exports(run, out):
    """Write every export of a run."""
    options = [
        *([("--zero-points", out / f"zero.{each}") for each in FORMATS]),
        *([("--star-flats", out / kind, "--kind", kind) for kind in ("factor", "mag")]),
        ("--headers", out / "heads"),
    ]
    for words in options:
        assert main(["export", str(run), *map(str, words), "-q"]) == 0


@pytest.fixture(scope="module")
def in_all_formats(small_survey, tmp_path_factory):
    """Return the table of the survey in all formats that are corrected."""
    folder = tmp_path_factory.mktemp("formats")
    table = Table.read(small_survey.table)
    table.meta.clear()
    for each in FORMATS:
        table.write(folder / f"t.{each}", format="votable" if each == "vot" else None)
    return folder


@pytest.fixture(scope="module", params=["joint", "sequential"])
def written(request, tiny_survey, tmp_path_factory):
    """Return the run of a mode, and where its exports are; catalogues are FITS."""
    out = tmp_path_factory.mktemp(request.param)
    changes = (*tiny_survey.changes, f"offsets.mode={request.param}")
    survey = scrframe.load_survey(tiny_survey.description, overrides=changes)
    scrframe.calibrate(survey, data=tiny_survey.data, out=out / "run", workers=1)
    exports(out / "run", out / "exports")
    return out


@pytest.fixture(scope="module", params=["small_run", "small_sequential"])
def of_tables(request, in_all_formats, tmp_path_factory):
    """Return where catalogues of all formats are corrected by a run of a mode."""
    run = request.getfixturevalue(request.param)
    out = tmp_path_factory.mktemp(request.param)
    exports(run, out / "exports")
    for path in in_all_formats.iterdir():
        place = out / path.suffix[1:]
        assert main(["apply", str(run), str(path), "--out", str(place), "-q"]) == 0
    return out, run


def test_runs_on_fits_catalogues(written, tiny_survey):
    paths = tables_below(written)
    assert {path.suffix for path in paths} == {f".{each}" for each in FORMATS}
    # The input's own units, such as DEGREES, stay as they are.
    known = {line.partition(": ")[2] for line in said_by_astropy(tables_below(tiny_survey.data))}
    assert {line.partition(": ")[2] for line in said_by_astropy(paths)} <= known
    assert said_by_fitsverify(paths) == []
    assert said_by_stilts(paths) == []


def test_catalogues_of_all_formats(of_tables):
    out, run = of_tables
    paths = tables_below(out, run)
    assert (
        len({path for path in paths if "exports" not in path.parts and run not in path.parents})
        == 5
    )
    assert said_by_astropy(paths) == set()
    assert said_by_fitsverify(paths) == []
    assert said_by_stilts(paths) == []
