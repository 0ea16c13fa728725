"""A solution that is written and read back corrects the same."""

import json
import shutil

import numpy as np
import pytest
from astropy.table import Table

from scrframe.builtin.offset_levels import plugin as builtin_levels
from scrframe.builtin.offset_levels.keys import GroupConfig, prepare_group
from scrframe.builtin.offset_levels.maps import BinConfig, prepare_bin
from scrframe.errors import DataError
from scrframe.offsets.apply import apply_solution
from scrframe.plugin.registry import Provider, Registry
from scrframe.products.solution import read_solution, seal_solution, write_solution
from scrframe.tables import (
    Detections,
    MatchedStars,
    OffsetTable,
    ReddeningLaw,
    Solution,
    SolvedLevel,
)


@pytest.fixture
def registry():
    import pluggy

    from scrframe.plugin import hookspecs

    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    registry = Registry(manager)
    registry.add(
        builtin_levels, Provider("levels", "scrframe", "scrframe.builtin.offset_levels.plugin")
    )
    return registry


@pytest.fixture
def table():
    rng = np.random.default_rng(1)
    n = 3000
    ones = np.ones(n)
    return Detections.from_columns(
        {
            "visit": [f"vphas_{code:04d}: 1.5" for code in rng.integers(0, 5, n)],
            "band": ["u"] * n,
            "ccd": rng.integers(1, 4, n),
            "file": ["f"] * n,
            "extension": np.ones(n, int),
            "row": np.arange(n),
            "ra": ones,
            "dec": ones,
            "mjd": ones,
            "x": rng.uniform(0.5, 600, n),
            "y": rng.uniform(0.5, 600, n),
            "mag": ones,
            "mag_err": ones,
        }
    )


def a_solution(table):
    zero = np.zeros(len(table), dtype=np.int64)
    sample = MatchedStars(table, table, zero, np.zeros((1, 1), np.float32), zero == 1)
    configs = {
        "visit": GroupConfig(by=("visit",)),
        "ccd": GroupConfig(by=("visit", "ccd")),
        "pixel": BinConfig(by=("ccd",), size="256 pix"),
    }
    rng = np.random.default_rng(2)
    solved = []
    for name, config in configs.items():
        prepare = prepare_bin if name == "pixel" else prepare_group
        fitted = prepare(name, sample, config)
        width = fitted.labels().num_rows
        offset = rng.normal(size=width)
        offset[0] = np.nan
        offsets = OffsetTable(offset, rng.random(width), rng.random(width), np.arange(width))
        solved.append(SolvedLevel(fitted, "bin" if name == "pixel" else "group", offsets))
    law = ReddeningLaw(np.array([0.042, 0.027, 1.42]), np.diag([1.0, 2.0, 3.0]), 0.009)
    visits = tuple(sorted(set(table["visit"])))
    solution = Solution(tuple(solved), 0.1 + 0.2, law, visits, {"survey": "s", "data_note": "made"})
    return solution, {name: config.model_dump(mode="json") for name, config in configs.items()}


def test_a_solution_survives_being_stored(tmp_path, registry, table):
    solution, settings = a_solution(table)
    write_solution(tmp_path / "solution", solution, settings)
    again = read_solution(tmp_path / "solution", registry)
    expected, found = apply_solution(solution, table), apply_solution(again, table)
    np.testing.assert_array_equal(found.total_mag, expected.total_mag)
    np.testing.assert_array_equal(found.flags, expected.flags)
    assert again.zero_point_mag == solution.zero_point_mag
    assert again.visits == solution.visits
    np.testing.assert_array_equal(again.law.coefficients, solution.law.coefficients)
    np.testing.assert_array_equal(again.law.covariance, solution.law.covariance)


def test_tables_are_open_and_have_units(tmp_path, table):
    from astropy.table import QTable

    solution, settings = a_solution(table)
    write_solution(tmp_path, solution, settings)
    offsets = QTable.read(tmp_path / "offsets_pixel.ecsv")
    assert str(offsets["offset"].unit) == "mag"
    assert str(offsets["x_low_pix"].unit) == "pix"
    assert all(offsets[name].info.description for name in offsets.colnames)
    assert offsets.meta["data_note"] == "made"
    assert not list(tmp_path.glob("*.pkl"))


