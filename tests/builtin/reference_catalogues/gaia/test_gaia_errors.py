"""Bad Gaia files get one line that names the file and what is wrong."""

import gzip
import pickle
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from pydantic import ValidationError

from scrframe.builtin.reference_catalogues.gaia.plugin import GAIA_XP
from scrframe.errors import DataError
from scrframe.plugin import load_registry
from scrframe.plugin.descriptors import ReferenceCatalogue
from scrframe.tables import Footprint


def source_file(tree):
    return tree / "gaia_source" / "GaiaSource_simulated.parquet"


def spectrum_file(tree):
    return tree / "gaia_xp" / "XpContinuousMeanSpectrum_simulated_000.parquet"


def rewrite(path, **changes):
    """Write a Parquet file anew with changed columns; None drops one."""
    table = pq.read_table(path)
    for name, values in changes.items():
        at = table.column_names.index(name)
        table = table.remove_column(at)
        if values is not None:
            table = table.append_column(name, values)
    pq.write_table(table, path)


def assert_one_line(caught, *said):
    message = str(caught.value)
    assert "\n" not in message
    for text in said:
        assert str(text) in message


def test_nothing_there(tmp_path):
    config = GAIA_XP.config()
    with pytest.raises(DataError) as caught:
        GAIA_XP.source_parts(config, tmp_path)
    assert_one_line(caught, tmp_path / "gaia_source", "no file of gaia_source", "gaia_xp.sources")
    (tmp_path / "gaia_xp").mkdir()
    with pytest.raises(DataError) as caught:
        GAIA_XP.feature_parts(config, tmp_path)
    assert_one_line(caught, "xp_continuous_mean_spectrum or xp_sampled", "gaia_xp.spectra")


@pytest.mark.parametrize("column", ["ra", "pmra", "phot_bp_mean_mag", "phot_bp_rp_excess_factor"])
def test_source_column_missing(tree, column, read_sources):
    rewrite(source_file(tree), **{column: None})
    with pytest.raises(DataError) as caught:
        read_sources(tree)
    assert_one_line(caught, source_file(tree), "is no gaia_source", f"column {column};")


def test_renamed_columns(tree, stars, read_sources):
    table = pq.read_table(source_file(tree))
    names = [{"ra": "RAJ2000"}.get(name, name) for name in table.column_names]
    pq.write_table(table.rename_columns(names), source_file(tree))
    with pytest.raises(DataError, match=r"lacks the column ra;"):
        read_sources(tree)
    assert len(read_sources(tree, columns={"ra": "RAJ2000"})) == len(stars.coefficients)


def test_spectrum_column_missing(tree, read_sources, read_features):
    found = read_sources(tree)
    rewrite(spectrum_file(tree), rp_coefficient_errors=None)
    with pytest.raises(DataError) as caught:
        read_features(tree, found)
    assert_one_line(
        caught, spectrum_file(tree), "is no xp_continuous", "column rp_coefficient_errors;"
    )


def test_other_product_in_the_folder_is_passed_over(tree, read_sources, read_features):
    found = read_sources(tree)
    shutil.copy(source_file(tree), tree / "gaia_xp")
    assert sum(map(len, read_features(tree, found))) == len(found)


def test_both_products_ask_for_a_choice(tree, read_sources, read_features):
    found = read_sources(tree)
    sampled = {
        "source_id": found["source_id"],
        "flux": pa.array(list(np.ones((len(found), 343)))),
        "flux_error": pa.array(list(np.ones((len(found), 343)))),
    }
    pq.write_table(pa.table(sampled), tree / "gaia_xp" / "sampled.parquet")
    with pytest.raises(DataError, match=r"both continuous and sampled.*gaia_xp\.product"):
        read_features(tree, found)
    (chosen,) = read_features(tree, found, product="sampled")
    assert (chosen.flux == 1).all()


def garbage(path):
    path.write_bytes(bytes(range(256)) * 20)


def some_text(path):
    path.write_text("These are not\nthe stars you are looking for\n")


