"""The same stars in every format of the archive read back to equal results."""

import gzip
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from scrframe.spectra import load_operator
from scrframe.tables import SPECTRUM_ERRORS_DIAGONAL, ReferenceStars, Spectra

FIXTURES = Path(__file__).parents[3] / "fixtures" / "gaia"
BULK_NAME = "{}_000000-262143.csv.gz"  # the whole range of identifiers of the made-up stars

# --- gaia_source ----------------------------------------------------------------------------


def source_rows(stars):
    """Return gaia_source columns as lists with None: gaps in pm and BP as the archive has."""
    table = stars.table
    rows = {
        "source_id": table["source_id"].to_pylist(),
        "ref_epoch": [2016.0] * len(table),
        "ra": table["ref_ra"].to_pylist(),
        "dec": table["ref_dec"].to_pylist(),
        "pmra": table["pmra"].to_pylist(),
        "pmdec": table["pmdec"].to_pylist(),
        "phot_g_mean_mag": table["g_mag"].to_pylist(),
        "phot_bp_mean_flux_over_error": (
            2.5 / np.log(10) / table["reference_mag_err"].to_numpy()
        ).tolist(),
        "phot_bp_mean_mag": table["bp_mag"].to_pylist(),
        "phot_rp_mean_mag": table["rp_mag"].to_pylist(),
        "phot_bp_rp_excess_factor": table["phot_bp_rp_excess_factor"].to_pylist(),
        "has_xp_continuous": table["has_spectrum"].to_pylist(),
    }
    rows["pmra"][3] = rows["pmdec"][3] = None
    rows["phot_bp_mean_mag"][5] = None
    rows["phot_bp_mean_flux_over_error"][7] = None
    return rows


def as_text(rows, missing, flag=str):
    def cell(value):
        if value is None:
            return missing
        return flag(value) if isinstance(value, bool) else repr(value)

    lines = [",".join(rows)]
    lines += [",".join(map(cell, line)) for line in zip(*rows.values(), strict=True)]
    return "\n".join(lines) + "\n"


def bulk_header(names):
    lines = [
        "%ECSV 1.0",
        "---",
        "delimiter: ','",
        "meta: !!omap",
        "- RELEASE: Gaia DR3",
        "- DESCRIPTION: >",
        "    Text over,",
        "    lines",
        "datatype:",
    ]
    for name in names:
        lines += ["- ", f"  name: {name}", "  datatype: float64", "  description: x"]
        lines += ["  unit: deg"] if name in ("ra", "dec") else []
    return "".join(f"# {line}\n" for line in lines)


def source_bulk(rows, folder):
    text = bulk_header(rows) + as_text(rows, "null")
    with gzip.open(folder / BULK_NAME.format("GaiaSource"), "wt") as handle:
        handle.write(text)


def source_csv_upper(rows, folder):
    upper = {name.upper(): values for name, values in rows.items()}
    (folder / "answer.csv").write_text(as_text(upper, "", lambda value: "tf"[not value]))


def source_csv_nan(rows, folder):
    (folder / "answer.csv").write_text(as_text(rows, "nan", lambda value: str(int(value))))


def astropy_table(rows):
    table = Table()
    for name, values in rows.items():
        mask = [value is None for value in values]
        filled = [0.0 if value is None else value for value in values]
        table[name] = MaskedColumn(filled, mask=mask) if any(mask) else filled
    table["ra"].unit = table["dec"].unit = "deg"
    return table


def source_ecsv(rows, folder):
    astropy_table(rows).write(folder / "answer.ecsv")


def source_fits(rows, folder):
    table = astropy_table(rows)
    for name in ("pmra", "pmdec", "phot_bp_mean_mag", "phot_bp_mean_flux_over_error"):
        table[name] = table[name].filled(np.nan)
    table.write(folder / "answer.fits")


def source_votable(rows, folder):
    astropy_table(rows).write(folder / "answer.vot", format="votable")


def source_votable_binary_xml(rows, folder):
    astropy_table(rows).write(folder / "answer.xml", format="votable", tabledata_format="binary2")


def source_parquet(rows, folder):
    pq.write_table(pa.table(rows), folder / "answer.parquet")


