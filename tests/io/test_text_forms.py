"""Headers of text tables as archives and programs write them."""

import pytest

from scrframe.errors import DataError
from scrframe.io import open_tables, read_table
from scrframe.io.text import read_header

VIZIER = "visit\tRA\tmag\n \tdeg\tmag\n-\t---\t---\na\t10.5\t15.1\nb\t11.5\t16.1\n"
FORMS = {
    "VizieR": "#\n#  VizieR\n\n#Column\tRA\n" + VIZIER,
    "VizieR, no comments": VIZIER,
    "TOPCAT": "# visit RA  mag\n a 10.5  15.1\n b 11.5 16.1\n",
    "savetxt": "# visit,RA,mag\na,10.5,15.1\nb,11.5,16.1\n",
    "trailing commas": "visit,RA,mag,,\na,10.5,15.1,,\nb,11.5,16.1,,\n",
    "pandas": ",visit,RA,mag\n0,a,10.5,15.1\n1,b,11.5,16.1\n",
    "byte-order mark": "\ufeffvisit,RA,mag\na,10.5,15.1\nb,11.5,16.1\n",
    "mark and comment": "\ufeff# visit,RA,mag\r\na,10.5,15.1\r\nb,11.5,16.1\r\n",
    "dashes": "visit RA mag\n----- -- ---\na 10.5 15.1\nb 11.5 16.1\n",
    "SExtractor": "#   1 visit  Name\n#   2 RA     Right ascension   [deg]\n#   3 mag   [mag]\n"
    "  a 10.5  15.1\n  b 11.5 16.1\n",
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_headers(form, tmp_path):
    path = tmp_path / "t.txt"
    path.write_text(FORMS[form], newline="")
    found = read_table(path, ["visit", "RA", "mag"])
    assert found.texts("visit").to_pylist() == ["a", "b"]
    assert found.numbers("RA").tolist() == [10.5, 11.5]
    assert found.numbers("mag").tolist() == [15.1, 16.1]
    if form.startswith(("VizieR", "SEx")):
        assert found.units == {"RA": "deg", "mag": "mag"}


def test_columns_that_a_comment_names_keep_their_numbers(tmp_path):
    path = tmp_path / "band.dat"
    path.write_text("# lambda T\n500 0.1\n600 0.9\n")
    assert read_table(path, ["lambda"]).numbers("lambda").tolist() == [500, 600]
    assert read_table(path, ["col2"]).numbers("col2").tolist() == [0.1, 0.9]


def test_arrays_of_sextractor_have_elements(tmp_path):
    path = tmp_path / "t.cat"
    path.write_text("# 1 NUMBER\n# 2 FLUX_APER [count]\n# 5 FLAGS\n1 10 20 30 0\n2 11 21 31 4\n")
    found = read_table(path, ["FLUX_APER[2]", "FLAGS"])
    assert found.numbers("FLUX_APER[2]").tolist() == [30, 31]
    assert found.units == {"FLUX_APER[2]": "count"}


def test_lines_and_headers_without_an_end_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"x" * (9 << 20))
    with pytest.raises(DataError, match="has a line of 8 MB or more"):
        read_header(path)
    path.write_bytes(b"\n" * 200_000)
    with pytest.raises(DataError, match="has no line of column names or data in 100000"):
        read_header(path)


@pytest.mark.parametrize("text", ["a,b", "a,b\n", "a b\n"])
def test_names_without_a_row_are_an_empty_table(text, tmp_path):
    path = tmp_path / "t.txt"
    path.write_text(text)
    (table,) = open_tables(path)
    assert table.names == ("a", "b")
    assert sum(map(len, table.blocks(["a"]))) == 0