def empty(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def hdf5(path):
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(1000))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (garbage, "is no Parquet, FITS, VOTable, HDF5, CSV or ECSV file"),
        (some_text, "lacks the column"),
        (empty, "the file is empty"),
        (cut, "is not a readable Parquet file"),
        (hdf5, "cannot be read as HDF5"),
    ],
)
@pytest.mark.parametrize("which", [source_file, spectrum_file])
def test_damaged_files(tree, which, damage, message, read_sources):
    damage(which(tree))
    parts = GAIA_XP.source_parts if which is source_file else GAIA_XP.feature_parts
    with pytest.raises(DataError) as caught:
        parts(GAIA_XP.config(), tree)
    assert_one_line(caught, which(tree), message)


def as_fits(table, path):
    Table({name: table[name].to_numpy() for name in table.column_names}).write(path, format="fits")


def as_votable(table, path):
    Table({name: table[name].to_numpy() for name in table.column_names}).write(
        path, format="votable"
    )


def as_csv_gz(table, path):
    rows = zip(*(table[name].to_pylist() for name in table.column_names), strict=True)
    lines = [",".join(table.column_names), *(",".join(map(str, row)) for row in rows)]
    with gzip.open(path, "wt") as handle:
        handle.write("\n".join(lines) + "\n")


@pytest.mark.parametrize("write", [as_fits, as_votable, as_csv_gz])
def test_truncated_files_of_other_formats(tree, write, read_sources):
    table = pq.read_table(source_file(tree))
    source_file(tree).unlink()
    path = tree / "gaia_source" / "answer"
    write(pa.concat_tables([table] * 20), path)
    assert len(read_sources(tree)) == 20 * 36
    cut(path)
    with pytest.raises(DataError) as caught:
        read_sources(tree)
    assert_one_line(caught, path)


def test_word_where_a_number_is_due(tree, read_sources):
    table = pq.read_table(source_file(tree))
    source_file(tree).unlink()
    path = tree / "gaia_source" / "answer.csv.gz"
    as_csv_gz(table, path)
    text = gzip.decompress(path.read_bytes()).decode().replace("2016.0", "soon", 1)
    path.write_bytes(gzip.compress(text.encode()))
    with pytest.raises(DataError) as caught:
        read_sources(tree)
    assert_one_line(caught, path, "soon")


def test_array_of_wrong_length(tree, read_sources, read_features):
    found = read_sources(tree)
    arrays = pq.read_table(spectrum_file(tree))["bp_coefficients"].to_pylist()
    arrays[11] = arrays[11][:54]
    rewrite(spectrum_file(tree), bp_coefficients=pa.array(arrays))
    with pytest.raises(DataError) as caught:
        read_features(tree, found)
    assert_one_line(
        caught,
        spectrum_file(tree),
        "column bp_coefficients",
        "array of 54 values in row 11",
        "expected 55",
    )


def test_column_of_numbers_where_arrays_are_due(tree, read_sources, read_features):
    found = read_sources(tree)
    rewrite(spectrum_file(tree), bp_coefficients=pa.array(np.ones(len(found))))
    with pytest.raises(DataError, match="holds double, not arrays of numbers"):
        read_features(tree, found)


def footprint_of(stars):
    table = stars.table
    return Footprint(table["ref_ra"].to_numpy(), table["ref_dec"].to_numpy(), 0.1)


def test_only_stars_in_the_footprint(tree, stars, read_sources):
    ra, dec = stars.table["ref_ra"].to_numpy(), stars.table["ref_dec"].to_numpy()
    near = Footprint(ra[[4]], dec[[4]], 0.5)
    found = read_sources(tree, near)
    inside = near.contains(ra, dec) & stars.table["has_spectrum"].to_numpy()
    np.testing.assert_array_equal(found["source_id"], stars.table["source_id"].to_numpy()[inside])
    assert stars.table["source_id"][4].as_py() in found["source_id"]


@pytest.mark.parametrize(
    ("unit", "ra_scale", "dec_scale"),
    [("radians", np.pi / 180, np.pi / 180), ("hours", 1 / 15, 1)],
)
def test_positions_in_another_unit(tree, stars, read_sources, unit, ra_scale, dec_scale):
    table = pq.read_table(source_file(tree))
    rewrite(
        source_file(tree),
        ra=pa.array(table["ra"].to_numpy() * ra_scale),
        dec=pa.array(table["dec"].to_numpy() * dec_scale),
    )
    with pytest.raises(DataError) as caught:
        read_sources(tree, footprint_of(stars))
    assert_one_line(caught, source_file(tree), f"ra is in {unit}, not degrees")


