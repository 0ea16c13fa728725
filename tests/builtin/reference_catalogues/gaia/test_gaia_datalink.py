"""Answers of DataLink: a zip with a file a star, or such files, in every format."""

import zipfile

import numpy as np
import pytest
from astropy.table import Table

from scrframe.builtin.reference_catalogues.gaia.datalink import gaia_tables
from scrframe.builtin.reference_catalogues.gaia.products import SAMPLES_NM
from scrframe.errors import DataError

STARS = {5937083312263887616: 2.0, 4041414141: 3.0}
FORMATS = {"csv": "ascii.csv", "ecsv": "ascii.ecsv", "fits": "fits", "xml": "votable"}


def spectrum(star, column):
    level = STARS[star]
    table = Table({"wavelength": SAMPLES_NM, "flux": level * SAMPLES_NM, "flux_error": SAMPLES_NM})
    if column:
        table.add_column(np.full(len(table), star), index=0, name="source_id")
    return table


def read(path):
    (table,) = gaia_tables(path)
    found = list(table.blocks(["source_id", "flux", "flux_error"], wide=True))
    block = found[0].concat(found)
    return (
        block.identifiers("source_id"),
        block.matrix("flux", 343),
        block.matrix("flux_error", 343),
    )


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("column", [True, False])
def test_a_zip_of_stars_is_one_table(ending, column, tmp_path):
    with zipfile.ZipFile(tmp_path / "answer.zip", "w") as archive:
        for star, level in STARS.items():
            path = tmp_path / f"XP_SAMPLED-Gaia DR3 {star}.{ending}"
            spectrum(star, column).write(path, format=FORMATS[ending])
            archive.write(path, path.name)
            ids, flux, _ = read(path)  # the file alone
            assert ids.tolist() == [star]
            np.testing.assert_allclose(flux[0], level * SAMPLES_NM)
    ids, flux, error = read(tmp_path / "answer.zip")
    assert sorted(ids.tolist()) == sorted(STARS)
    np.testing.assert_allclose(flux, [STARS[star] * SAMPLES_NM for star in ids.tolist()])
    np.testing.assert_allclose(error, [SAMPLES_NM] * 2)


def test_a_keyword_names_the_star_before_the_file(tmp_path):
    table = spectrum(4041414141, False)
    table.meta["source_id"] = 17
    table.write(tmp_path / "XP_SAMPLED-Gaia DR3 4041414141.ecsv")
    assert read(tmp_path / "XP_SAMPLED-Gaia DR3 4041414141.ecsv")[0].tolist() == [17]


def test_what_is_no_answer_is_refused(tmp_path):
    spectrum(4041414141, True)[:-1].write(tmp_path / "short.csv")
    with pytest.raises(DataError, match=r"short\.csv: 342 samples of 1 star.*336, 338"):
        gaia_tables(tmp_path / "short.csv")
    spectrum(4041414141, False).write(tmp_path / "whose.csv")
    with pytest.raises(DataError, match=r"whose\.csv: neither a column source_id.*whose spectrum"):
        gaia_tables(tmp_path / "whose.csv")
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04" + bytes(40))
    with pytest.raises(DataError, match=r"cut\.zip: cannot be read as a zip"):
        gaia_tables(tmp_path / "cut.zip")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("XP_SAMPLED-Gaia DR3 1.csv", bytes(80 << 20))
    with pytest.raises(DataError, match=r"bomb\.zip: \d+ bytes unpack to 83886080"):
        gaia_tables(tmp_path / "bomb.zip")


def test_a_zip_with_a_password_is_refused(tmp_path):
    file = tmp_path / "answer.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("star 41.csv", "source_id\n41\n")
    content = bytearray(file.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # as the central directory has it
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"answer\.zip: star 41\.csv is encrypted; unpack it first"):
        gaia_tables(file)


def test_a_damaged_member_of_a_zip_is_called_by_its_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "answer.zip", "w") as archive:
        archive.writestr("star 41.csv", "source_id,flux\n1,2\n3,4,5\n")
    with pytest.raises(DataError, match=r"answer\.zip, star 41\.csv: cannot be read as text") as no:
        gaia_tables(tmp_path / "answer.zip")
    assert "/table" not in str(no.value)
