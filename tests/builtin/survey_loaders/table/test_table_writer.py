"""Corrected tables: all of the input stays, in its format, and the columns are appended."""

from __future__ import annotations

import gzip
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.io.votable import parse
from astropy.table import QTable, Table
from astropy.time import Time

from scrframe.builtin.survey_loaders.table import loader
from scrframe.builtin.survey_loaders.table.settings import TableConfig
from scrframe.builtin.writers import table_catalogue
from scrframe.builtin.writers.fits_catalogue import write as write_fits
from scrframe.errors import DataError
from scrframe.plugin import NoConfig
from scrframe.tables import FLAG_BITS, Corrections

FORMATS = {
    "t.parquet": None,
    "t.csv": "ascii.csv",
    "t.csv.gz": "ascii.csv",
    "t.ecsv": "ascii.ecsv",
    "t.vot": "votable",
    "t.fits": "fits",
}


def corrections_of(detections):
    rows = len(detections)
    offset = 0.1 + np.arange(rows) / 7
    return Corrections(
        by_level={"visit": offset / 2, "ccd": offset / 2},
        total_mag=offset,
        flags=np.arange(rows, dtype=np.int32),
        errors={"mag_cal_err": offset / 9},
        level=np.ones(rows, dtype=np.int16),
    )


@pytest.fixture
def correct(tmp_path):
    """Return a function that writes the parts of a description corrected."""

    def run(config, root=None):
        written = []
        for part in loader.parts(config, tmp_path):
            detections = loader.read(part, config)
            found = corrections_of(detections)
            out = tmp_path / "out"
            (file,) = table_catalogue.write(
                part, detections, found, root or tmp_path, out, NoConfig(), "simulated data"
            )
            written.append((file, detections, found))
        return written

    return run


@pytest.mark.parametrize("name", FORMATS)
def test_input_stays_and_columns_are_appended(
    name, tmp_path, columns, configure, write, correct, read
):
    source = write(tmp_path / "cat" / name, columns)
    config = configure(f"cat/{name}", rows=["filter == 'u'"])
    ((target, detections, found),) = correct(config)
    assert target == tmp_path / "out" / "cat" / name
    if FORMATS[name] is None:
        old, new = (Table.from_pandas(pq.read_table(each).to_pandas()) for each in (source, target))
    else:
        old, new = (Table.read(each, format=FORMATS[name]) for each in (source, target))
    for column in old.colnames:
        np.testing.assert_array_equal(new[column], old[column], err_msg=column)
        assert new[column].dtype.kind == old[column].dtype.kind
    added = [column for column in new.colnames if column not in old.colnames]
    assert added == [
        "MAG_OBS",
        "MAG_CAL",
        "OFFSET_VISIT",
        "OFFSET_CCD",
        "OFFSET_TOTAL",
        "MAG_CAL_ERR",
        "OFFSET_LEVEL",
        "CAL_FLAGS",
    ]
    row = detections["row"]
    plain = {
        column: np.ma.filled(np.ma.asarray(new[column]).astype(float), np.nan) for column in added
    }
    np.testing.assert_array_equal(plain["MAG_OBS"][row], detections["mag"])
    np.testing.assert_array_equal(plain["OFFSET_TOTAL"][row], found.total_mag)
    np.testing.assert_array_equal(
        plain["MAG_CAL"], plain["MAG_OBS"] + plain["OFFSET_TOTAL"]
    )  # to the last bit
    np.testing.assert_array_equal(plain["CAL_FLAGS"][row], found.flags)
    others = np.setdiff1d(np.arange(len(new)), row)
    assert len(others) and np.isnan(plain["MAG_CAL"][others]).all()
    assert set(plain["CAL_FLAGS"][others]) == {FLAG_BITS["no_magnitude"]}
    # What was written can be read by the same description.
    again = configure(f"out/cat/{name}", rows=["filter == 'u'"])
    np.testing.assert_array_equal(read(again)["mag"], detections["mag"])


@pytest.mark.parametrize("name", FORMATS)
def test_same_bytes_each_time(name, tmp_path, columns, configure, write, correct):
    write(tmp_path / name, columns)
    config = configure(name)
    first = correct(config)[0][0].read_bytes()
    assert correct(config)[0][0].read_bytes() == first


