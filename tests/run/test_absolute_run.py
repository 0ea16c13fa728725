"""A run with an absolute tie: standards from a simulated survey's truth, shifted on purpose."""

from __future__ import annotations

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table

import scrframe
from scrframe.cli.rendering import closing_lines
from scrframe.errors import CalibrationError, DataError
from scrframe.observer import Observer
from scrframe.run.data import validate

SHIFT = 0.7
ERROR = 0.02
LEVELS = (
    "offsets.levels=[{name: visit, kind: group, by: [visit], sd: 60 mmag},"
    " {name: ccd, kind: group, by: [visit, ccd], sd: 20 mmag}]"
)
#: Few rounds: what is tied need not be the best.
MODES = {
    "sequential": ("offsets.mode=sequential", "offsets.max_rounds=2", LEVELS),
    "joint": ("offsets.mode=joint", "offsets.max_rounds=1", "offsets.joint.max_rounds=3", LEVELS),
}
#: Of the mean of independent stars and the shared errors of four visits together.
SIGMAS = 4


def load(tiny, file, *changes):
    block = (
        f"absolute={{kind: standards, system: AB, err: 0.01 mag, min_stars: 20, standards:"
        f" {{file: {file}, columns: {{magnitude: u, error: u_err, source_id: id}}}}}}"
    )
    changes = [*tiny.changes, *changes, *([block] if file else [])]
    return scrframe.load_survey(tiny.description, overrides=changes)


@pytest.fixture(scope="module")
def truth(tiny_survey):
    """Return the true magnitudes of constant stars, by identifier."""
    table = pq.read_table(tiny_survey.data / "truth.parquet")
    column = {name: table.column(name).to_numpy() for name in ("source_id", "mag_true")}
    names, first = np.unique(column["source_id"], return_index=True)
    return dict(zip(names.tolist(), column["mag_true"][first].tolist(), strict=True))


@pytest.fixture(scope="module")
def standards(truth, tmp_path_factory):
    """Return a file of every other star's true magnitude, shifted, with errors."""
    names = sorted(truth)[::2]
    mag = np.array([truth[name] for name in names]) + SHIFT
    mag += np.random.default_rng(4).normal(0, ERROR, len(mag))
    path = tmp_path_factory.mktemp("standards") / "u.csv"
    Table({"id": names, "u": mag, "u_err": np.full(len(mag), ERROR)}).write(path)
    return path


@pytest.fixture(scope="module", params=MODES)
def pair(request, tiny_survey, standards, tmp_path_factory):
    """Return a tied run and the same without the tie."""
    out = tmp_path_factory.mktemp("absolute")
    changes = MODES[request.param]
    more = {"data": tiny_survey.data, "workers": 1}
    tied = scrframe.calibrate(load(tiny_survey, standards, *changes), out=out / "tied", **more)
    return tied, scrframe.calibrate(load(tiny_survey, None, *changes), out=out / "own", **more)


def columns(run, name):
    table = pq.read_table(run.path / name)
    return {name: table.column(name).to_numpy() for name in table.column_names}


def test_the_zero_point_comes_back_by_stars_that_are_no_standards(pair, truth, standards):
    tied, _ = pair
    used = set(Table.read(standards)["id"].tolist())
    stars = columns(tied, "star_catalogue.parquet")
    others = np.array([name not in used for name in stars["source_id"].tolist()])
    others &= np.isfinite(stars["mag_cal"])
    wanted = np.array([truth[name] for name in stars["source_id"].tolist()]) + SHIFT
    left = np.median((wanted - stars["mag_cal"])[others])
    tie = tied.summary["absolute"]
    # The median of as many other stars errs by 1.25 times the mean, independently.
    own = 1.25 * tie["scatter_mag"] / np.sqrt(others.sum())
    assert abs(left) < SIGMAS * np.hypot(tie["err_mag"], own)
    assert tie["err_mag"] < 0.1 * SHIFT


