"""HATS: read in place, fetched by partitions, and written so that lsdb opens it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import scrframe
from scrframe.builtin.reference_catalogues.gaia.plugin import GAIA_XP, reaches
from scrframe.io import matching_files, open_tables
from scrframe.tables import Footprint


def partition(root: Path, table: pa.Table, order: int, key: str = "source_id") -> None:
    """Write a table as HATS by hand, as its note describes the layout; by the pixel of its key."""
    pixel = table[key].to_numpy() >> 59 - 2 * order
    for number in np.unique(pixel):
        folder = root / "dataset" / f"Norder={order}" / f"Dir={number // 10_000 * 10_000}"
        folder.mkdir(parents=True, exist_ok=True)
        rows = table.filter(pa.array(pixel == number))
        pq.write_table(rows, folder / f"Npix={number}.parquet")
    schema = table.schema
    pq.write_metadata(schema, root / "dataset" / "_common_metadata")
    pq.write_table(table.slice(0, 1), root / "dataset" / "data_thumbnail.parquet")
    pq.write_table(table.slice(0, 1), root / "data_thumbnail.parquet")
    lines = [f"{order},{number}" for number in np.unique(pixel)]
    (root / "partition_info.csv").write_text("\n".join(["Norder,Npix", *lines, ""]))
    (root / "hats.properties").write_text(
        f"obs_collection={root.name}\ndataproduct_type=object\nhats_nrows={len(table)}\n"
        "hats_col_ra=ra\nhats_col_dec=dec\nhats_npix_suffix=.parquet\n"
    )


@pytest.fixture
def as_hats(gaia, tiny_survey, tmp_path) -> Path:
    """Return a data root whose sources and spectra are HATS catalogues."""
    root = tmp_path / "partitioned"
    shutil.copytree(tiny_survey.data / "catalogues", root / "catalogues")
    extinctions = gaia["zgr23.stellar_params"]
    names = ["gdr3_source_id", *extinctions.column_names[1:]]
    partition(root / "zgr23", extinctions.rename_columns(names), 3, "gdr3_source_id")
    sources = gaia["gaiadr3.gaia_source"]
    partition(root / "gaia_source", sources, 4)  # the folder of the pattern is the catalogue
    spectra = gaia["gaiadr3.xp_continuous_mean_spectrum"]
    partition(root / "gaia_xp" / "collection" / "main", spectra, 3)
    partition(root / "gaia_xp" / "collection" / "margin", spectra.slice(0, 5), 3)
    (root / "gaia_xp" / "collection" / "collection.properties").write_text(
        "obs_collection=xp\nhats_primary_table_url=main\nall_margins=margin\n"
    )
    return root


def test_only_rows_are_data(as_hats, gaia):
    for pattern, name in (
        ("gaia_source/*", "gaiadr3.gaia_source"),
        ("gaia_source", "gaiadr3.gaia_source"),
        ("gaia_xp/*", "gaiadr3.xp_continuous_mean_spectrum"),
        ("gaia_xp/**/*.parquet", "gaiadr3.xp_continuous_mean_spectrum"),
    ):
        files = matching_files(pattern, as_hats)
        assert all("Npix=" in path.name for path in files), pattern
        rows = sum(sum(table.row_groups) for path in files for table in open_tables(path))
        assert rows == len(gaia[name]), pattern


def test_partitions_elsewhere_are_not_opened(as_hats, gaia):
    table = gaia["gaiadr3.gaia_source"]
    ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
    footprint = Footprint(ra[:1], dec[:1], 0.2)
    config = GAIA_XP.config()
    parts = GAIA_XP.source_parts(config, as_hats)
    assert len(parts) > 1
    whole = [GAIA_XP.read_sources(part, config, footprint, ()) for part in parts]
    expected = {star for stars in whole for star in stars["source_id"].tolist()}
    spoilt = 0
    for part in parts:
        order, pixel = (int(word.split("=")[1].split(".")[0]) for word in part.path.parts[-3::2])
        if not reaches(footprint, order, pixel):
            part.path.write_bytes(b"not looked at")
            spoilt += 1
    assert spoilt
    again = [GAIA_XP.read_sources(part, config, footprint, ()) for part in parts]
    assert {star for stars in again for star in stars["source_id"].tolist()} == expected
    assert expected


@pytest.mark.slow
def test_a_root_of_hats_calibrates_alike(as_hats, tiny_survey, tiny_run, tmp_path):
    changes = (*tiny_survey.changes, "extinction.values.zgr23.files=zgr23")
    survey = scrframe.load_survey(tiny_survey.description, overrides=changes)
    run = scrframe.calibrate(survey, data=as_hats, out=tmp_path / "run", workers=1)
    ours, theirs = (pq.read_table(path / "stars.parquet") for path in (run.path, tiny_run.path))
    for name in ours.column_names:
        mine, other = ours[name].to_numpy(), theirs[name].to_numpy()
        assert np.array_equal(mine, other, equal_nan=mine.dtype.kind == "f"), name


def test_fetched_by_partitions(as_hats, fetched, bare_root):
    pytest.importorskip("hats", reason="the hats library is not installed: scrframe[hats]")
    fetched(wished=str(as_hats / "gaia_source"), only=("sources",))
    fetched(wished=str(as_hats / "gaia_xp" / "collection" / "main"), only=("spectra",))
    (sources,) = {path.parent for path in (bare_root / "gaia_source").rglob("n4-*.parquet")}
    (spectra,) = {path.parent for path in (bare_root / "gaia_xp").rglob("n3-*.parquet")}
    ids = [
        np.concatenate(
            [pq.read_table(f)["source_id"].to_numpy() for f in folder.glob("n*.parquet")]
        )
        for folder in (sources, spectra)
    ]
    assert len(ids[1]) > 100
    assert set(ids[1]) <= set(ids[0])


def test_lsdb_opens_what_is_written(tiny_run, tmp_path):
    lsdb = pytest.importorskip("lsdb", reason="lsdb is not installed (group hats)")
    from scrframe.cli import main

    assert main(["export", str(tiny_run.path), "--hats", str(tmp_path / "hats"), "--quiet"]) == 0
    stars = pq.read_table(tiny_run.path / "star_catalogue.parquet")
    opened = lsdb.open_catalog(tmp_path / "hats" / "stars").compute()
    assert len(opened) == len(stars)
    assert set(opened["source_id"]) == set(stars["source_id"].to_pylist())
    detections = lsdb.open_catalog(tmp_path / "hats" / "detections")
    rows = sum(
        sum(len(block) for block in table.blocks(table.names[:1]))
        for path in matching_files("catalogues/**/*", tiny_run.path)
        for table in open_tables(path, hdu="all")
    )
    assert len(detections.compute()) == rows
    ra, dec = float(stars["ra_deg"][0].as_py()), float(stars["dec_deg"][0].as_py())
    near = detections.cone_search(ra, dec, radius_arcsec=1.5).compute()
    assert len(near) >= 1


def test_pixels_are_divided_until_they_are_small():
    from scrframe.export.hats import divided

    rng = np.random.default_rng(9)
    index = np.concatenate([rng.integers(0, 12 << 58, 2000), rng.integers(5 << 50, 6 << 50, 3000)])
    pixels = divided(index, 200)
    counts = [int((index >> 2 * (29 - order) == pixel).sum()) for order, pixel in pixels]
    assert sum(counts) == len(index)  # each row is in one pixel
    assert max(counts) <= 200 and min(counts) > 0
