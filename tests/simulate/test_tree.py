"""The tree on disk, with plugins that write and read Parquet, and the cache."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scrframe.config import SimulationSettings
from scrframe.errors import DataError, PluginError
from scrframe.plugin import (
    ExtinctionCatalogue,
    ExtinctionCurve,
    Part,
    ReferenceCatalogue,
    SurveyLoader,
    load_registry,
)
from scrframe.simulate import GENERATOR_VERSION, cache_folder, sample_tree, simulate_tree
from scrframe.tables import Camera, Detections, SimulatedStars, SimulatedVisit


def write_visit(visit: SimulatedVisit, root: Path, config: Any) -> Path:
    path = root / f"exposure_{visit.number:03d}.parquet"
    pq.write_table(visit.detections, path)
    return path


def parts(config: Any, root: Path) -> list[Part]:
    return [Part(path.name, path, "", {}) for path in sorted(root.glob("exposure_*.parquet"))]


def read(part: Part, config: Any, columns: Any) -> Detections:
    table = pq.read_table(part.path)
    constant = {"visit": f"key of {part.key}", "band": "u", "file": part.path.name}
    made = {name: np.full(len(table), text) for name, text in constant.items()}
    made |= {"extension": np.zeros(len(table), int), "row": np.arange(len(table))}
    made |= {"mjd": np.zeros(len(table))}
    return Detections.from_columns(
        made | {name: table[name] for name in ("ccd", "ra", "dec", "x", "y", "mag", "mag_err")}
    )


def write_reference(stars: SimulatedStars, root: Path, gaia_format: str) -> None:
    pq.write_table(stars.table, root / f"reference.{gaia_format}")


def write_extinction(stars: SimulatedStars, root: Path) -> None:
    pq.write_table(stars.table.select(["source_id", "extinction"]), root / "extinction.parquet")


def nothing(*args: Any) -> Any:
    raise AssertionError


@pytest.fixture
def plugins(camera: Camera) -> dict[str, Any]:
    named = {"name": "toy", "summary": "", "version": "1"}
    curve = load_registry().get(ExtinctionCurve, "zgr23")
    return {
        "loader": SurveyLoader(
            **named, parts=parts, read=read, columns=(), camera=camera, write_simulated=write_visit
        ),
        "loader_settings": None,
        "reference": ReferenceCatalogue(
            **named,
            provides="spectra",
            source_parts=nothing,
            read_sources=nothing,
            feature_parts=nothing,
            read_features=nothing,
            columns=(),
            write_simulated=write_reference,
        ),
        "extinction": ExtinctionCatalogue(
            **named, parts=nothing, read=nothing, columns=(), write_simulated=write_extinction
        ),
        "curve": curve,
        "curve_settings": curve.config(),
        "band": "u",
    }


SETTINGS = SimulationSettings(fields=2, density=800.0, seed=4)


def test_truth_belongs_to_the_files(plugins: dict[str, Any], tmp_path: Path) -> None:
    done: list[int] = []
    summary = simulate_tree(SETTINGS, **plugins, out=tmp_path, progress=done.append)
    truth = pq.read_table(tmp_path / "truth.parquet").to_pandas()
    assert sum(done) == 2
    assert summary["visits"] == 4
    assert summary["star_detections"] == len(truth)
    reference = pq.read_table(tmp_path / "reference.parquet").to_pandas().set_index("source_id")
    assert summary["stars"] == len(reference)
    for file, rows in truth.groupby("file", observed=True):
        assert set(rows.visit) == {f"key of {file}"}
        seen = pq.read_table(tmp_path / file).to_pandas()
        seen["row"] = np.arange(len(seen))  # as the loader counts them
        both = rows.merge(seen, on=["ccd", "row"])
        assert len(both) == len(rows)
        # Positions of the same star, within its proper motion and errors.
        apart = both.dec - reference.loc[both.source_id].ref_dec.to_numpy()
        assert np.quantile(np.abs(apart), 0.9) * 3600 < 0.5


def test_bytes_are_the_same_each_time(plugins: dict[str, Any], tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        simulate_tree(SETTINGS, **plugins, out=tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "two").iterdir())
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("role", ["loader", "reference", "extinction"])
def test_plugins_that_cannot_write_are_named(
    role: str, plugins: dict[str, Any], tmp_path: Path
) -> None:
    plugins[role] = replace(plugins[role], write_simulated=None)
    with pytest.raises(PluginError, match="'toy' cannot write simulated data"):
        simulate_tree(SETTINGS, **plugins, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_loader_that_does_not_find_its_files_is_named(
    plugins: dict[str, Any], tmp_path: Path
) -> None:
    plugins["loader"] = replace(plugins["loader"], parts=lambda config, root: [])
    with pytest.raises(PluginError, match="does not find the visit that it wrote"):
        simulate_tree(SETTINGS, **plugins, out=tmp_path)


class TestCache:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("SCRFRAME_CACHE", str(tmp_path / "cache"))
        return tmp_path / "cache"

    def test_is_filled_once(self, folder: Path) -> None:
        calls: list[Path] = []

        def fill(scratch: Path) -> None:
            calls.append(scratch)
            (scratch / "data").write_text("x")

        first = sample_tree(SETTINGS, "toy", fill)
        assert sample_tree(SETTINGS, "toy", fill) == first
        assert len(calls) == 1
        assert (first / "data").read_text() == "x"
        assert first.parent == folder == cache_folder()
        assert [path.name for path in folder.iterdir()] == [first.name]

    def test_is_keyed_by_settings_loader_and_version(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fill(scratch: Path) -> None:
            return None

        made = {
            sample_tree(SETTINGS, "toy", fill),
            sample_tree(SETTINGS, "other", fill),
            sample_tree(SimulationSettings(fields=2, density=800.0, seed=5), "toy", fill),
            sample_tree(SimulationSettings(fields=2, density=801.0, seed=4), "toy", fill),
        }
        monkeypatch.setattr("scrframe.simulate.cache.GENERATOR_VERSION", GENERATOR_VERSION + 1)
        made.add(sample_tree(SETTINGS, "toy", fill))
        assert len(made) == 5

    def test_failure_leaves_nothing(self, folder: Path) -> None:
        def fill(scratch: Path) -> None:
            (scratch / "half").write_text("x")
            raise RuntimeError("stopped")

        with pytest.raises(RuntimeError, match="stopped"):
            sample_tree(SETTINGS, "toy", fill)
        assert not list(folder.iterdir())

    def test_two_at_a_time_share_the_first(self, folder: Path) -> None:
        barrier = threading.Barrier(2)

        def fill(scratch: Path) -> None:
            barrier.wait(10)
            (scratch / "data").write_text("x")

        found: list[Path] = []
        threads = [
            threading.Thread(target=lambda: found.append(sample_tree(SETTINGS, "toy", fill)))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(found) == 2
        assert found[0] == found[1]
        assert [path.name for path in folder.iterdir()] == [found[0].name]

    def test_folder_that_cannot_be_made_is_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("SCRFRAME_CACHE", str(tmp_path / "file" / "cache"))
        with pytest.raises(DataError, match="set SCRFRAME_CACHE"):
            sample_tree(SETTINGS, "toy", lambda scratch: None)


def test_tables_of_a_visit_are_plain(plugins: dict[str, Any], tmp_path: Path) -> None:
    """What a loader writes: the columns of the contract, sorted by detector."""
    simulate_tree(SETTINGS, **plugins, out=tmp_path)
    table = pq.read_table(tmp_path / "exposure_001.parquet")
    assert table.column_names == [
        "ccd",
        "x",
        "y",
        "ra",
        "dec",
        "mag",
        "mag_err",
        "classification",
    ]
    assert table.column("ccd").to_pylist() == sorted(table.column("ccd").to_pylist())
    assert all(pa.types.is_floating(table.column(name).type) for name in ("x", "ra", "mag"))