def test_a_damaged_solution_is_a_data_error(tmp_path, registry, table):
    with pytest.raises(DataError, match="not found"):
        read_solution(tmp_path / "none" / "solution", registry)
    solution, settings = a_solution(table)
    write_solution(tmp_path, solution, settings)
    path = tmp_path / "provenance.json"
    content = json.loads(path.read_text())
    del content["zero_point_mag"]
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="damaged"):
        read_solution(tmp_path, registry)
    path.write_text("{")
    with pytest.raises(DataError, match="damaged"):
        read_solution(tmp_path, registry)


def test_rows_in_another_order_are_refused(tmp_path, registry, table):
    solution, settings = a_solution(table)
    write_solution(tmp_path, solution, settings)
    path = tmp_path / "offsets_visit.ecsv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-2], lines[-1], lines[-2]]) + "\n")
    with pytest.raises(DataError, match=r"rows of offsets_visit\.ecsv are missing or in another"):
        read_solution(tmp_path, registry)


def test_another_format_is_refused(tmp_path, registry, table):
    solution, settings = a_solution(table)
    write_solution(tmp_path, solution, settings)
    path = tmp_path / "provenance.json"
    path.write_text(path.read_text().replace('"format": 2', '"format": 3'))
    with pytest.raises(DataError, match="has format 3, expected 2; apply it with the version"):
        read_solution(tmp_path, registry)


def test_every_change_of_a_sealed_solution_is_refused(tmp_path, registry, table):
    solution, settings = a_solution(table)
    write_solution(tmp_path, solution, settings)
    seal_solution(tmp_path)
    assert read_solution(tmp_path, registry).zero_point_mag == solution.zero_point_mag
    rng = np.random.default_rng(4)
    for path in sorted(tmp_path.iterdir()) * 12:
        content = bytearray(path.read_bytes())
        at = rng.integers(len(content))
        changes = [content[:at], content[:at] + b"inf" + content[at + 3 :], content[:at] + b"\xff"]
        path.write_bytes(bytes(changes[rng.integers(3)]))
        with pytest.raises(DataError) as refused:
            read_solution(tmp_path, registry)
        assert str(tmp_path) in str(refused.value) and "\n" not in str(refused.value)
        path.write_bytes(content)


def test_a_record_without_its_hashes_is_refused(tmp_path, registry, table):
    solution, settings = a_solution(table)
    write_solution(tmp_path, solution, settings)
    seal_solution(tmp_path)
    path = tmp_path / "provenance.json"
    record = json.loads(path.read_text())
    bare = {name: value for name, value in record.items() if name not in ("sha256", "files")}
    path.write_text(json.dumps(bare | {"versions": {"scrframe": "0.2.0"}}))
    with pytest.raises(DataError, match=r"provenance\.json: is damaged, edited or of another run"):
        read_solution(tmp_path, registry)
    path.write_text(json.dumps(bare | {"versions": {"scrframe": "0.1.0"}}))
    read_solution(tmp_path, registry)


def test_the_solution_of_another_run_is_refused(small_run, small_sequential, tmp_path, registry):
    shutil.copytree(small_run, tmp_path / "run")
    read_solution(tmp_path / "run", registry)
    shutil.rmtree(tmp_path / "run" / "solution")
    shutil.copytree(small_sequential / "solution", tmp_path / "run" / "solution")
    with pytest.raises(DataError, match=r"solution: is the solution of another run than .*summary"):
        read_solution(tmp_path / "run", registry)
    (tmp_path / "run" / "summary.json").unlink()
    read_solution(tmp_path / "run", registry)


def test_tables_of_other_levels_and_runs_are_refused(tmp_path, registry, table):
    solution, settings = a_solution(table)
    write_solution(tmp_path, solution, settings)
    runs = {Table.read(path).meta["run"] for path in tmp_path.glob("*.ecsv")}
    assert runs == {json.loads((tmp_path / "provenance.json").read_text())["run"]}
    visit, ccd = (tmp_path / f"offsets_{name}.ecsv" for name in ("visit", "ccd"))
    kept = visit.read_bytes()
    visit.write_bytes(ccd.read_bytes())
    with pytest.raises(DataError, match=r"offsets_visit\.ecsv is the table of the level ccd"):
        read_solution(tmp_path, registry)
    visit.write_bytes(kept)
    seal_solution(tmp_path)
    visit.write_text(kept.decode().replace(" group", " group ", 1))
    with pytest.raises(DataError, match=r"offsets_visit\.ecsv: .*is not as the run wrote it"):
        read_solution(tmp_path, registry)
    visit.unlink()
    with pytest.raises(DataError, match=r"offsets_visit\.ecsv: not found"):
        read_solution(tmp_path, registry)
