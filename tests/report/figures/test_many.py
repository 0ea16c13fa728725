"""Figures 1 to 6 of a run with 3 million detections."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from run_drawn import made_up_run

from scrframe.report.figures.colour import figure_predicted_colour
from scrframe.report.figures.reddening import figure_reddening
from scrframe.report.figures.sky import figure_control_field, figure_sky_samples
from scrframe.report.figures.visits import figure_visit_sky, figure_visit_time


@pytest.mark.slow
def test_three_million_detections_take_seconds():
    data = made_up_run(3_000_000, visits=1200)
    binned = (figure_sky_samples, figure_control_field, figure_visit_sky, figure_visit_time)
    begin = time.process_time()
    # As a page does it, each figure gets a run of its own, with nothing computed yet.
    products = [figure(replace(data)) for figure in (*binned, figure_reddening)]
    judged = figure_predicted_colour(replace(data))
    # Some 8 s on a slow machine: the whole report may take 60.
    assert time.process_time() - begin < 25
    assert all(len(product.data) < 30_000 for product in products)
    assert len(judged.data) == data.star("in_test").sum()
    assert all(len(product.embedded()) < 1_000_000 for product in (*products, judged))
