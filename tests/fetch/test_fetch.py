"""What is fetched calibrates as the files do that the archives were filled with."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import scrframe
from scrframe.errors import ConfigError


def stars_wanted(tiny_run) -> set[int]:
    return set(pq.read_table(tiny_run.path / "stars.parquet")["source_id"].to_pylist())


def held(root, folder: str) -> np.ndarray:
    paths = sorted((root / folder).glob("*/*.parquet"))
    paths = [path for path in paths if not path.name.startswith("_")]
    return np.concatenate([pq.read_table(path)["source_id"].to_numpy() for path in paths])


def same(mine: np.ndarray, other: np.ndarray) -> bool:
    """Return whether all values are the same, missing ones too."""
    return np.array_equal(mine, other, equal_nan=mine.dtype.kind == "f")


def by_star(table: pa.Table, stars: np.ndarray) -> pa.Table:
    """Return the rows of stars, which ascend."""
    ids = table["source_id"].to_numpy()
    order = np.argsort(ids, kind="stable")
    return table.take(pa.array(order[np.searchsorted(ids[order], stars)])).combine_chunks()


@pytest.mark.parametrize("wished", [None, "tables", "folders"])
def test_what_comes_is_what_the_archive_holds(fetched, bare_root, few, wished):
    """Bit by bit, whichever the way; of text spectra in the archive's own precision."""
    fetched(wished=wished)
    for folder, name in (
        ("gaia_source", "gaiadr3.gaia_source"),
        ("gaia_xp", "gaiadr3.xp_continuous_mean_spectrum"),
    ):
        files = sorted(f for f in (bare_root / folder).glob("*/*.parquet") if f.name[0] != "_")
        found = pa.concat_tables(map(pq.read_table, files)).combine_chunks()
        ids = found["source_id"].to_numpy()
        assert len(ids) > 20
        mine, held_there = by_star(found, np.sort(ids)), by_star(few[name], np.sort(ids))
        for column in mine.column_names:
            ours, theirs = (each[column].combine_chunks() for each in (mine, held_there))
            if pa.types.is_list(ours.type):
                ours, theirs = ours.flatten(), theirs.flatten()
            ours, theirs = (each.to_numpy(zero_copy_only=False) for each in (ours, theirs))
            assert same(ours.astype(theirs.dtype), theirs), column
    with h5py.File(next((bare_root / "zgr23").glob("*.h5"))) as file:
        ids = file["gdr3_source_id"][:]
        theirs = by_star(few["zgr23.stellar_params"], np.sort(ids))["stellar_params_est"]
        ours = file["stellar_params_est"][:][np.argsort(ids)]
        assert np.array_equal(ours.ravel(), theirs.combine_chunks().flatten().to_numpy())


@pytest.mark.slow
@pytest.mark.parametrize(("every_star", "wished"), [(True, None), (True, "tables")])
def test_calibrates_alike(fetched, bare_root, tiny_survey, tiny_run, tmp_path, wished):
    fetched(wished=wished)
    survey = scrframe.load_survey(tiny_survey.description, overrides=tiny_survey.changes)
    run = scrframe.calibrate(survey, data=bare_root, out=tmp_path / "run", workers=1)
    ours, theirs = (pq.read_table(path / "stars.parquet") for path in (run.path, tiny_run.path))
    assert ours.schema.equals(theirs.schema)
    for name in ours.column_names:
        assert same(ours[name].to_numpy(), theirs[name].to_numpy()), name
    said = json.loads((run.path / "summary.json").read_text())["fetched"]
    assert {each["product"] for each in said} == {"sources", "spectra", "extinctions"}
    assert all(each["release"] == "dr3" and each["date"] for each in said)


