"""Detectors stand where the camera has them: no mirror, no flip, judged by the drawn pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from run_drawn import NX, NY, STEP, camera, made_up_run

from scrframe.report.figures.focal_plane import detector_size, focal_plane
from scrframe.report.style import house_style, new_figure
from scrframe.tables import Camera


def painted(one: Camera, ccd: int, x_pix: tuple[float, float], y_pix: tuple[float, float]):
    """Return where a single painted rectangle appears: right and up, 0 to 1 within the axes."""
    plane = focal_plane(one, [1, 2], (1, 1))
    sides = [(np.array([low]), np.array([high])) for low, high in (x_pix, y_pix)]
    with house_style():
        figure = new_figure(3.5)
        axes = figure.add_axes((0, 0, 1, 1))
        corners = plane.corners([ccd], *sides)
        plane.draw(axes, corners, np.array([1.0]), Normalize(-1, 1))
        axes.set_axis_off()
        figure.set_layout_engine("none")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        image = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    box = axes.get_position()
    red = (image[..., 0] > 60) & (image[..., 1] < 60)
    row, column = np.nonzero(red)
    assert len(row) > 50
    height, width = red.shape
    across = (column.mean() / width - box.x0) / box.width
    up = (1 - row.mean() / height - box.y0) / box.height
    return across, up


@pytest.mark.parametrize(
    ("ccd", "left", "low"), [(1, True, True), (2, False, True), (5, True, False)]
)
def test_north_is_up_and_east_to_the_left(ccd, left, low):
    across, up = painted(camera(), ccd, (0.5, NX + 0.5), (0.5, NY + 0.5))
    assert (across < 0.5, up < 0.5) == (left, low)


@pytest.mark.parametrize("x_sign", [-1, 1])
@pytest.mark.parametrize("y_sign", [-1, 1])
def test_a_corner_of_a_ccd_lies_where_its_pixels_run(x_sign, y_sign):
    one = camera(x_sign, y_sign)
    centre = painted(one, 5, (0.5, NX + 0.5), (0.5, NY + 0.5))
    corner = painted(one, 5, (0.5, 100.5), (0.5, 200.5))
    # Low x lies west of the centre, to the right, where x runs east; low y south where y runs
    # north.
    assert (corner[0] > centre[0]) == (x_sign > 0)
    assert (corner[1] < centre[1]) == (y_sign > 0)


def test_pixels_have_the_standard_coordinates_of_the_camera():
    one = camera()
    plane = focal_plane(one, [1, 2, 5], (1, 1))
    assert plane.ccd.tolist() == [1, 2, 5]
    x, y = np.array([37.0]), np.array([612.0])
    corner = plane.corners([2], (x, x + 1), (y, y + 1))[0, 0]
    xi = -220 * STEP + -1 * (37.0 - (NX + 1) / 2) * STEP
    eta = -420 * STEP + (612.0 - (NY + 1) / 2) * STEP
    np.testing.assert_allclose(corner, [xi, eta], rtol=1e-12)


def test_the_corners_of_detectors_go_by_their_own_numbers_not_by_the_order_of_the_camera():
    plane = focal_plane(camera(), [1, 2, 5], (1, 1))
    assert plane.place_of([5, 3, 1]).tolist() == [2, -1, 0]
    outline = plane.outlines()[plane.place_of([5])[0]]
    np.testing.assert_allclose(outline.mean(axis=0), [220 * STEP, 420 * STEP], rtol=1e-12)


def test_without_a_camera_numbers_run_from_the_upper_left():
    plane = focal_plane(None, [7, 3, 4, 9], (100, 100))
    assert not plane.on_sky
    assert "plain grid" in plane.words
    at = dict(zip(plane.ccd.tolist(), plane.centre.tolist(), strict=True))
    assert at[3][0] < at[4][0]
    assert at[3][1] == at[4][1] > at[7][1] == at[9][1]
    assert at[7][0] == at[3][0]


def test_a_camera_that_lacks_a_ccd_of_the_data_is_not_used():
    assert not focal_plane(camera(), [1, 2, 3], (100, 100)).on_sky


def test_detectors_of_a_grid_do_not_overlap():
    plane = focal_plane(None, range(1, 33), (2048, 4100))
    low, high = plane.outlines().min(axis=1), plane.outlines().max(axis=1)
    apart = (low[:, None] >= high[None] - 1e-9) | (high[:, None] <= low[None] + 1e-9)
    assert np.all(apart.any(axis=-1) | np.eye(32, dtype=bool))


def test_the_size_of_a_detector_is_the_camera_s_or_reaches_to_the_last_detection():
    places = {"x_pix": np.array([0.6, 99.9, np.nan]), "y_pix": np.array([3.0, 200.4, 5.0])}
    run = made_up_run(rows=3, visits=1, **places)
    assert detector_size(run) == (100.0, 200.0)
    assert detector_size(replace(run, camera=camera())) == (NX, NY)
    assert detector_size(made_up_run(rows=3, visits=1)) == (1.0, 1.0)
