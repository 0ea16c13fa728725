"""One set of awkward files, read alike by everything that reads tables.

Each file holds the same four rows: an identifier beyond what a float keeps, a position or
wavelength, a small whole number, and a value that is missing in the second row.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from scrframe.builtin.reference_catalogues.gaia.plugin import GAIA_XP
from scrframe.builtin.reference_catalogues.parameters.plugin import PARAMETER_TABLE
from scrframe.builtin.reference_catalogues.xp_synthetic.plugin import XP_SYNTHETIC
from scrframe.builtin.survey_loaders.table import loader
from scrframe.builtin.survey_loaders.table.settings import TableConfig
from scrframe.config.results import AbsoluteSettings
from scrframe.errors import DataError
from scrframe.io import read_table
from scrframe.io.cells import NULLS
from scrframe.run.offsets.absolute import absolute_files, read_standards
from scrframe.spectra.passband import read_passband

IDS = [2**53 + 1, 2**53 + 3, 4_000_000_000_000_000_001, 7]
PLACE = [340.0, 345.0, 350.0, 355.0]
SMALL = [1, 2, 3, 4]
VALUE = [1.0, np.nan, 3.0, 2.0]
NAMED = ("id", "w", "d", "v")
NUMBERED = ("col1", "col2", "col3", "col4")


def text(missing: str, delimiter: str = ",", header: bool = True) -> str:
    rows = [
        [identifier, place, small, missing if np.isnan(value) else value]
        for identifier, place, small, value in zip(IDS, PLACE, SMALL, VALUE, strict=True)
    ]
    lines = [delimiter.join(map(str, row)) for row in ([NAMED] if header else []) + rows]
    return "\n".join(lines) + "\n"


def plain(content: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(content, encoding="utf-8")


def masked() -> Table:
    value = MaskedColumn([1, 0, 3, 2], mask=np.isnan(VALUE), dtype=np.int32)
    return Table(dict(zip(NAMED, (IDS, PLACE, SMALL, value), strict=True)))


def fits_null(code: str, small: str = "I") -> Callable[[Path], None]:
    """Return a writer whose integer column of values declares TNULL = -99."""

    def write(path: Path) -> None:
        kind = {"I": "i2", "J": "i4", "K": "i8"}[code]
        columns = [
            fits.Column("id", "K", array=np.array(IDS)),
            fits.Column("w", "D", array=np.array(PLACE)),
            fits.Column("d", small, array=np.array(SMALL)),
            fits.Column("v", code, null=-99, array=np.array([1, -99, 3, 2], kind)),
        ]
        fits.BinTableHDU.from_columns(columns).writeto(path)

    return write


def fits_unsigned(path: Path) -> None:
    """TZERO makes the identifiers and the small numbers unsigned."""
    columns = dict(
        zip(NAMED, (np.array(IDS, "u8"), PLACE, np.array(SMALL, "u2"), VALUE), strict=True)
    )
    Table(columns).write(path, format="fits")
    with fits.open(path) as hdus:
        assert hdus[1].header["TZERO1"] == 2**63


def fits_ascii(path: Path) -> None:
    columns = [
        fits.Column("id", "I20", array=np.array(IDS)),
        fits.Column("w", "F10.3", array=np.array(PLACE)),
        fits.Column("d", "I5", array=np.array(SMALL)),
        fits.Column("v", "F10.3", array=np.array(VALUE)),
    ]
    fits.TableHDU.from_columns(columns).writeto(path)


def parquet(kinds: dict[str, pa.DataType]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        values = dict(zip(NAMED, (IDS, PLACE, SMALL, VALUE), strict=True))
        columns = {
            name: pa.array(column, kinds.get(name), from_pandas=True)
            for name, column in values.items()
        }
        pq.write_table(pa.table(columns), path)

    return write


def parquet_text(path: Path) -> None:
    columns = {"id": [str(each) for each in IDS], "w": PLACE, "d": SMALL}
    pq.write_table(pa.table({**columns, "v": ["1", "NA", "3", "2"]}), path)


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, values in zip(NAMED, (IDS, PLACE, SMALL, VALUE), strict=True):
            file[name] = np.array(values, ">f8" if name == "w" else None)


#: A writer of each file, and the names of its columns.
FILES: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    **{f"csv {null or 'empty'}": (plain(text(null)), NAMED) for null in NULLS},
    "csv quoted": (plain(text('"NA"')), NAMED),
    "csv mark": (plain("\ufeff" + text("null")), NAMED),
    "csv comments": (plain("# one, two\n\n# three\n" + text("null")), NAMED),
    "csv upper": (plain(text("null").replace("id,w,d,v", "ID,W,D,V")), NAMED),
    "csv gz": (lambda path: path.write_bytes(gzip.compress(text("NA").encode())), NAMED),
    "csv crlf": (lambda path: path.write_bytes(text("").replace("\n", "\r\n").encode()), NAMED),
    "csv headerless": (plain(text("NA", header=False)), NUMBERED),
    "csv headerless mark": (plain("\ufeff# id w d v\n" + text("NA", header=False)), NUMBERED),
    "semicolons": (plain(text("NA", ";")), NAMED),
    "tabs": (plain(text("", "\t")), NAMED),
    "blanks": (plain("  " + text("nan", "   ")), NAMED),
    "blanks headerless": (plain("# id w d v\n" + text("nan", "  ", header=False)), NUMBERED),
    "ecsv": (lambda path: masked().write(path, format="ascii.ecsv"), NAMED),
    "ecsv mark": (
        lambda path: (
            masked().write(path, format="ascii.ecsv", delimiter=","),
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes()),
        ),
        NAMED,
    ),
    "fits I": (fits_null("I"), NAMED),
    "fits J": (fits_null("J"), NAMED),
    "fits K": (fits_null("K"), NAMED),
    "fits unsigned": (fits_unsigned, NAMED),
    "fits ascii": (fits_ascii, NAMED),
    "votable": (lambda path: masked().write(path, format="votable"), NAMED),
    "votable binary": (
        lambda path: masked().write(path, format="votable", tabledata_format="binary2"),
        NAMED,
    ),
    "parquet": (parquet({"v": pa.int16()}), NAMED),
    "parquet unsigned": (parquet({"id": pa.uint64(), "d": pa.uint8(), "v": pa.float32()}), NAMED),
    "parquet text": (parquet_text, NAMED),
    "hdf5": (hdf5, NAMED),
}


@dataclass(frozen=True)
class Found:
    """What a user of tables makes of a file: None for what it leaves out."""

    ids: list[int] | None
    value: list[float]


def by_stack(path: Path, names: tuple[str, ...]) -> Found:
    block = read_table(path, names)
    assert block.numbers(names[1]).tolist() == PLACE
    assert block.integers(names[2]).tolist() == SMALL
    return Found(block.identifiers(names[0]).tolist(), block.numbers(names[3]).tolist())


def by_table_loader(path: Path, names: tuple[str, ...]) -> Found:
    constants = {"dec": 1, "mjd": 56000.0, "x": 1, "y": 1, "mag": 15, "mag_err": 0.1}
    mapped = {name: {"value": value} for name, value in constants.items()}
    own = {"number": {"column": names[0], "dtype": "integer"}, "value": names[3]}
    columns = {**mapped, "visit": names[0], "ccd": names[2], "ra": names[1], **own}
    config = TableConfig.model_validate({"files": path.name, "columns": columns})
    (part,) = loader.parts(config, path.parent)
    loader.check(part, config)
    found = loader.read(part, config)
    assert found["ra"].tolist() == PLACE
    assert found["ccd"].tolist() == SMALL
    assert [int(each) for each in found["visit"]] == found["number"].tolist()
    return Found(found["number"].tolist(), found["value"].tolist())


def by_gaia(path: Path, names: tuple[str, ...]) -> Found:
    required = ("pmra", "pmdec", "phot_g_mean_mag", "phot_bp_mean_mag", "phot_rp_mean_mag", "dec")
    columns = dict.fromkeys((*required, "phot_bp_mean_flux_over_error"), names[2])
    columns |= {"source_id": names[0], "ra": names[1], "phot_bp_rp_excess_factor": names[3]}
    config = GAIA_XP.config(sources=path.name, columns=columns)
    (part,) = GAIA_XP.source_parts(config, path.parent)
    GAIA_XP.check(part, config)
    found = GAIA_XP.read_sources(part, config, None, ())
    assert found["ref_ra"].tolist() == PLACE
    return Found(found["source_id"].tolist(), found["phot_bp_rp_excess_factor"].tolist())


def by_parameter_table(path: Path, names: tuple[str, ...]) -> Found:
    columns = {"source_id": names[0], "extinction": names[3]}
    config = PARAMETER_TABLE.config(table=path.name, columns=columns, scale=1.0)
    (part,) = PARAMETER_TABLE.parts(config, path.parent)
    PARAMETER_TABLE.check(part, config)
    wanted = np.sort(np.array(IDS))
    found = PARAMETER_TABLE.read(part, config, wanted)
    value = dict(zip(found["source_id"].tolist(), found["extinction"].tolist(), strict=True))
    return Found(IDS, [value.get(each, np.nan) for each in IDS])


def standards(path: Path, names: tuple[str, ...]) -> AbsoluteSettings:
    columns = {"source_id": names[0], "magnitude": names[3]}
    block = {"file": path.name, "columns": columns}
    return AbsoluteSettings.model_validate(
        {"kind": "standards", "system": "AB", "err": "1 mmag", "standards": block}
    )


def by_standards(path: Path, names: tuple[str, ...]) -> Found:
    settings = standards(path, names)
    assert settings.standards is not None
    table = read_standards(settings.standards, path.parent)
    return Found(table.identifiers(names[0]).tolist(), table.numbers(names[3]).tolist())


USERS = (by_stack, by_table_loader, by_gaia, by_parameter_table, by_standards)


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("name", FILES)
def test_all_read_the_same(name, user, tmp_path):
    write, names = FILES[name]
    path = tmp_path / "table"
    write(path)
    found = user(path, names)
    assert found.ids == IDS
    np.testing.assert_array_equal(found.value, VALUE)


def magnitude_table(path: Path, names: tuple[str, ...]) -> None:
    (correction,) = (each for each in GAIA_XP.corrections if each.name == "magnitude_table")
    settings = {"file": path.name, "magnitude": names[1], "correction": names[3]}
    correction.files(correction.config.model_validate(settings), path.parent)


def spectrum_table(path: Path, names: tuple[str, ...]) -> None:
    (correction,) = (each for each in GAIA_XP.corrections if each.name == "spectrum_table")
    settings = {"file": path.name, "wavelength": names[1], "factor": names[3]}
    correction.files(correction.config.model_validate(settings), path.parent)


def absolute_passband(path: Path, names: tuple[str, ...], unit: str | None = "nm") -> None:
    band = {"file": path.name, "wavelength": names[1], "transmission": names[3]}
    settings = {"kind": "passband", "system": "AB", "err": "1 mmag"}
    absolute_files(
        AbsoluteSettings.model_validate(
            {**settings, "passband": {**band, "wavelength_unit": unit}}
        ),
        path.parent,
    )


def synthetic_passband(path: Path, names: tuple[str, ...]) -> None:
    band = {"file": path.name, "wavelength": names[1], "transmission": names[3]}
    try:
        XP_SYNTHETIC.feature_parts(XP_SYNTHETIC.config(passband=band), path.parent)
    except DataError as error:  # the passband is read first
        if "no file of xp_continuous" not in str(error):
            raise


WITHOUT_GAPS = (magnitude_table, spectrum_table, absolute_passband, synthetic_passband)


@pytest.mark.parametrize("user", WITHOUT_GAPS)
@pytest.mark.parametrize("name", FILES)
def test_those_that_need_every_value_name_the_row_without(name, user, tmp_path):
    write, names = FILES[name]
    path = tmp_path / "table"
    write(path)
    with pytest.raises(DataError) as caught:
        user(path, names)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    assert f", row 1: column {names[3]} has no value" in message


@pytest.mark.parametrize("user", WITHOUT_GAPS)
@pytest.mark.parametrize("content", ["340 0.1\n350 0.9\n360 0.2\n", "340,0.1\n350,0.9\n360,0.2\n"])
def test_two_columns_without_names_serve_everywhere(content, user, tmp_path):
    path = tmp_path / "band.dat"
    path.write_text(content)
    user(path, ("", "col1", "", "col2"))


@pytest.mark.parametrize(
    "write",
    [
        lambda table, path: table.write(path, format="fits"),
        lambda table, path: table.write(path, format="ascii.ecsv"),
        lambda table, path: table.write(path, format="votable"),
        lambda table, path: table.write(path, format="parquet"),
    ],
)
@pytest.mark.parametrize("unit", ["Angstrom", "um"])
def test_units_of_the_file_count(unit, write, tmp_path):
    factor = {"Angstrom": 10.0, "um": 1e-3}[unit]
    table = Table({"w": factor * np.array(PLACE), "v": [0.0, 1.0, 1.0, 0.0]})
    table["w"].unit = unit
    write(table, tmp_path / "band")
    found, _ = read_passband(tmp_path / "band", "w", "v")
    np.testing.assert_allclose(found, PLACE, rtol=1e-12)
    names = ("", "w", "", "v")
    absolute_passband(tmp_path / "band", names, None)
    with pytest.raises(DataError, match=f'has unit "{unit}.*", but the description says nm'):
        absolute_passband(tmp_path / "band", names)
    synthetic_passband(tmp_path / "band", names)


@pytest.mark.parametrize("user", [each for each in USERS if each is not by_table_loader])
@pytest.mark.parametrize("name", ["table.fits", "table.parquet", "table.hdf5"])
def test_identifiers_as_floats_are_refused(name, user, tmp_path):
    path = tmp_path / name
    columns = dict(zip(NAMED, (np.array(IDS, float), PLACE, SMALL, VALUE), strict=True))
    if name.endswith("parquet"):
        pq.write_table(pa.table(columns), path)
    elif name.endswith("fits"):
        Table(columns).write(path)
    else:
        with h5py.File(path, "w") as file:
            for each, values in columns.items():
                file[each] = values
    with pytest.raises(DataError, match=r"column id holds floating-point numbers.*64-bit integers"):
        user(path, NAMED)


@pytest.mark.parametrize("user", USERS)
def test_rows_at_another_address_are_not_fetched(user, tmp_path):
    path = tmp_path / "table.vot"
    masked().filled(0).write(path, format="votable", tabledata_format="binary")
    content = path.read_text().replace(
        '<STREAM encoding="base64">', '<STREAM href="http://localhost:9/rows" encoding="base64">'
    )
    assert "href" in content
    path.write_text(content)
    with pytest.raises(DataError, match="keeps its rows in another file"):
        user(path, NAMED)