def source_nested(rows, folder):
    """Two files in a folder of a data set, as engines write them, beside its bookkeeping."""
    table, inside = pa.table(rows), folder / "dataset" / "Norder=0"
    inside.mkdir(parents=True)
    pq.write_table(table[:25], inside / "a.parquet", row_group_size=4)
    pq.write_table(table[25:], inside / "b.parquet")
    (folder / "dataset" / "_SUCCESS").write_text("")
    (folder / "_MD5SUM.txt").write_text("0123  GaiaSource.csv.gz\n")


SOURCE_FORMATS = [
    source_bulk,
    source_csv_upper,
    source_csv_nan,
    source_ecsv,
    source_fits,
    source_votable,
    source_votable_binary_xml,
    source_parquet,
    source_nested,
]


@pytest.mark.parametrize("write", SOURCE_FORMATS)
def test_sources_in_every_format(write, stars, tmp_path, read_sources):
    rows = source_rows(stars)
    folder = tmp_path / "gaia_source"
    folder.mkdir()
    write(rows, folder)
    found = read_sources(tmp_path)
    kept = stars.table["has_spectrum"].to_numpy().copy()
    kept[5] = False  # no G_BP

    def expected(name):
        return stars.table[name].to_numpy().copy()

    np.testing.assert_array_equal(found["source_id"], expected("source_id")[kept])
    for name, own in (
        ("ref_ra", "ref_ra"),
        ("ref_dec", "ref_dec"),
        ("g_mag", "g_mag"),
        ("rp_mag", "rp_mag"),
        ("bp_mag", "bp_mag"),
        ("reference_mag", "bp_mag"),
        ("phot_bp_rp_excess_factor", "phot_bp_rp_excess_factor"),
    ):
        np.testing.assert_array_equal(found[name], expected(own)[kept])
    for name in ("pmra", "pmdec"):
        motion = expected(name)
        motion[3] = 0.0  # missing counts as none
        np.testing.assert_array_equal(found[name], motion[kept])
    error = expected("reference_mag_err")
    error[7] = np.nan
    np.testing.assert_allclose(found["reference_mag_err"], error[kept], rtol=1e-15)
    assert (found["ref_epoch"] == 2016.0).all()


# --- XP continuous --------------------------------------------------------------------------

ARRAYS = [
    f"{band}_coefficient{what}"
    for band in ("bp", "rp")
    for what in ("s", "_errors", "_correlations")
]


def spectrum_columns(stars, correlations=True):
    """Return identifiers and arrays; numbers of the precision of the archive."""
    has = stars.table["has_spectrum"].to_numpy()
    columns = {"source_id": stars.table["source_id"].to_numpy()[has]}
    for at, band in enumerate(("bp", "rp")):
        near = slice(55 * at, 55 * at + 55)
        columns[f"{band}_n_parameters"] = np.full(has.sum(), 55, dtype=np.int16)
        columns[f"{band}_standard_deviation"] = np.full(has.sum(), 1.1)
        columns[f"{band}_coefficients"] = stars.coefficients[:, near]
        columns[f"{band}_coefficient_errors"] = np.float32(stars.coefficient_errors[:, near])
        if correlations:
            packed = stars.correlations[stars.correlation_of, 1485 * at : 1485 * at + 1485]
            columns[f"{band}_coefficient_correlations"] = np.float32(packed)
    return columns


def text_rows(columns, start, comma, stop):
    """Return rows with arrays as text; float32 as the double that it is, hence exactly."""

    def cell(value):
        if isinstance(value, np.ndarray):
            return f'"{start}{comma.join(map(repr, value.astype(float).tolist()))}{stop}"'
        return str(value)

    lines = [",".join(columns)]
    lines += [",".join(map(cell, row)) for row in zip(*columns.values(), strict=True)]
    return "\n".join(lines) + "\n"


def spectra_bulk(columns, folder):
    text = bulk_header(columns) + text_rows(columns, "[", ",", "]")
    with gzip.open(folder / BULK_NAME.format("XpContinuousMeanSpectrum"), "wt") as handle:
        handle.write(text)


def spectra_archive(columns, folder):
    text = text_rows(columns, "(", ", ", ")")
    (folder / "XP_CONTINUOUS-Gaia DR3 1.csv").write_text(text)


def lists(columns, make):
    return pa.table(
        {name: make(values) if values.ndim == 2 else values for name, values in columns.items()}
    )


def spectra_parquet(columns, folder):
    pq.write_table(lists(columns, lambda values: pa.array(list(values))), folder / "xp.parquet")


