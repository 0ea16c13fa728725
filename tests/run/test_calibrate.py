"""A whole run on a tiny survey: same bits for any workers, products that agree, resuming."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pluggy
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

import scrframe
import scrframe.run.calibrate as calibrate_module
from scrframe.errors import KEPT, CalibrationError, InputChangedError, ResourceError, notes_of
from scrframe.observer import Observer
from scrframe.offsets.joint import fit
from scrframe.plugin import hookimpl, load_registry
from scrframe.plugin.registry import Provider
from scrframe.run.products import with_margins
from scrframe.run.sample import detections
from scrframe.tables import FLAG_BITS

#: What makes a run a matter of a second.
QUICK = ("colour_model.kind=ridge", "offsets.mode=sequential")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def calibrate(tiny, out, *, workers=1, changes=(), **more):
    survey = scrframe.load_survey(tiny.description, overrides=[*tiny.changes, *changes])
    return scrframe.calibrate(survey, data=tiny.data, out=out, workers=workers, **more)


@pytest.mark.parametrize(
    "backend", ["random_forest", pytest.param("lightgbm", marks=pytest.mark.slow)]
)
def test_stars_are_the_same_bits_with_one_and_two_workers(
    tiny_survey, tmp_path, backend, monkeypatch
):
    threads = []

    def fit_design(design, problem, *more):
        threads.append(problem.settings.threads)
        return fit.fit_design(design, problem, *more)

    monkeypatch.setattr("scrframe.run.offsets.joint.fit_design", fit_design)
    files = [
        calibrate(
            tiny_survey,
            tmp_path / str(workers),
            workers=workers,
            changes=[f"colour_model.kind={backend}", "colour_model.lightgbm.num_trees=20"],
        ).path
        / "stars.parquet"
        for workers in (1, 2)
    ]
    assert digest(files[0]) == digest(files[1])
    # The solver has as many threads as there are workers.
    assert threads == sorted(threads) and set(threads) == {1, 2}


def catalogue_rows(folder: Path) -> dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]:
    """Return observed and corrected magnitudes by file and CCD."""
    tables = {}
    for path in sorted(folder.glob("*.fits")):
        with fits.open(path) as hdus:
            for hdu in hdus[1:]:
                columns = (np.array(hdu.data[name]) for name in ("MAG_OBS", "MAG_CAL"))
                tables[path.name, hdu.header["CAMNUM"]] = tuple(columns)
    return tables


def test_catalogues_hold_the_same_corrections_as_the_stars(tiny_run, tiny_survey):
    tables = catalogue_rows(tiny_run.path / "catalogues")
    for path in sorted((tiny_survey.data / "catalogues").glob("*.fits")):
        with fits.open(path) as hdus:
            for hdu in hdus[1:]:
                rows = len(tables[path.name, hdu.header["CAMNUM"]][0])
                assert rows == hdu.header["NAXIS2"]
    stars = pq.read_table(tiny_run.path / "stars.parquet").to_pandas()
    seen = 0
    for (file, ccd), of_ccd in stars.groupby(["file", "ccd"], observed=True):
        observed, corrected = (column[of_ccd["row"]] for column in tables[file, ccd])
        np.testing.assert_array_equal(observed, of_ccd["mag_obs"])
        np.testing.assert_array_equal(corrected, of_ccd["mag_cal"])  # NaN is equal to NaN
        seen += len(of_ccd)
    assert seen == len(stars) > 0


def star_columns(run) -> dict[str, np.ndarray]:
    table = pq.read_table(run.path / "stars.parquet")
    return {name: table.column(name).to_numpy() for name in table.column_names}


def test_offsets_in_stars_add_up(tiny_run):
    stars = star_columns(tiny_run)
    total = sum(stars[f"offset_{name}"] for name in ("visit", "ccd", "map"))
    total = total + tiny_run.summary["offsets"]["u_ZP_mag"]
    # Sums of a few numbers of order one: rounding errors only.
    np.testing.assert_allclose(stars["offset_total"], total, atol=1e-12)
    expected = stars["mag_obs"] + stars["offset_total"]
    np.testing.assert_allclose(stars["mag_cal"], expected, atol=1e-12)
    np.testing.assert_allclose(stars["delta"], stars["mag_model"] - stars["mag_obs"], atol=1e-12)
    few = sum(bit for name, bit in FLAG_BITS.items() if name.startswith("few_stars"))
    np.testing.assert_array_equal(np.isnan(stars["mag_cal"]), (stars["flags"] & few) > 0)


def test_stars_are_in_the_documented_order(tiny_run):
    stars = star_columns(tiny_run)
    order = np.lexsort([stars["row"], stars["ccd"], stars["visit"].astype(str)])
    np.testing.assert_array_equal(order, np.arange(len(order)))


def test_apply_gives_what_the_run_gave(tiny_run, tiny_survey, tmp_path):
    done = scrframe.apply(tiny_run.path, [tiny_survey.data / "catalogues"], out=tmp_path / "again")
    assert len(done) == 4
    for path in sorted((tiny_run.path / "catalogues").glob("*.fits")):
        assert digest(path) == digest(tmp_path / "again" / path.name)


BLOCKED = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"sklearn", "lightgbm", "joblib", "gaiaxpy"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Block())
from scrframe.cli import main
raise SystemExit(main(sys.argv[1:]))
"""