def test_files_are_filtered_on_arrival(fetched, bare_root, services, few, tiny_run):
    fetched(wished="folders")
    spectra = few["gaiadr3.xp_continuous_mean_spectrum"].slice(0, 60)["source_id"].to_numpy()
    found = held(bare_root, "gaia_xp")
    assert len(found) and set(found) <= set(spectra)
    assert stars_wanted(tiny_run) & set(spectra) <= set(found)
    assert len(held(bare_root, "gaia_source")) < len(few["gaiadr3.gaia_source"])
    assert not list(bare_root.rglob("*.gz"))


def test_nothing_is_asked_twice(fetched, bare_root, services):
    fetched()
    before = {path: path.read_bytes() for path in bare_root.rglob("*") if path.is_file()}
    services.seen.clear()
    fetched()
    assert services.seen == []
    assert before == {path: path.read_bytes() for path in bare_root.rglob("*") if path.is_file()}


def test_only_what_is_new_is_asked_for(fetched, bare_root, services, tmp_path):
    catalogues = sorted((bare_root / "catalogues").iterdir())
    away = tmp_path / "away.fits"
    catalogues[-1].rename(away)
    catalogues[-2].rename(tmp_path / "away2.fits")
    fetched()
    first = {name: set(held(bare_root, name)) for name in ("gaia_source", "gaia_xp")}
    away.rename(catalogues[-1])
    (tmp_path / "away2.fits").rename(catalogues[-2])
    fetched()
    for name, before in first.items():
        found = held(bare_root, name)
        assert len(found) == len(set(found)) > len(before)
        assert before < set(found)


def test_a_trial_is_small_and_no_coverage(fetched, bare_root):
    fetched(limit=20)
    assert len(held(bare_root, "gaia_source")) == 20
    assert 0 < len(held(bare_root, "gaia_xp")) <= 20
    fetched()
    found = held(bare_root, "gaia_source")
    assert len(found) == len(set(found)) > 60


def test_stars_without_are_told_from_those_not_delivered(fetched, bare_root, services, few):
    spectra = few["gaiadr3.xp_continuous_mean_spectrum"]["source_id"].to_numpy()
    fetched(only=("sources",))
    lost = np.intersect1d(spectra, held(bare_root, "gaia_source"))[::7]
    services.lacking = set(lost.tolist())
    services.tables = {
        **services.tables,
        "zgr23.stellar_params": few["zgr23.stellar_params"].slice(5),
    }
    done = {step.wanted.product: found for step, found in fetched()}
    asked = set(done["spectra"].undelivered.tolist())
    assert asked and asked <= set(lost.tolist())
    assert len(done["extinctions"].undelivered) == 0
    assert done["extinctions"].without > 0


def test_places_that_would_not_be_read_are_refused(bare_root, tiny_survey):
    from scrframe.fetch.run import Fetching, Order, fetch_data

    changes = (*tiny_survey.changes, "reference.gaia_xp.sources=gaia_source/*.fits")
    survey = scrframe.load_survey(tiny_survey.description, overrides=changes)
    with pytest.raises(ConfigError, match=r"does not read what is fetched.*widen it"):
        fetch_data(Fetching(survey, Order(data=str(bare_root))))


def test_what_a_kill_at_the_end_leaves_is_cleared_up(fetched, bare_root, services, monkeypatch):
    """All is in its place, and the process dies before it has cleared up."""
    from scrframe.fetch import carry_out

    steps = [step for step, _ in fetched()]
    expected = set(bare_root.rglob("*"))
    for step in steps:
        shutil.rmtree(step.place.folder)

    class KilledError(BaseException):
        pass

    def killed(final) -> None:
        raise KilledError

    for step in steps:
        with monkeypatch.context() as patch, pytest.raises(KilledError):
            patch.setattr(carry_out, "_tidy", killed)
            fetched(only=(step.wanted.product,))
        for hidden in list(step.place.folder.glob(".*.fetch")):
            (step.place.folder / f"{hidden.name}.lock").touch()  # which a process that dies leaves
    assert set(bare_root.rglob("*")) > expected
    services.seen.clear()
    fetched()
    assert services.seen == []
    assert set(bare_root.rglob("*")) == expected