def spectra_parquet_large_lists(columns, folder):
    def make(values):
        kind = pa.large_list(pa.from_numpy_dtype(values.dtype))
        return pa.array(list(values), type=kind)

    pq.write_table(lists(columns, make), folder / "xp.parquet", row_group_size=7)


def spectra_parquet_fixed_lists(columns, folder):
    def make(values):
        flat = pa.array(values.ravel())
        return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])

    pq.write_table(lists(columns, make), folder / "xp.parquet")


def spectra_fits(columns, folder):
    Table(columns).write(folder / "xp.fits")


def spectra_fits_gzipped(columns, folder):
    Table(columns).write(folder / "xp.fits.gz")


def spectra_fits_upper(columns, folder):
    Table({name.upper(): values for name, values in columns.items()}).write(folder / "xp.fits")


def spectra_fits_variable(columns, folder):
    hdu_columns = []
    for name, values in columns.items():
        if values.ndim == 2:
            code = {4: "E", 8: "D"}[values.dtype.itemsize]
            held = np.empty(len(values), dtype=object)
            held[:] = list(values)
            hdu_columns.append(fits.Column(name, f"P{code}({values.shape[1]})", array=held))
        else:
            code = {"i2": "I", "i8": "K", "f8": "D"}[values.dtype.str[1:]]
            hdu_columns.append(fits.Column(name, code, array=values))
    fits.BinTableHDU.from_columns(hdu_columns).writeto(folder / "xp.fits")


def spectra_fits_extensions(columns, folder):
    """Two table extensions and an image; one part each."""
    tables = [
        fits.BinTableHDU(Table({name: values[rows] for name, values in columns.items()}))
        for rows in (slice(0, 10), slice(10, None))
    ]
    image = fits.ImageHDU(np.zeros((3, 3)))
    fits.HDUList([fits.PrimaryHDU(), tables[0], image, tables[1]]).writeto(folder / "xp.fits")


def spectra_votable(columns, folder):
    Table(columns).write(folder / "xp.vot", format="votable")


SPECTRUM_FORMATS = [
    spectra_bulk,
    spectra_archive,
    spectra_parquet,
    spectra_parquet_large_lists,
    spectra_parquet_fixed_lists,
    spectra_fits,
    spectra_fits_gzipped,
    spectra_fits_upper,
    spectra_fits_variable,
    spectra_fits_extensions,
    spectra_votable,
]


def wanted_stars(source_id):
    zeros = dict.fromkeys(
        (
            "ref_ra",
            "ref_dec",
            "ref_epoch",
            "pmra",
            "pmdec",
            "reference_mag",
            "reference_mag_err",
            "g_mag",
            "bp_mag",
            "rp_mag",
        ),
        np.zeros(len(source_id)),
    )
    return ReferenceStars.from_columns({"source_id": np.sort(source_id), **zeros})


def exact(columns):
    """Return fluxes and S/N by the operator that is tested against GaiaXPy."""
    operator = load_operator("paper")
    flux = operator.flux(columns["bp_coefficients"], columns["rp_coefficients"])
    if "bp_coefficient_correlations" in columns:
        error = operator.flux_error_exact(
            *(
                columns[name]
                for name in ARRAYS
                if name[-1] == "s" and not name.endswith("coefficients")
            )
        )
    else:
        error = operator.flux_error_diagonal(
            columns["bp_coefficient_errors"], columns["rp_coefficient_errors"]
        )
    return flux, np.median(flux / error, axis=1)


@pytest.mark.parametrize("correlations", [True, False], ids=["exact", "diagonal"])
@pytest.mark.parametrize("write", SPECTRUM_FORMATS)
def test_continuous_spectra_in_every_format(write, correlations, stars, tmp_path, read_features):
    columns = spectrum_columns(stars, correlations)
    folder = tmp_path / "gaia_xp"
    folder.mkdir()
    write(columns, folder)
    found = Spectra.concat(read_features(tmp_path, wanted_stars(columns["source_id"])))
    flux, snr = exact(columns)
    np.testing.assert_array_equal(found.source_id, columns["source_id"])
    np.testing.assert_array_equal(found.wavelength_nm, np.arange(392, 1002, 10))
    np.testing.assert_array_equal(found.flux, flux.astype(np.float32))
    # Rows may share a block with others than here, which changes the last bits.
    np.testing.assert_allclose(found.snr, snr, rtol=1e-13)
    assert (found.flags == (0 if correlations else SPECTRUM_ERRORS_DIAGONAL)).all()


