"""The smooth prior against the dense covariance that it stands for."""

import numpy as np
import pytest

from scrframe.builtin.offset_levels.sky import OWN_SHARE, correlation, smooth_precision
from scrframe.tables import chord, unit_vectors


def grid(side, step_deg, ra=120.0, dec=-20.0):
    x, y = np.meshgrid(np.arange(side) * step_deg, np.arange(side) * step_deg)
    return unit_vectors(ra + x.ravel() / np.cos(np.deg2rad(dec)), dec + y.ravel())


def covariance(points, scale):
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    values = correlation(distance, scale) * (1 - OWN_SHARE)
    np.fill_diagonal(values, 1.0)
    return values


def test_correlation_at_the_scale():
    assert correlation(np.array([0.0, 2.0]), 2.0) == pytest.approx([1.0, 0.6], abs=1e-3)


def test_few_points_are_exact():
    points, scale = grid(3, 0.5), chord(2.0)
    inverse = np.linalg.inv(smooth_precision(points, scale).toarray())
    assert inverse == pytest.approx(covariance(points, scale), abs=1e-9)


def test_many_points_are_close():
    points, scale = grid(12, 0.5), chord(2.0)
    inverse = np.linalg.inv(smooth_precision(points, scale).toarray())
    # What a score of predecessors leave out is a few per cent of the variance.
    assert np.abs(inverse - covariance(points, scale)).max() < 0.06


def test_distant_groups_are_independent_and_the_matrix_is_sparse():
    points = np.concatenate([grid(10, 0.5), grid(10, 0.5, ra=200.0)])
    matrix = smooth_precision(points, chord(2.0))
    inverse = np.linalg.inv(matrix.toarray())
    assert np.abs(inverse[:100, 100:]).max() < 1e-6
    assert matrix.nnz < 0.4 * matrix.shape[0] ** 2
    assert np.linalg.eigvalsh(matrix.toarray()).min() > 0


def test_a_single_point_and_none():
    assert smooth_precision(grid(1, 1.0), chord(2.0)).toarray() == pytest.approx(1.0)
    assert smooth_precision(np.zeros((0, 3)), chord(2.0)).shape == (0, 0)
