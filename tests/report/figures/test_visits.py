"""Visit offsets in time are those of the run, season by season."""

from __future__ import annotations

import numpy as np
import pytest
from run_drawn import assert_drawn, made_up_run

from scrframe.report.figures.visits import figure_visit_time


@pytest.fixture(scope="module")
def data():
    return made_up_run()


def test_visits_in_order_of_date(data):
    product = figure_visit_time(data)
    assert_drawn(product)
    visits, order = data.visit_table, np.argsort(data.visit_table.mjd)
    assert list(product.data["visit"]) == [visits.visit[row] for row in order]
    for name, values in (
        ("offset", visits.offset_mag),
        ("scatter", visits.scatter_mag),
        ("season", visits.season),
    ):
        assert np.array_equal(product.data[name], values[order])
    mean, sd = 1000 * visits.offset_mag.mean(), 1000 * visits.offset_mag.std()
    assert f"mean {mean:.1f} mmag" in product.alt and f"deviation {sd:.1f} mmag" in product.alt


def test_lines_stand_at_the_means(data):
    above = figure_visit_time(data).figure.axes[0]
    levels = [np.unique(line.get_ydata()) for line in above.lines]
    levels = [one[0] for one in levels if len(one) == 1]
    offset, season = 1000 * data.visit_table.offset_mag, data.visit_table.season
    wanted = [offset.mean(), offset.mean() - offset.std(), offset.mean() + offset.std()]
    wanted += [offset[season == year].mean() for year in np.unique(season)]
    for value in wanted:
        assert np.min(np.abs(np.array(levels) - value)) < 1e-9


def test_seasons_begin_in_october(data):
    # A band's edge between two seasons is 1 October: no visit lies in a band of another season.
    above = figure_visit_time(data).figure.axes[0]
    years = np.unique(data.visit_table.season)
    for number, patch in enumerate(above.patches):
        low, high = patch.get_extents().transformed(above.transData.inverted()).intervalx
        inside = (data.visit_table.mjd > low) & (data.visit_table.mjd < high)
        assert set(data.visit_table.season[inside]) <= {years[2 * number]}


def test_a_wild_visit_does_not_squeeze_the_others():
    data = made_up_run(2000)
    data.visit_table.scatter_mag[5] = 1.0
    product = figure_visit_time(data)
    assert product.figure.axes[1].get_ylim()[1] == pytest.approx(2 * 40.0)
    assert "reaches 1000.0 mmag" in product.alt
    texts = " ".join(text.get_text() for text in product.figure.axes[1].texts)
    assert "up to 1000 mmag" in texts


def test_undated_visits_are_left_out():
    data = made_up_run(2000)
    data.visit_table.mjd[2:] = np.nan
    assert len(figure_visit_time(data).data) == 2
    data.visit_table.mjd[1] = np.nan
    assert figure_visit_time(data) is None