@pytest.mark.parametrize("write", SPECTRUM_FORMATS)
def test_only_the_stars_asked_for(write, stars, tmp_path, read_features):
    columns = spectrum_columns(stars)
    folder = tmp_path / "gaia_xp"
    folder.mkdir()
    write(columns, folder)
    ids = columns["source_id"]
    wanted = wanted_stars(np.append(ids[[30, 2, 17]], [5, 2**62]))
    found = Spectra.concat(read_features(tmp_path, wanted))
    np.testing.assert_array_equal(found.source_id, ids[[2, 17, 30]])
    np.testing.assert_array_equal(found.flux, exact(columns)[0][[2, 17, 30]].astype(np.float32))


def test_real_archive_rows_agree_with_gaiaxpy(tmp_path, read_features):
    folder = tmp_path / "gaia_xp"
    folder.mkdir()
    (folder / "answer.csv").write_bytes((FIXTURES / "xp_continuous_raw.csv").read_bytes())
    with np.load(FIXTURES / "gaiaxpy_answers.npz") as answers:
        ids, flux, error = (
            answers[name] for name in ("source_id", "paper_flux", "paper_flux_error")
        )
    (found,) = read_features(tmp_path, wanted_stars(ids))
    order = np.searchsorted(np.sort(ids), ids)
    np.testing.assert_array_equal(np.sort(ids)[order], found.source_id)
    np.testing.assert_array_equal(found.flux, flux.astype(np.float32))
    np.testing.assert_allclose(found.snr, np.median(flux / error, axis=1), rtol=1e-12)


def test_real_bulk_file_agrees_with_gaiaxpy(tmp_path, read_features):
    extra = os.environ.get("SCRFRAME_EXTRA_DATA")
    if not extra:
        pytest.skip("SCRFRAME_EXTRA_DATA does not name the folder of the bulk file")
    gaiaxpy = pytest.importorskip("gaiaxpy")
    packed = (Path(extra) / "XpContinuousMeanSpectrum_sample.csv.gz").read_bytes()
    folder = tmp_path / "gaia_xp"
    folder.mkdir()
    (folder / "XpContinuousMeanSpectrum_sample.csv.gz").write_bytes(packed)
    unpacked = tmp_path / "unpacked.csv"
    unpacked.write_bytes(gzip.decompress(packed))
    theirs, _ = gaiaxpy.calibrate(unpacked, sampling=np.arange(392, 1002, 10), save_file=False)
    flux, error = (np.stack(theirs[name].to_list()) for name in ("flux", "flux_error"))
    (found,) = read_features(tmp_path, wanted_stars(theirs["source_id"].to_numpy()))
    np.testing.assert_array_equal(found.source_id, theirs["source_id"])
    np.testing.assert_array_equal(found.flux, flux.astype(np.float32))
    np.testing.assert_allclose(found.snr, np.median(flux / error, axis=1), rtol=1e-12)


def test_missing_arrays(stars, tmp_path, read_features, caplog):
    """A star without RP is left out and counted; one without correlations is diagonal."""
    columns = spectrum_columns(stars)
    arrays = {name: list(values) for name, values in columns.items()}
    for name in ARRAYS[3:]:
        arrays[name][4] = None
    arrays["bp_coefficient_correlations"][6] = arrays["rp_coefficient_correlations"][6] = []
    folder = tmp_path / "gaia_xp"
    folder.mkdir()
    pq.write_table(pa.table(arrays), folder / "xp.parquet")
    with caplog.at_level("INFO"):
        (found,) = read_features(tmp_path, wanted_stars(columns["source_id"]))
    kept = np.delete(np.arange(len(columns["source_id"])), 4)
    np.testing.assert_array_equal(found.source_id, columns["source_id"][kept])
    np.testing.assert_array_equal(np.flatnonzero(found.flags), [5])  # the seventh, one left out
    assert "1 spectra lack BP or RP" in caplog.text
    _, snr = exact(
        {name: values for name, values in columns.items() if not name.endswith("correlations")}
    )
    np.testing.assert_allclose(found.snr[5], snr[6], rtol=1e-13)


# --- XP sampled -----------------------------------------------------------------------------