def test_positions_out_of_range(tree, stars, read_sources):
    table = pq.read_table(source_file(tree))
    rewrite(source_file(tree), ra=pa.array(table["ra"].to_numpy() * 3600))
    with pytest.raises(DataError, match="positions are no degrees: ra from"):
        read_sources(tree, footprint_of(stars))


def test_declared_unit_is_believed(tree, read_sources):
    table = pq.read_table(source_file(tree))
    source_file(tree).unlink()
    stored = Table({name: table[name].to_numpy() for name in table.column_names})
    stored["ra"].unit = "rad"
    stored.write(tree / "gaia_source" / "answer.fits")
    with pytest.raises(DataError, match="column ra is in rad; expected degrees"):
        read_sources(tree)


def test_other_release_has_no_operator(tree, read_sources, read_features):
    found = read_sources(tree)
    with pytest.raises(DataError, match=r"release is DR4.*only for DR3"):
        read_features(tree, found, release="DR4")


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"start": "391 nm"}, "start is not on the samples"),
        ({"stop": "995 nm"}, "stop that is not a multiple of 10 nm"),
        ({"start": "332 nm"}, "must lie within 336 and 1020 nm"),
        ({"start": "992 nm", "stop": "392 nm"}, "not above its start"),
    ],
)
def test_grid_off_the_samples(grid, message):
    with pytest.raises(ValidationError, match=message):
        GAIA_XP.config(grid=grid)


def test_unknown_column_to_rename():
    with pytest.raises(ValidationError, match="renames RA, which is not read; known are: bp_co"):
        GAIA_XP.config(columns={"RA": "RAJ2000"})


def test_star_listed_twice_counts_once(tree, read_sources, read_features):
    found = read_sources(tree)
    table = pq.read_table(spectrum_file(tree))
    doubled = pa.concat_tables([table[:20], table[5:8], table[20:]])
    pq.write_table(doubled, spectrum_file(tree))
    (spectra,) = read_features(tree, found)
    np.testing.assert_array_equal(spectra.source_id, found["source_id"])


def test_parts_that_cannot_hold_a_star_are_not_opened(tree, read_sources, read_features):
    """Files whose name or footer excludes the stars wanted are skipped, damaged or not."""
    found = read_sources(tree)
    config = GAIA_XP.config()
    (part,) = GAIA_XP.feature_parts(config, tree)
    low = found.take(np.array([0])).with_columns({"source_id": np.array([1])})
    spectrum_file(tree).unlink()
    assert len(GAIA_XP.read_features(part, config, low, ())) == 0
    with pytest.raises(DataError):
        GAIA_XP.read_features(part, config, found, ())


def test_parts_do_not_depend_on_who_reads_them(tree, read_sources, read_features):
    """Row groups become parts of fixed size, and parts travel to workers."""
    found = read_sources(tree)
    table = pq.read_table(spectrum_file(tree))
    many = pa.concat_tables([table] * 1000).remove_column(
        table.column_names.index("bp_coefficients")
    )
    many = many.select(["source_id"])
    for name in (
        "bp_coefficients",
        "bp_coefficient_errors",
        "rp_coefficients",
        "rp_coefficient_errors",
    ):
        many = many.append_column(name, pa.array(np.zeros(len(many))))
    pq.write_table(many, spectrum_file(tree), row_group_size=5000)
    parts = GAIA_XP.feature_parts(GAIA_XP.config(), tree)
    assert [part.key.rpartition("#")[2] for part in parts] == ["0-1", "2-3", "4-5", "6-7"]
    assert len({part.key for part in parts}) == len(parts)
    for part in parts:
        assert pickle.loads(pickle.dumps(part)) == part
    assert len(found)


def test_check_reads_a_little(tree):
    config = GAIA_XP.config()
    for part in (*GAIA_XP.source_parts(config, tree), *GAIA_XP.feature_parts(config, tree)):
        GAIA_XP.check(part, config)


def test_found_through_the_registry():
    found = load_registry().get(ReferenceCatalogue, "gaia_xp")
    assert found is GAIA_XP
    assert pickle.loads(pickle.dumps(found)) == found