@pytest.mark.parametrize("name", FORMATS)
def test_corrected_catalogues_are_not_corrected_again(
    name, tmp_path, columns, configure, write, correct
):
    write(tmp_path / name, columns)
    ((target, *_),) = correct(configure(name))
    target.replace(tmp_path / name)
    with pytest.raises(DataError, match="has a column MAG_OBS already"):
        correct(configure(name))


def test_metadata_of_parquet(tmp_path, columns, configure, correct):
    table = pa.table(columns).replace_schema_metadata({"origin": "night 3"})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=25, compression="gzip")
    ((target, *_),) = correct(configure("t.parquet"))
    file = pq.ParquetFile(target)
    assert file.metadata.num_row_groups == 3
    assert file.metadata.row_group(0).column(0).compression == "GZIP"
    told = file.schema_arrow.metadata
    assert told[b"origin"] == b"night 3" and told[b"data_note"] == b"simulated data"
    assert b"CAL_FLAGS value 1: no_magnitude" in told[b"scrframe_columns"]
    assert file.schema_arrow.field("MAG_CAL").metadata[b"unit"] == b"mag"


@pytest.mark.parametrize("by_astropy", [True, False])
def test_astropy_reads_corrected_parquet(by_astropy, tmp_path, columns, configure, correct):
    table = QTable({**columns, "name": ["a", "beta"] * (len(columns["xpos"]) // 2)})
    if by_astropy:
        table["night"] = Time(np.full(len(table), 57000.5), format="mjd")
        table["xpos"] = table["xpos"] * units.pix
        table["xpos"].info.description = "along rows"
        table.write(tmp_path / "t.parquet")
    else:
        pq.write_table(pa.table(dict(table.columns)), tmp_path / "t.parquet")
    ((target, *_),) = correct(configure("t.parquet"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        new = QTable.read(target)
    assert new["MAG_CAL"].unit == "mag" and new["OFFSET_TOTAL"].info.description
    assert new["name"].tolist() == table["name"].tolist()
    if by_astropy:
        assert new["night"].mjd.tolist() == table["night"].mjd.tolist()
        assert (new["xpos"] == table["xpos"]).all()
        assert new["xpos"].info.description == "along rows"


def test_metadata_of_ecsv_and_votable(tmp_path, columns, configure, correct):
    table = Table(columns, meta={"origin": ["night", 3]})
    table["xpos"].unit, table["xpos"].description = "pix", "along rows"
    table.write(tmp_path / "t.ecsv", delimiter=",")
    table.write(tmp_path / "t.vot", format="votable")
    ((ecsv, *_),) = correct(configure("t.ecsv"))
    new = Table.read(ecsv, format="ascii.ecsv")
    assert new.meta["origin"] == ["night", 3] and new.meta["data_note"] == "simulated data"
    assert (str(new["xpos"].unit), new["xpos"].description) == ("pix", "along rows")
    assert new["MAG_CAL"].unit == "mag"
    assert "exp,det" in ecsv.read_text()
    ((vot, *_),) = correct(configure("t.vot"))
    found = parse(vot).get_first_table()
    field = found.get_field_by_id_or_name("xpos")
    assert (str(field.unit), field.description) == ("pix", "along rows")
    assert {info.name: info.value for info in found.infos}["data_note"] == "simulated data"


def test_text_stays_as_it_is_written(tmp_path, configure, correct):
    lines = ["# made by hand", "exp;det;ra_rad;dec_rad;xpos;ypos;mjd;flux;flux_err;name"]
    lines += [f'7;1;1.00{n};-0.5;1e3;2.50;56000.1;{n}00.0;1;"a;{n}"' for n in (1, 2)]
    (tmp_path / "t.csv").write_bytes("\r\n".join([*lines, ""]).encode())
    config = configure("t.csv", columns={"band": None, "class_star": None})
    ((target, detections, _),) = correct(config)
    new = target.read_bytes().decode().split("\r\n")
    assert new[0] == lines[0] and new[-1] == "" and len(new) == 5
    for number, line in enumerate(lines[1:], start=1):
        assert new[number].startswith(line + ";")
    assert float(new[2].split(";")[11]) == detections["mag"][0]
    lines[2] = lines[2].replace('"a;1"', '"a\n1"')
    (tmp_path / "t.csv").write_text("\n".join(lines))
    with pytest.raises(DataError):
        correct(config)


def test_parts_of_a_file_become_files(tmp_path, columns, configure, write, correct):
    write(tmp_path / "t.parquet", columns)
    written = correct(configure("t.parquet", rows_per_part=20))
    assert [file.name for file, *_ in written] == ["t.00000.parquet", "t.00002.parquet"]
    whole = pa.concat_tables([pq.read_table(file) for file, *_ in written])
    assert whole["exp"].to_numpy().tolist() == columns["exp"].tolist()
    mag = np.concatenate([detections["mag"] for _, detections, _ in written])
    np.testing.assert_array_equal(whole["MAG_OBS"].to_numpy(), mag)


def test_fits_is_what_the_writer_of_fits_writes(tmp_path, columns, configure, write, correct):
    write(tmp_path / "t.fits", columns)
    config = configure("t.fits")
    ((target, detections, found),) = correct(config)
    (part,) = loader.parts(config, tmp_path)
    (other,) = write_fits(
        part, detections, found, tmp_path, tmp_path / "fits", NoConfig(), "simulated data"
    )
    assert target.read_bytes() == other.read_bytes()


def test_input_is_never_written_over(tmp_path, columns, configure, write):
    write(tmp_path / "t.csv", columns)
    config = configure("t.csv")
    (part,) = loader.parts(config, tmp_path)
    detections = loader.read(part, config)
    with pytest.raises(DataError, match="is the input itself"):
        table_catalogue.write(
            part, detections, corrections_of(detections), tmp_path, tmp_path, NoConfig(), ""
        )


def test_gzip_has_no_time(tmp_path, columns, configure, write, correct):
    write(tmp_path / "t.csv.gz", columns)
    ((target, *_),) = correct(configure("t.csv.gz"))
    assert target.read_bytes()[4:8] == bytes(4)
    assert gzip.decompress(target.read_bytes()).startswith(b'"exp"')


BODY = " a 105.1 -2.1 15.1 0.01\n b 105.2 -2.2 16.1 0.02\n"
TEXTS = {
    "VizieR": "#\n#Column\tx\n\nv\tra\tdec\tm\te\n \tdeg\tdeg\tmag\tmag\n--\t---\t---\t---\t--\n"
    + "\n".join("\t".join(line.split()) for line in BODY.splitlines())
    + "\n",
    "TOPCAT": "# v ra  dec  m e\n" + BODY,
    "savetxt": "# v,ra,dec,m,e\n" + BODY.replace(" a", "a").replace(" b", "b").replace(" ", ","),
    "SExtractor": "".join(
        f"#  {number} {name} [{unit}]\n"
        for number, (name, unit) in enumerate(
            zip(("v", "ra", "dec", "m", "e"), ("x", "deg", "deg", "mag", "mag"), strict=True), 1
        )
    ).replace(" [x]", "")
    + BODY,
}


@pytest.mark.parametrize("form", TEXTS)
def test_forms_of_text_stay_what_they_are(form, tmp_path, correct, read):
    (tmp_path / "t.cat").write_text(TEXTS[form])
    names = {"visit": "v", "ra": "ra", "dec": "dec", "mag": "m", "mag_err": "e"}
    names |= {"ccd": {"value": 1}, "mjd": {"value": 56000.5}, "x": {"value": 1}, "y": {"value": 2}}
    config = TableConfig.model_validate({"files": "t.cat", "columns": names})
    ((target, detections, found),) = correct(config)
    new = iter(target.read_text().splitlines())
    assert all(any(each.startswith(line) for each in new) for line in TEXTS[form].splitlines())
    names["mag"] = "MAG_CAL"
    again = TableConfig.model_validate({"files": "out/t.cat", "columns": names})
    np.testing.assert_array_equal(read(again)["mag"], detections["mag"] + found.total_mag)
