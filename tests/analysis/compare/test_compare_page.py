"""The page of a made-up comparison shows all of it, as it is."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import drawn_comparison as drawn
import numpy as np
import pytest
from astropy.table import Table
from matplotlib.image import imread
from reading import Reader, content

from scrframe.analysis.compare.backend_figures import (
    cost_figure,
    coverage_figure,
    difference_figure,
    reliability_figure,
    trend_figures,
)
from scrframe.analysis.compare.page import answer, comparison_page
from scrframe.analysis.compare.result import BackendResult, Comparison, ResidualTable, judged
from scrframe.analysis.compare.star_figures import predicted_figure, scatter_figure, sky_figure
from scrframe.report.page import write_page

FIGURES = {
    "differences",
    "predicted_observed",
    "scatter",
    "sky",
    "coverage",
    "reliability",
    "costs",
    "residual_predicted_colour",
    "residual_reference_mag",
    "residual_extinction",
    "residual_ra",
    "residual_dec",
    "residual_xp_snr",
}


@pytest.fixture(scope="module")
def read(folder: Path) -> Reader:
    return Reader((folder / "index.html").read_text(encoding="utf-8"))


def lines_of(figure, panel: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(one.get_xdata(), one.get_ydata()) for one in figure.figure.axes[panel].lines]


def rows_of(table: Table, backend: str) -> Table:
    return table[table["backend"] == backend]


def is_drawn(lines, x, y) -> bool:
    """Whether one of the lines is this one, to what double precision keeps of mmag."""
    return any(
        len(mine) == len(x) and np.allclose(mine, x, rtol=1e-12) and np.allclose(its, y, rtol=1e-9)
        for mine, its in lines
    )


def test_every_figure_is_there_in_all_formats_and_not_blank(folder):
    files = {path.name for path in (folder / "figures").iterdir()}
    assert files == {f"{name}.{kind}" for name in FIGURES for kind in ("png", "pdf", "ecsv")}
    for name in FIGURES:
        image = imread(folder / "figures" / f"{name}.png")[..., :3]
        ink = (image < 0.9).any(axis=2)
        assert 0.005 < ink.mean() < 0.9, name
        # Not only a frame: something stands in every quarter.
        halves = np.array_split(ink, 2)
        assert all(one.any() for half in halves for one in np.array_split(half, 2, axis=1)), name
        assert (folder / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_the_page_loads_nothing_but_itself(read):
    assert read.all("script") == []
    assert all(uri.startswith("data:") for uri in read.loaded())
    assert not any(re.match(r"(?i)\s*(https?:)?//", link) for link in read.links())


def test_every_image_is_a_picture_with_its_text_alternative(read):
    images = read.all("img")
    assert len(images) == len(FIGURES)
    assert all(len(one["alt"]) > 40 for one in images)
    for one in images:
        kind, data = content(one["src"])
        if kind == "image/svg+xml":
            assert len(list(ET.fromstring(data).iter())) > 50
            assert b"http://" not in re.sub(rb'(xmlns[^=]*|resource)="[^"]*"', b"", data[400:])
        else:
            assert kind == "image/png" and data.startswith(b"\x89PNG")


def test_every_link_leads_somewhere(read, folder):
    anchors = read.anchors()
    assert len(set(anchors)) == len(anchors)
    assert {f"figure-{name}" for name in FIGURES} <= set(anchors)
    assert all(
        link[1:] in anchors if link.startswith("#") else (folder / link).is_file()
        for link in read.links()
    )


def test_the_page_says_what_was_found(read, comparison, tables):
    best = min(tables, key=lambda name: np.std(tables[name].residual_mag))
    spread = 1000 * np.std(tables[best].residual_mag)
    assert f"{best} has the smallest dispersion in blocked folds, {spread:.1f} mmag" in read.text
    assert "not told apart" in read.text
    assert comparison.data_note in read.text
    leaky = comparison.backends[-1]
    assert f"{leaky.name}" in read.text and leaky.fault in read.text
    assert all(f"trees {number}" in read.text for number in (100, 300))
    for one, figures in judged(comparison):
        assert one.name in read.text
        assert f"{1000 * figures.dispersion.sd_mag:.1f}" in read.text


def test_the_page_is_light(folder):
    assert (folder / "index.html").stat().st_size < 4e6


@pytest.mark.slow
def test_the_same_comparison_makes_the_same_bytes(folder, comparison, tables, tmp_path):
    # Fewer backends: it is the same code, and the test is quicker.
    few = {name: tables[name] for name in list(tables)[:2]}
    small = replace(comparison, backends=comparison.backends[:2], ranking=(tuple(list(few)[:2]),))
    for place in ("a", "b"):
        write_page(comparison_page(small, drawn.costs()[:2], few), tmp_path / place)
    files = [path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*")]
    assert len(files) > len(FIGURES)
    assert all(
        (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
        for file in files
    )


def test_predictions_drawn_are_those_of_the_table(comparison, tables, folder):
    figure = predicted_figure(comparison, tables)
    written = Table.read(folder / "figures" / "predicted_observed.ecsv")
    order = [one.name for one, _ in judged(comparison)]
    panels = [axes for axes in figure.figure.axes if axes.get_title() in order]
    assert [axes.get_title() for axes in panels] == order
    for axes, name in zip(panels, order, strict=True):
        mesh = axes.collections[0]
        count = np.asarray(mesh.get_array().filled(np.nan)).T
        corners = mesh.get_coordinates()
        x = (corners[0, :-1, 0] + corners[0, 1:, 0]) / 2
        y = (corners[:-1, 0, 1] + corners[1:, 0, 1]) / 2
        column, row = np.nonzero(count > 0)
        mine = rows_of(written, name)
        np.testing.assert_allclose(mine["observed_mag"], x[column], rtol=1e-12)
        np.testing.assert_allclose(mine["predicted_mag"], y[row], rtol=1e-12)
        np.testing.assert_array_equal(mine["stars"], count[column, row])
        # All stars but the few beyond the axes.
        assert drawn.STARS - 2 - 0.005 * drawn.STARS < mine["stars"].sum() <= drawn.STARS


def test_trends_drawn_are_those_of_the_table(comparison):
    for figure in trend_figures(comparison):
        variable = figure.data.colnames[1]
        for panel, (one, figures) in enumerate(judged(comparison)):
            mine = rows_of(figure.data, one.name)
            trend = figures.trends[variable]
            np.testing.assert_array_equal(mine["mean_mag"], trend.mean_mag)
            np.testing.assert_array_equal(mine["err_mag"], trend.err_mag)
            assert is_drawn(lines_of(figure, panel), mine[variable], 1000 * mine["mean_mag"])
            (bars,) = figure.figure.axes[panel].collections
            ends = np.array([one[:, 1] for one in bars.get_segments()])
            np.testing.assert_allclose(
                np.diff(ends, axis=1)[:, 0], 2000 * mine["err_mag"], rtol=1e-9
            )


def test_scatter_drawn_is_that_of_the_table_and_of_the_draws(comparison, tables):
    figure = scatter_figure(comparison, tables)
    for panel, variable in enumerate(("colour", "reference_mag", "extinction")):
        for name, table in tables.items():
            mine = rows_of(figure.data, name)
            mine = mine[mine["variable"] == variable]
            assert mine["stars"].sum() == drawn.STARS
            assert is_drawn(lines_of(figure, panel), mine["centre_mag"], 1000 * mine["scatter_mag"])
            # The error that was drawn with, plus the tilt; MAD of 500 scatters by 4 per cent.
            if variable == "reference_mag" and drawn.BACKENDS[name][1] < 0.03:
                first = table.reference_mag <= np.quantile(table.reference_mag, 1 / 12)
                assert mine["scatter_mag"][0] == pytest.approx(table.err_mag[first].mean(), rel=0.2)


def test_the_sky_drawn_is_that_of_the_table_and_holds_an_injected_patch(comparison, tables):
    name = drawn.REFERENCE
    table = tables[name]
    east = (table.ra > 0.5) & (table.ra < 10) & (table.dec > 0)
    patched = replace(table, predicted_mag=table.predicted_mag + 0.2 * east)
    figure = sky_figure(comparison, {name: patched})
    data = figure.data
    assert data["stars"].sum() == pytest.approx(drawn.STARS, rel=0.05)
    inside = (data["ra_deg"] > 0.7) & (data["ra_deg"] < 10) & (data["dec_deg"] > 0.2)
    outside = ~((data["ra_deg"] > 0.3) & (data["ra_deg"] < 10) & (data["dec_deg"] > -0.2))
    assert data["mean_mag"][inside].min() > 0.1 > data["mean_mag"][outside].max()
    (mesh,) = figure.figure.axes[0].collections
    shown = mesh.get_array().compressed()
    np.testing.assert_allclose(np.sort(shown), np.sort(1000 * data["mean_mag"]), rtol=1e-9)
    left, right = figure.figure.axes[0].get_xlim()
    assert left > right  # east is left


def test_differences_drawn_are_those_of_the_table(comparison):
    figure = difference_figure(comparison)
    results = [one for one, _ in judged(comparison) if one.against_reference]
    assert len(figure.data) == sum(len(one.against_reference) for one in results)
    for panel, key in enumerate(results[0].against_reference):
        lines = lines_of(figure, panel)
        mine = figure.data[figure.data["figure"] == key]
        assert list(mine["backend"]) == [one.name for one in results]
        for row, one in enumerate(mine):
            gap = results[row].against_reference[key]
            assert (one["difference_mag"], one["verdict"]) == (gap.value, gap.verdict)
            assert is_drawn(lines, [1000 * one["low_mag"], 1000 * one["high_mag"]], [row, row])


def test_a_difference_far_beyond_the_others_is_named_at_the_edge(comparison):
    figure = difference_figure(comparison)
    axes = figure.figure.axes[0]
    (gap,) = [
        one.against_reference["blocked_sd"] for one in comparison.backends if one.name == "ridge"
    ]
    assert 1000 * gap.value > axes.get_xlim()[1]
    assert f"{1000 * gap.value:+.0f}" in [text.get_text().strip() for text in axes.texts]


def test_calibration_and_costs_drawn_are_those_of_their_tables(comparison, tables):
    figure = coverage_figure(comparison)
    for name in tables:
        mine = rows_of(figure.data, name)
        assert is_drawn(lines_of(figure, 0), mine["expected"], mine["found"])
        assert is_drawn(
            lines_of(figure, 1), mine["expected"], 100 * (mine["found"] - mine["expected"])
        )
    figure = cost_figure(comparison, drawn.costs())
    for cost in drawn.costs():
        (mine,) = rows_of(figure.data, cost.backend)
        spread = 1000 * mine["sd_mag"]
        assert is_drawn(lines_of(figure, 0), [cost.fit_s], [spread])
        assert is_drawn(lines_of(figure, 1), [cost.predict_per_s / 1000], [spread])


def test_errors_that_hold_lie_on_the_line_and_halved_ones_above(comparison, tables):
    name = drawn.REFERENCE
    honest = reliability_figure(comparison, {name: tables[name]}).data
    # A quantile of 750 of a normal distribution scatters by 4 per cent; the tilt adds some.
    np.testing.assert_allclose(honest["half_width_mag"] / honest["err_mag"], 1, atol=0.2)
    halved = replace(tables[name], err_mag=tables[name].err_mag / 2)
    too_small = reliability_figure(comparison, {name: halved}).data
    np.testing.assert_allclose(too_small["err_mag"], honest["err_mag"] / 2)
    np.testing.assert_array_equal(too_small["half_width_mag"], honest["half_width_mag"])


def test_a_comparison_of_faulty_backends_only_is_still_a_page(comparison, tmp_path):
    faulty = replace(comparison, backends=comparison.backends[-1:], ranking=(), data_note="")
    write_page(comparison_page(faulty, [], {}), tmp_path)
    read = Reader((tmp_path / "index.html").read_text(encoding="utf-8"))
    assert "No backend could be judged." in read.text
    assert comparison.backends[-1].fault in read.text
    assert read.all("img") == []


def test_a_backend_that_is_far_off_does_not_shrink_the_others(comparison, tables):
    two = list(tables)[:2]
    few = replace(comparison, backends=comparison.backends[:2], ranking=(tuple(two),))
    wild = replace(tables[two[1]], predicted_mag=40 * tables[two[1]].predicted_mag)
    alone = predicted_figure(few, {name: tables[name] for name in two})
    beside = predicted_figure(few, {two[0]: tables[two[0]], two[1]: wild})
    assert alone.figure.axes[0].get_xlim() == beside.figure.axes[0].get_xlim()
    assert len(rows_of(beside.data, two[0])) == len(rows_of(alone.data, two[0]))
    trends = trend_figures(drawn.comparison({two[0]: tables[two[0]], two[1]: wild}))
    low, high = trends[0].figure.axes[0].get_ylim()
    usual = drawn.figures_of(tables[two[0]]).trends["predicted_colour"]
    reach = 1000 * (np.abs(usual.mean_mag) + usual.err_mag).max()
    assert reach < high == -low < 5 * reach


def test_one_backend_alone_has_no_differences(comparison, tables):
    alone = replace(comparison, backends=comparison.backends[:1], ranking=((drawn.REFERENCE,),))
    page = comparison_page(alone, [], {})
    assert "Differences" not in [section.title for section in page.sections]
    assert "Against the reference" not in " ".join(page.answer)


def test_stars_without_a_prediction_or_an_error_are_left_out(comparison, tables):
    name = drawn.REFERENCE
    table = tables[name]
    some = np.where(np.arange(drawn.STARS) % 3 == 0, np.nan, 1.0)
    holes = replace(table, predicted_mag=table.predicted_mag * some)
    without = replace(table, err_mag=np.full(drawn.STARS, np.nan))
    kept = int(np.isfinite(some).sum())
    scatter = scatter_figure(comparison, {name: holes}).data
    assert scatter["stars"][scatter["variable"] == "extinction"].sum() == kept
    assert predicted_figure(comparison, {name: holes}).data["stars"].sum() <= kept
    assert sky_figure(comparison, {name: holes}).data["stars"].sum() <= kept
    assert reliability_figure(comparison, {name: without}) is None


def test_columns_of_residuals_must_match(tables):
    with pytest.raises(ValueError, match="differ in shape"):
        replace(tables[drawn.REFERENCE], ra=np.zeros(3))


def test_names_of_backends_stay_as_they_are_in_sentences(comparison):
    hyphened = BackendResult(
        "deep-net",
        folds=comparison.backends[1].folds,
        against_reference=comparison.backends[1].against_reference,
    )
    said = answer(
        Comparison.from_json(replace(comparison, backends=(hyphened,), ranking=()).to_json())
    )
    assert said[0].startswith("deep-net has the smallest dispersion")
    assert "deep-net (" in said[1]


def test_residual_table_is_predicted_less_observed():
    one = np.ones(2)
    table = ResidualTable(one, 3 * one, one, one, one, one, one, one)
    np.testing.assert_array_equal(table.residual_mag, [2.0, 2.0])
