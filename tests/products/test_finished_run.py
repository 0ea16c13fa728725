"""A finished run, opened, says what its files say; one that is no such run is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table

import scrframe
from scrframe.errors import DataError
from scrframe.products.finished_run import RunProducts, open_run

MODES = ("joint", "sequential")


@pytest.fixture(scope="module")
def runs(tiny_survey, tiny_run, tmp_path_factory) -> dict[str, Path]:
    """Return finished runs of the tiny survey by mode."""
    out = tmp_path_factory.mktemp("runs") / "sequential"
    changes = (*tiny_survey.changes, "offsets.mode=sequential")
    survey = scrframe.load_survey(tiny_survey.description, overrides=changes)
    scrframe.calibrate(survey, data=tiny_survey.data, out=out, workers=1)
    return {"joint": tiny_run.path, "sequential": out}


@pytest.fixture(params=MODES)
def opened(request, runs) -> RunProducts:
    return open_run(runs[request.param])


@pytest.fixture
def copied(runs, tmp_path) -> Path:
    """Return a copy of a run that a test may damage."""
    shutil.copytree(runs["sequential"], tmp_path / "run")
    return tmp_path / "run"


def test_what_is_said_of_the_run(opened, runs):
    assert opened.mode == ("sequential" if opened.path == runs["sequential"] else "joint")
    assert opened.note == opened.summary["data_note"] != ""
    assert opened.survey.digest() == opened.summary["description_sha256"]
    assert opened.camera is not None
    data = opened.data()
    assert (data.band, data.reference_band) == (opened.survey.band, "G_BP")
    assert (data.exposures is None) == (data.photometry is None) == (opened.mode == "sequential")


def test_columns_are_those_of_the_file(opened):
    data, table = opened.data(), pq.read_table(opened.path / "stars.parquet")
    assert set(data.stars) == {"visit_code", *table.column_names} - {"file", "visit"}
    for name in set(data.stars) - {"visit_code"}:
        assert np.array_equal(data.star(name), table[name].to_numpy(), equal_nan=name != "flags")
    names = np.array(data.visits)[data.visit_code]
    assert names.tolist() == table["visit"].to_pylist()
    assert data.visits == opened.solution.visits


def test_columns_are_read_once_and_stay(opened):
    data = opened.data()
    first = data.star("delta")
    assert data.star("delta") is first
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1.0
    with pytest.raises(DataError, match="no column no_such"):
        data.star("no_such")


def test_unread_columns_read_anew(opened):
    stars = opened.data().stars
    values = stars["mag_model"]
    anew = stars.unread()
    assert anew["mag_model"] is not values and np.array_equal(anew["mag_model"], values)
    assert stars["mag_model"] is values


def test_visits_are_those_of_the_truth(opened, tiny_survey):
    data = opened.data()
    truth = pq.read_table(Path(tiny_survey.data) / "truth.parquet").select(["visit", "field"])
    field = dict(zip(*(truth[name].to_pylist() for name in ("visit", "field")), strict=True))
    visits = data.visit_table
    assert [str(one) for one in visits.field] == [field[visit] for visit in visits.visit]
    assert list(data.fields) == sorted(set(field.values()))
    assert ((visits.airmass >= 1) & (visits.airmass < 3)).all()
    code = data.visit_code
    assert np.array_equal(visits.mjd[code], data.star("mjd"))
    far = np.hypot(
        (visits.ra_deg[code] - data.star("ra_deg")) * np.cos(np.deg2rad(visits.dec_deg[code])),
        visits.dec_deg[code] - data.star("dec_deg"),
    )
    assert far.max() < 0.8  # half the diagonal of the camera
    # 1 October of the season's year comes before the visit, that of the next year after it.
    october = [np.datetime64(f"{year}-10-01") for year in visits.season]
    day = np.datetime64("1858-11-17") + visits.mjd.astype(int).astype("timedelta64[D]")
    since = (day - np.array(october)) / np.timedelta64(1, "D")
    assert ((since >= 0) & (since < 366)).all()


def test_offsets_of_visits_are_those_in_the_magnitudes(opened):
    data = opened.data()
    offset = data.visit_table.offset_mag[data.visit_code]
    np.testing.assert_allclose(offset, data.star("offset_visit"), rtol=0, atol=1e-12)
    table = Table.read(opened.path / "solution" / "offsets_visit.ecsv")
    rows = [data.visits.index(str(visit)) for visit in table["visit"]]
    assert np.array_equal(data.visit_table.err_mag[rows], table["offset_err"])
    assert np.array_equal(data.visit_table.count[rows], table["n_detections"])


def test_levels_are_those_of_the_tables(opened):
    data = opened.data()
    assert list(data.levels) == [level.fitted.name for level in opened.solution.levels]
    for name, level in data.levels.items():
        table = Table.read(opened.path / "solution" / f"offsets_{name}.ecsv")
        assert np.array_equal(level.offset_mag, table["offset"], equal_nan=True)
        for label, values in level.labels.items():
            assert values.tolist() == table[label].tolist()


def test_corrections_sum_to_the_total(opened):
    data = opened.data()
    parts = sum(data.star(name) for name in data.correction_columns())
    np.testing.assert_allclose(
        parts + data.zero_point_mag, data.star("offset_total"), rtol=0, atol=1e-12
    )
    residual = data.star("mag_model") - data.star("mag_cal")
    np.testing.assert_allclose(data.residual, residual, rtol=0, atol=1e-12)


def test_reference_magnitudes_come_back(opened, tiny_survey):
    data = opened.data()
    files = sorted((Path(tiny_survey.data) / "gaia_source").iterdir())
    gaia = pa.concat_tables(
        [pq.read_table(file, columns=["source_id", "phot_bp_mean_mag"]) for file in files]
    )
    known = dict(
        zip(gaia["source_id"].to_pylist(), gaia["phot_bp_mean_mag"].to_pylist(), strict=True)
    )
    wanted = [known[source] for source in data.star("source_id").tolist()]
    np.testing.assert_allclose(data.reference_mag(), wanted, rtol=0, atol=1e-9)


def test_weights_and_test_stars(opened):
    data = opened.data()
    assert data.weight.shape == data.in_solve.shape == data.ccd.shape
    assert not data.weight[~data.in_solve].any() and (data.weight <= 1).all()
    if opened.mode == "sequential":
        assert data.in_solve.all() and (data.weight == 1).all()
    judging = np.unique(data.star("source_id")[data.star("in_test")])
    assert len(judging) == opened.summary["colour_model"]["test"]["count"]
    assert data.star_code.max() + 1 == len(np.unique(data.star("source_id")))


def remove(name: str) -> Callable[[Path], None]:
    return lambda run: (run / name).unlink()


def write(name: str, text: str) -> Callable[[Path], None]:
    return lambda run: (run / name).write_text(text)


def truncate(run: Path) -> None:
    content = (run / "stars.parquet").read_bytes()
    (run / "stars.parquet").write_bytes(content[: len(content) // 2])


def other_visits(run: Path) -> None:
    table = pq.read_table(run / "stars.parquet")
    names = pa.array(["elsewhere"] * table.num_rows).dictionary_encode()
    place = table.column_names.index("visit")
    pq.write_table(table.set_column(place, "visit", names), run / "stars.parquet")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (remove("summary.json"), "no finished run"),
        (write("summary.json", "{"), "summary.json: is damaged"),
        (write("summary.json", "[]"), "summary.json: is damaged"),
        (write("summary.json", "{}"), "summary.json: is damaged"),
        (remove("solution/provenance.json"), "not found"),
        (remove("solution/description.yaml"), "description.yaml"),
        (write("solution/description.yaml", "name: [1"), "description.yaml"),
        (remove("solution/visits.ecsv"), "visits.ecsv: not found"),
        (write("solution/visits.ecsv", "visit field\na b\n"), "visits.ecsv"),
        (remove("stars.parquet"), "stars.parquet: not found"),
        (write("stars.parquet", "no parquet"), "stars.parquet: is damaged"),
        (truncate, "stars.parquet: is damaged"),
        (other_visits, "visits that its solution does not know"),
    ],
)
def test_damage_is_said_in_one_line(copied, damage, says):
    damage(copied)
    with pytest.raises(DataError, match=says) as caught:
        assert open_run(copied).data().visit_code.size
    assert "\n" not in str(caught.value)
    assert str(copied) in str(caught.value)


def test_no_directory_and_no_run(tmp_path):
    with pytest.raises(DataError, match="no such directory"):
        open_run(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no finished run"):
        open_run(tmp_path)
