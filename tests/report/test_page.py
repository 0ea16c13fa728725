"""A page of its own: escaped, self-contained, written whole."""

from __future__ import annotations

import io
import re
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from astropy.table import Table
from matplotlib.image import imread
from reading import Reader, content

from scrframe.report.figure import SVG_LIMIT, FigureProduct
from scrframe.report.page import Cell, Page, PageTable, Section, number, render, write_page
from scrframe.report.style import COLOURS, COLUMN_IN, DPI, house_style, new_figure, series_style


def product(name: str = "line", points: int = 20) -> FigureProduct:
    """Return a figure of a line of random numbers."""
    data = Table({"x": np.arange(points), "y": np.random.default_rng(3).normal(size=points)})
    with house_style():
        figure = new_figure(2.0)
        figure.subplots().plot(data["x"], data["y"])
    return FigureProduct(name, "A line", "It goes on.", "A line of noise.", figure, data)


def page(*sections: Section) -> Page:
    return Page("A & B", "About <b>.", ("Yes.",), sections)


def test_text_is_escaped_wherever_it_stands():
    nasty = '<script>alert("x")</script> & "quotes"'
    table = PageTable.from_rows(nasty, [{nasty: nasty, "n": number(1.0, 1)}])
    text = render(
        Page(nasty, nasty, (nasty,), (Section("Safe", (nasty,), (table,)),), nasty, {nasty: nasty})
    )
    read = Reader(text)
    assert read.all("script") == []
    assert read.text.count('alert("x")') >= 8


def test_a_page_holds_its_figures_and_its_own_policy_forbids_the_network():
    read = Reader(render(page(Section("One", figures=(product(),)))))
    policy = [one["content"] for one in read.all("meta") if "http-equiv" in one]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert read.loaded()
    assert all(uri.startswith("data:") for uri in read.loaded())
    (image,) = read.all("img")
    assert image["alt"] == "A line of noise."
    assert round(int(image["width"]) / 96, 1) == COLUMN_IN


def test_a_heavy_figure_is_embedded_as_png():
    light, heavy = product(), product(points=20_000)
    with house_style():
        axes = heavy.figure.axes[0]
        axes.scatter(heavy.data["x"], heavy.data["y"])
    assert content(light.embedded())[0] == "image/svg+xml"
    kind, image = content(heavy.embedded())
    assert kind == "image/png"
    assert len(image) < len(heavy.rendered("svg")) and len(heavy.rendered("svg")) > SVG_LIMIT


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_files_are_the_same_bytes_and_hold_no_date(kind, monkeypatch):
    first = product().rendered(kind)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert product().rendered(kind) == first
    assert not re.search(rb"CreationDate|ModDate|dc:date|20\d\d-\d\d-\d\d", first)


def test_pdf_holds_fonts_as_publishers_take_them():
    text = product().rendered("pdf")
    assert b"/CIDFontType2" in text and b"/Type3" not in text  # fonts of type 42


def test_the_style_is_not_the_users():
    before = product().rendered("png")
    with mpl.rc_context({"figure.facecolor": "red", "font.size": 20, "savefig.dpi": 50}):
        users = dict(mpl.rcParams)
        assert product().rendered("png") == before
        assert dict(mpl.rcParams) == users


def test_png_is_as_wide_as_a_column_and_not_blank():
    image = imread(io.BytesIO(product().rendered("png")))
    assert image.shape[1] == round(COLUMN_IN * DPI)
    assert image[..., :3].std() > 0.02


def test_series_differ_by_more_than_colour():
    looks = [series_style(number) for number in range(28)]
    assert len(set(looks)) == 28
    assert len({(one.marker, one.line) for one in looks[: 2 * len(COLOURS)]}) == 2 * len(COLOURS)


#: Linear RGB as dichromats see it: Machado, Oliveira & Fernandes (2009), severity 1.
SIGHTS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
#: Linear sRGB to XYZ over the white of D65.
TO_XYZ = np.array(
    [[0.412456, 0.357576, 0.180437], [0.212673, 0.715152, 0.072175], [0.019334, 0.119192, 0.950304]]
) / np.array([[0.95047], [1.0], [1.08883]])


def lab(colour: str, sight: np.ndarray) -> np.ndarray:
    """Return a colour "#rrggbb" in CIELAB, as someone sees it."""
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    x, y, z = np.cbrt(np.maximum(TO_XYZ @ np.clip(sight @ linear, 0, 1), 0))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHTS)
def test_colours_stay_apart_for_colour_blind_readers(sight):
    seen = [lab(colour, SIGHTS[sight]) for colour in (*COLOURS, "#ffffff")]
    apart = [np.linalg.norm(a - b) for a, b in combinations(seen, 2)]
    # A distance of 2.3 is just seen side by side; thin lines need several times that.
    assert min(apart) > 10


def test_numbers_are_set_in_type():
    assert number(-1234.5, 1) == Cell("\N{MINUS SIGN}1,234.5", "number")
    assert number(0.04, 1, signed=True).text == "0.0"
    assert number(-0.04, 1).text == "0.0"
    assert number(2.0, 1, signed=True).text == "+2.0"
    for missing in (None, float("nan"), float("inf")):
        assert number(missing, 2) == Cell("\N{EN DASH}", "number")


def test_rows_must_be_alike():
    with pytest.raises(ValueError, match="no rows"):
        PageTable.from_rows("empty", [])
    with pytest.raises(ValueError, match="different columns"):
        PageTable.from_rows("odd", [{"a": "1"}, {"b": "1"}])


def test_anchors_are_not_shared():
    with pytest.raises(ValueError, match="twice: one"):
        render(page(Section("One"), Section("one!")))


@pytest.mark.parametrize("name", ["", "../up", "Upper", "a b"])
def test_a_figures_name_is_a_plain_file_name(name):
    with pytest.raises(ValueError, match="not a plain file name"):
        product(name)


def test_a_figure_says_what_it_shows():
    whole = product()
    with pytest.raises(ValueError, match="lacks"):
        FigureProduct("a", "t", "c", "", whole.figure, whole.data)


def test_a_page_that_fails_leaves_the_older_one(tmp_path: Path, monkeypatch):
    path = write_page(page(Section("One", figures=(product(),))), tmp_path)
    older = path.read_bytes()
    monkeypatch.setattr(FigureProduct, "save", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        write_page(page(Section("Two", figures=(product(),))), tmp_path)
    assert path.read_bytes() == older
    assert not [one for one in tmp_path.rglob("*") if one.name.startswith(".")]