def sampled_columns(stars):
    operator = load_operator("sampled")
    columns = spectrum_columns(stars)
    flux = operator.flux(columns["bp_coefficients"], columns["rp_coefficients"])
    errors = [columns[name] for name in ARRAYS if not name.endswith("coefficients")]
    return {
        "source_id": columns["source_id"],
        "flux": flux.astype(np.float32),
        "flux_error": operator.flux_error_exact(*errors).astype(np.float32),
    }


@pytest.mark.parametrize("write", SPECTRUM_FORMATS)
def test_sampled_spectra_in_every_format(write, stars, tmp_path, read_features):
    columns = sampled_columns(stars)
    folder = tmp_path / "gaia_xp"
    folder.mkdir()
    write(columns, folder)
    found = Spectra.concat(read_features(tmp_path, wanted_stars(columns["source_id"])))
    # The sample at 392 nm has the index 28, and so on every fifth.
    flux, error = (columns[name].astype(float)[:, 28::5][:, :61] for name in ("flux", "flux_error"))
    np.testing.assert_allclose(found.flux, flux, rtol=2**-23)
    np.testing.assert_allclose(found.snr, np.median(flux / error, axis=1), rtol=1e-13)
    assert (found.flags == SPECTRUM_ERRORS_DIAGONAL).all()


def test_sampled_and_continuous_agree(stars, tmp_path, read_features):
    """Both products of a star give the same spectrum and S/N, to two hundredths of its error."""
    for name, columns in (("a", spectrum_columns(stars)), ("b", sampled_columns(stars))):
        folder = tmp_path / name / "gaia_xp"
        folder.mkdir(parents=True)
        spectra_parquet(columns, folder)
    wanted = wanted_stars(columns["source_id"])
    (continuous,), (sampled,) = (read_features(tmp_path / name, wanted) for name in "ab")
    level = np.median(continuous.flux, axis=1)[:, None]
    assert (np.abs(sampled.flux - continuous.flux) / level).max() < 2e-2 / continuous.snr.max()
    np.testing.assert_allclose(sampled.snr, continuous.snr, rtol=1e-3)


def test_errors_of_samples_that_are_not_positive_give_no_snr(stars, tmp_path, read_features):
    columns = sampled_columns(stars)
    columns["flux_error"][0] = 0
    columns["flux_error"][1] = -1
    folder = tmp_path / "gaia_xp"
    folder.mkdir()
    spectra_parquet(columns, folder)
    (found,) = read_features(tmp_path, wanted_stars(columns["source_id"]))
    without = np.isin(found.source_id, columns["source_id"][:2])
    assert np.isnan(found.snr[without]).all() and np.isfinite(found.snr[~without]).all()


def test_csv_reader_takes_more_than_one_block(stars, tmp_path, read_features, monkeypatch):
    columns = spectrum_columns(stars)
    folder = tmp_path / "gaia_xp"
    folder.mkdir()
    spectra_bulk(columns, folder)
    (whole,) = read_features(tmp_path, wanted_stars(columns["source_id"]))
    monkeypatch.setattr("scrframe.io.text.WIDE_BYTES", 200_000)
    (blocks,) = read_features(tmp_path, wanted_stars(columns["source_id"]))
    np.testing.assert_array_equal(blocks.flux, whole.flux)
    np.testing.assert_allclose(blocks.snr, whole.snr, rtol=1e-13)


def test_grid_of_the_samples_themselves(stars, tmp_path, read_features):
    columns = sampled_columns(stars)
    folder = tmp_path / "gaia_xp"
    folder.mkdir()
    spectra_parquet(columns, folder)
    grid = {"start": "336 nm", "stop": "1020 nm", "step": "2 nm"}
    (found,) = read_features(tmp_path, wanted_stars(columns["source_id"]), grid=grid)
    np.testing.assert_array_equal(found.flux, columns["flux"])


def test_other_grids_take_the_samples_of_continuous_spectra(stars, tmp_path, read_features):
    columns = spectrum_columns(stars)
    folder = tmp_path / "gaia_xp"
    folder.mkdir()
    spectra_parquet(columns, folder)
    grid = {"start": "400 nm", "stop": "900 nm", "step": "20 nm"}
    (found,) = read_features(tmp_path, wanted_stars(columns["source_id"]), grid=grid)
    samples = load_operator("sampled").flux(columns["bp_coefficients"], columns["rp_coefficients"])
    np.testing.assert_array_equal(found.wavelength_nm, np.arange(400, 920, 20))
    np.testing.assert_allclose(found.flux, samples[:, 32::10][:, :26], rtol=2**-22)