def test_apply_needs_no_machine_learning_library_and_no_gaia_data(tiny_run, tiny_survey, tmp_path):
    catalogue = next((tiny_survey.data / "catalogues").glob("*.fits"))
    alone = tmp_path / "elsewhere" / catalogue.name
    alone.parent.mkdir()
    shutil.copy(catalogue, alone)
    command = ["apply", str(tiny_run.path), str(alone), "--out", str(tmp_path / "out"), "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "out" / alone.name) == digest(
        tiny_run.path / "catalogues" / alone.name
    )


class Heard(Observer):
    """Keeps what it is told."""

    def __init__(self):
        self.messages = []

    def message(self, text):
        self.messages.append(text)


class Stop(Observer):
    """Interrupts a run at the first warning sign of the last step."""

    def step(self, title, total=None):
        if title == "Writing corrected catalogues":
            raise KeyboardInterrupt
        return super().step(title, total)


def test_an_interrupted_run_goes_on_where_it_stopped(tiny_survey, tmp_path, tiny_run, monkeypatch):
    out = tmp_path / "mine"
    with pytest.raises(KeyboardInterrupt):
        calibrate(tiny_survey, out, observer=Stop())
    assert not out.exists()
    # What a worker leaves that is killed while it writes.
    (tmp_path / ".mine.partial" / "run" / "catalogues" / ".part-x").mkdir(parents=True)
    survey = scrframe.load_survey(tiny_survey.description, overrides=tiny_survey.changes)
    chosen = calibrate_module.resolve_plugins(survey, load_registry())
    read = []
    loader = type(chosen.loader)

    def count(self, name):
        value = object.__getattribute__(self, name)
        if name == "read":
            read.append(name)
        return value

    monkeypatch.setattr(loader, "__getattribute__", count)
    finished = calibrate(tiny_survey, out)
    # Once for each of four catalogues: to correct it. The first pass is not repeated.
    assert len(read) == 4
    assert digest(finished.path / "stars.parquet") == digest(tiny_run.path / "stars.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert not list((out / "catalogues").glob(".*"))


@pytest.fixture(scope="module")
def quick_run(tiny_survey, tmp_path_factory):
    return calibrate(tiny_survey, tmp_path_factory.mktemp("quick") / "run", changes=QUICK)


def fails_at_the_offsets(monkeypatch, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(calibrate_module, "solve", fail)


def test_a_run_that_cannot_be_made_leaves_nothing_and_names_the_step(
    tiny_survey, tmp_path, monkeypatch
):
    fails_at_the_offsets(monkeypatch, CalibrationError("no"))
    with pytest.raises(CalibrationError, match=r"^no \(in the step: solve offsets\)$"):
        calibrate(tiny_survey, tmp_path / "new" / "mine")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ZeroDivisionError("no"), ZeroDivisionError),
        (MemoryError(), ResourceError),
        (OSError(errno.ENOSPC, "No space left on device"), ResourceError),
    ],
)
def test_a_run_that_fails_late_goes_on_from_what_is_done(
    tiny_survey, quick_run, tmp_path, monkeypatch, error, told
):
    with monkeypatch.context() as patch, pytest.raises(told) as caught:
        fails_at_the_offsets(patch, error)
        calibrate(tiny_survey, tmp_path / "mine", changes=QUICK)
    assert KEPT in notes_of(caught.value)
    said = [str(caught.value), *notes_of(caught.value)]
    assert any("in the step: solve offsets" in each for each in said)
    if told is ResourceError:
        assert str(tmp_path / "mine") in said[0] or "memory" in said[0]
    with monkeypatch.context() as patch:
        patch.setattr(detections, "_read_fresh", None)  # no catalogue is read again
        heard = Heard()
        finished = calibrate(tiny_survey, tmp_path / "mine", changes=QUICK, observer=heard)
    assert any(line.startswith("going on from ") for line in heard.messages)
    assert digest(finished.path / "stars.parquet") == digest(quick_run.path / "stars.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


class Watcher:
    def __init__(self):
        self.steps = []

    @hookimpl
    def scrframe_step_done(self, step, result):
        self.steps.append(step)


def test_observing_plugins_are_told_of_every_step(tiny_survey, tmp_path):
    registry, watcher = load_registry(), Watcher()
    registry.add(watcher, Provider("watcher", "tests", "tests"))
    calibrate(tiny_survey, tmp_path / "run", registry=registry)
    assert watcher.steps == ["sample", "model", "solution", "catalogues"]


def test_a_hook_that_does_not_exist_is_refused():
    class Wrong:
        @hookimpl
        def scrframe_step_dome(self, step):
            """Misspelt."""

    registry = load_registry()
    with pytest.raises(scrframe.errors.PluginError, match="scrframe_step_dome"):
        registry.add(Wrong(), Provider("wrong", "tests", "tests"))
    assert isinstance(registry.manager, pluggy.PluginManager)


def test_the_summary_accounts_for_the_inputs(tiny_run, tiny_survey):
    summary = json.loads((tiny_run.path / "summary.json").read_text())
    for name, expected in summary["input_sha256"].items():
        assert digest(tiny_survey.data / name) == expected
    inputs = {path.name for path in tiny_survey.data.rglob("*") if path.is_file()}
    assert {Path(name).name for name in summary["input_sha256"]} == inputs - {
        "truth.parquet",
        "simulation.json",
    }
    left = [row["detections"] for row in summary["counts"]["calibration_cuts"]]
    assert left == sorted(left, reverse=True)
    stars = pq.read_table(tiny_run.path / "stars.parquet")
    assert left[-1] == stars.num_rows


def test_the_summary_says_how_far_the_sample_reaches_beyond_the_cuts(tiny_run, tiny_survey):
    counts = tiny_run.summary["counts"]["calibration_cuts"]
    found = {row["cut"]: row["margin_mag"] for row in counts}
    expected = {"mag > 12": 0.3, "mag < 21.5": 0.3, "mag_err < 0.08": 0.3}
    assert {cut: margin for cut, margin in found.items() if margin} == expected
    first = ["read", "magnitude and error known", "not flagged"]
    assert list(found)[:3] == first
    assert set(found) > {*expected, "matched", "xp_snr > 15"}
    changes = [*tiny_survey.changes, "offsets.mode=sequential"]
    survey = scrframe.load_survey(tiny_survey.description, overrides=changes)
    assert not any(row["margin_mag"] for row in with_margins(counts, survey))


def test_the_description_as_used_names_the_data_that_were_used(tiny_survey, tiny_run):
    used = scrframe.load_survey(tiny_run.path / "solution" / "description.yaml")
    assert used.data.root == str(tiny_survey.data)
    assert used.digest() == tiny_run.summary["description_sha256"]


class Between(Observer):
    """Does something when the corrected catalogues are to be written."""

    def __init__(self, act):
        self._act = act
        self.warnings = []

    def warning(self, text):
        self.warnings.append(text)

    @contextmanager
    def step(self, title, total=None):
        if title.startswith("Writing"):
            self._act()
        yield lambda done: None


@pytest.mark.parametrize("act", ["change", "cut", "remove"])
@pytest.mark.parametrize("on_bad_file", ["stop", "skip"])
def test_what_changes_between_the_passes_is_not_corrected(tiny_survey, tmp_path, act, on_bad_file):
    tree = tmp_path / "tree"
    shutil.copytree(tiny_survey.data, tree)
    path = sorted((tree / "catalogues").iterdir())[1]

    def spoil():
        if act == "remove":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[: 1000 if act == "cut" else None])

    survey = scrframe.load_survey(
        tiny_survey.description,
        overrides=[*tiny_survey.changes, *QUICK, f"data.on_bad_file={on_bad_file}"],
    )
    observer, out = Between(spoil), tmp_path / "run"
    if on_bad_file == "stop":
        with pytest.raises(InputChangedError, match=path.name) as caught:
            scrframe.calibrate(survey, data=tree, out=out, workers=1, observer=observer)
        assert KEPT in notes_of(caught.value)
        assert not out.exists()
        return
    run = scrframe.calibrate(survey, data=tree, out=out, workers=1, observer=observer)
    assert list(run.summary["skipped_catalogues"]) == [path.relative_to(tree).as_posix()]
    assert len(run.summary["catalogues"]) == 3
    assert not (out / "catalogues" / path.name).exists()
    assert path.name in observer.warnings[0]


def test_a_damaged_piece_of_work_is_made_anew(tiny_survey, quick_run, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        fails_at_the_offsets(patch, ZeroDivisionError("no"))
        calibrate(tiny_survey, tmp_path / "mine", changes=QUICK)
    pieces = sorted((tmp_path / ".mine.partial" / "work").glob("[dse]*/*.arrow"))
    for piece in pieces:  # a byte in the midst of its numbers
        content = bytearray(piece.read_bytes())
        content[len(content) // 2] ^= 1
        piece.write_bytes(content)
    found = calibrate(tiny_survey, tmp_path / "mine", changes=QUICK)
    assert digest(found.path / "stars.parquet") == digest(quick_run.path / "stars.parquet")