def test_only_the_zero_point_moves_and_residuals_stay(pair):
    tied, own = pair
    shift = tied.summary["absolute"]["shift_mag"]
    after, before = (columns(run, "stars.parquet") for run in (tied, own))
    for name in after:
        if name in ("mag_cal", "mag_model", "delta", "offset_total"):
            np.testing.assert_allclose(after[name], before[name] + shift, atol=1e-12)
        else:
            np.testing.assert_array_equal(after[name], before[name])
    moved = tied.solution.zero_point_mag - own.solution.zero_point_mag
    assert moved == pytest.approx(shift, abs=1e-12)
    assert tied.summary["offsets"]["u_ZP_mag"] == tied.solution.zero_point_mag
    after, before = (columns(run, "star_catalogue.parquet") for run in (tied, own))
    np.testing.assert_allclose(after["residual"], before["residual"], atol=1e-12)


def test_products_carry_the_label(pair):
    for run, label in zip(pair, ("AB", "survey's own"), strict=True):
        for name in ("stars.parquet", "star_catalogue.parquet"):
            assert pq.read_schema(run.path / name).metadata[b"magnitude_system"] == label.encode()
        provenance = json.loads((run.path / "solution" / "provenance.json").read_text())
        assert provenance["magnitude_system"] == run.summary["magnitude_system"] == label
        for path in (run.path / "catalogues").iterdir():
            assert fits.getheader(path)["SCRMSYS"] == label
    tied, own = pair
    assert provenance_of(tied)["absolute"] == tied.summary["absolute"]
    assert provenance_of(own)["absolute"] is None and "absolute" not in own.summary
    metadata = pq.read_schema(tied.path / "stars.parquet").metadata
    assert metadata[b"absolute_source"] == b"u.csv"


def provenance_of(run):
    return json.loads((run.path / "solution" / "provenance.json").read_text())


def test_the_end_of_a_run_says_the_shift_and_the_system(pair):
    tied, own = pair
    tie = tied.summary["absolute"]
    said = [line for line in closing_lines(tied.summary, tied.path) if "AB system" in line]
    assert len(said) == 1
    assert f"{tie['shift_mag']:+.4f} mag" in said[0] and "u.csv" in said[0]
    assert not any("system" in line for line in closing_lines(own.summary, own.path))


def test_apply_gives_the_tied_catalogues(pair, tiny_survey, tmp_path):
    tied, _ = pair
    path = next((tiny_survey.data / "catalogues").glob("*.fits"))
    scrframe.apply(tied.path, [path], out=tmp_path / "again")
    written = (tied.path / "catalogues" / path.name).read_bytes()
    assert (tmp_path / "again" / path.name).read_bytes() == written


def test_standards_are_among_the_hashed_inputs(pair, standards):
    tied, own = pair
    extra = set(tied.summary["input_sha256"]) - set(own.summary["input_sha256"])
    assert [name.rsplit("/", 1)[-1] for name in extra] == [standards.name]


class NoWork(Observer):
    def step(self, title, total=None):
        raise AssertionError(f"work has begun: {title}")


def test_broken_standards_stop_before_any_work(tiny_survey, tmp_path):
    broken = tmp_path / "broken.csv"
    broken.write_text("id,u\n1,15\n")
    survey = load(tiny_survey, broken)
    said = rf"^{re.escape(str(broken))}: has no column u_err; there are: id, u$"
    with pytest.raises(DataError, match=said):
        scrframe.calibrate(survey, data=tiny_survey.data, out=tmp_path / "run", observer=NoWork())
    assert [path.name for path in tmp_path.iterdir()] == ["broken.csv"]
    with pytest.raises(DataError, match=said):
        validate(survey, data=tiny_survey.data, observer=NoWork())


def test_a_passband_that_spectra_do_not_cover_stops_before_the_model(tiny_survey, tmp_path):
    (tmp_path / "u.dat").write_text("330 0\n350 1\n380 0\n")
    survey = scrframe.load_survey(
        tiny_survey.description,
        overrides=[
            *tiny_survey.changes,
            "absolute={kind: passband, system: AB, err: 0.01 mag, passband: {file: "
            f"{tmp_path / 'u.dat'}, wavelength: col1, transmission: col2, wavelength_unit: nm}}}}",
        ],
    )
    with pytest.raises(CalibrationError, match=r"0\.0 per cent of the passband's area") as caught:
        scrframe.calibrate(survey, data=tiny_survey.data, out=tmp_path / "run", workers=1)
    assert "in the step: intrinsic features" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["u.dat"]
