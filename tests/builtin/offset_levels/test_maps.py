"""Bilinear maps and polynomials against what they must reproduce."""

import numpy as np
import pytest
from astropy.wcs import WCS
from pydantic import ValidationError
from scipy.special import eval_legendre

from scrframe.builtin.offset_levels.maps import RIDGE, BilinearConfig, prepare_bilinear
from scrframe.builtin.offset_levels.polynomial import PolynomialConfig, prepare_polynomial
from scrframe.errors import DataError

EXTENT = ("2048 pix", "4100 pix")


def bilinear(sample, **settings):
    config = BilinearConfig(**{"by": (), "size": "256 pix", "extent": EXTENT, **settings})
    return prepare_bilinear("map", sample, config)


class TestBilinear:
    def test_nodes_span_the_detector(self, survey, matched):
        labels = bilinear(matched(survey(1))).labels().to_pydict()
        # 2048 / 256 = 8 intervals, 4100 / 256 = 16.02, of 256.25 pixels each.
        assert sorted(set(labels["x_node_pix"])) == [0.5 + 256 * n for n in range(9)]
        assert sorted(set(labels["y_node_pix"])) == [0.5 + 256.25 * n for n in range(17)]
        assert len(labels["x_node"]) == 9 * 17

    def test_a_bilinear_function_is_reproduced(self, survey, matched):
        def truth(x, y):
            return 0.3 + 1e-4 * x - 2e-4 * y + 3e-8 * x * y

        detections = survey(2)
        level = bilinear(matched(detections))
        labels = level.labels()
        nodes = (labels.column(name).to_numpy() for name in ("x_node_pix", "y_node_pix"))
        found = level.design(detections).weights @ truth(*nodes)
        expected = truth(detections["x"], detections["y"])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)

    def test_a_node_belongs_to_itself(self, table, matched, survey):
        level = bilinear(matched(survey(1)))
        labels = level.labels()
        x, y = (labels.column(name).to_numpy() for name in ("x_node_pix", "y_node_pix"))
        at_nodes = table(["v0"] * len(x), [1] * len(x), x, y)
        weights = level.design(at_nodes).weights.toarray()
        np.testing.assert_array_equal(weights, np.eye(len(x)))

    def test_weights_sum_to_one_and_hold_the_edge(self, table, matched, survey):
        level = bilinear(matched(survey(1)))
        x, y = [-50.0, 0.5, 3000.0, 1000.0], [10.0, 10.0, 10.0, 9999.0]
        inside = table(["v0"] * 4, [1] * 4, np.clip(x, 0.5, 2048.5), np.clip(y, 0.5, 4100.5))
        weights = level.design(table(["v0"] * 4, [1] * 4, x, y)).weights
        np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=0, atol=1e-15)
        np.testing.assert_array_equal(weights.toarray(), level.design(inside).weights.toarray())

    def test_the_span_of_the_sample_is_the_default_extent(self, table, matched):
        sample = matched(table(["v"] * 2, [1, 2], [600.5, 3.0], [7.0, 300.5]))
        level = bilinear(sample, extent=None, size="300 pix")
        assert level.state() == {"extent_pix": [600.0, 300.0], "intervals": [2, 1]}
        with pytest.raises(DataError, match="no detection has a finite x"):
            bilinear(matched(table(["v"], [1], [np.nan], [1.0])), extent=None)

    def test_a_smooth_prior_penalises_differences_of_neighbours(self, survey, matched):
        level = bilinear(matched(survey(1)), size="1000 pix", smooth=True)
        nx, ny = 3, 5
        values = np.random.default_rng(1).normal(size=(ny, nx))
        differences = np.sum(np.diff(values, axis=0) ** 2) + np.sum(np.diff(values, axis=1) ** 2)
        expected = differences + RIDGE * np.sum(values**2)
        dense = level.precision().toarray()
        # The scale makes the mean variance of the nodes 1.
        assert np.trace(np.linalg.inv(dense)) / (nx * ny) == pytest.approx(1, rel=1e-12)
        constant = np.ones(nx * ny)
        scale = constant @ dense @ constant / (RIDGE * nx * ny)
        flat = values.ravel()
        assert flat @ dense @ flat == pytest.approx(scale * expected, rel=1e-12)
        covariance = np.linalg.inv(dense)
        assert covariance[0, 1] > covariance[0, 2] > 0

    def test_maps_of_two_detectors_are_independent(self, survey, matched):
        level = bilinear(matched(survey(1)), by=("ccd",), size="2000 pix", smooth=True)
        labels, dense = level.labels(), level.precision().toarray()
        ccd = labels.column("ccd").to_numpy()
        assert np.all(dense[ccd[:, np.newaxis] != ccd] == 0)
        alone = bilinear(matched(survey(1)), size="2000 pix", smooth=True).precision().toarray()
        np.testing.assert_array_equal(dense[np.ix_(ccd == 3, ccd == 3)], alone)


def polynomial(sample, **settings):
    return prepare_polynomial("shape", sample, PolynomialConfig(**settings))


class TestPolynomial:
    def test_they_are_orthonormal_and_without_a_constant(self, table, matched, survey):
        level = polynomial(matched(survey(1)), order=4, extent=EXTENT)
        # Gauss-Legendre quadrature with 9 nodes is exact for products of degree 17.
        node, weight = np.polynomial.legendre.leggauss(9)
        x, y = (part.ravel() for part in np.meshgrid(node, node))
        area = np.outer(weight, weight).ravel() / 4
        pixels = table(["v"] * 81, [1] * 81, 0.5 + 1024 * (x + 1), 0.5 + 2050 * (y + 1))
        design = level.design(pixels).weights.toarray()
        gram = design.T @ (area[:, np.newaxis] * design)
        np.testing.assert_allclose(gram, np.eye(14), rtol=0, atol=1e-13)
        np.testing.assert_allclose(area @ design, 0, rtol=0, atol=1e-14)

    def test_they_are_legendre_polynomials(self, survey, matched):
        detections = survey(2)
        level = polynomial(matched(survey(1)), order=3, extent=EXTENT, by=("ccd",))
        labels = level.labels().to_pydict()
        u, v = (detections["x"] - 0.5) / 1024 - 1, (detections["y"] - 0.5) / 2050 - 1
        design = level.design(detections).weights.toarray()
        for column, (ccd, i, j) in enumerate(
            zip(labels["ccd"], labels["x_degree"], labels["y_degree"], strict=True)
        ):
            product = eval_legendre(i, u) * eval_legendre(j, v)
            expected = np.sqrt((2 * i + 1) * (2 * j + 1)) * product * (detections["ccd"] == ccd)
            np.testing.assert_allclose(design[:, column], expected, rtol=0, atol=1e-13)
        pairs = {*zip(labels["x_degree"], labels["y_degree"], strict=True)}
        assert pairs == {(i, j) for i in range(4) for j in range(4) if 1 <= i + j <= 3}

    def test_the_focal_plane_is_the_tangent_plane(self, survey, matched):
        # Some visits of this survey lie across right ascension 0.
        detections = survey(1)
        level = polynomial(matched(detections), over="focal_plane", order=1)
        state = level.state()
        design = level.design(detections).weights.toarray() / np.sqrt(3)
        largest = 0.0
        for visit, centre in state["centres_deg"].items():
            here = detections["visit"] == visit
            wcs = WCS(naxis=2)
            wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], centre
            plane = wcs.wcs_world2pix(detections["ra"][here], detections["dec"][here], 0)
            expected = np.stack(plane, axis=1) + 1
            found = design[here] * state["scale_deg"]
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
            # The centre is that of the detections, to the curvature of the sky.
            np.testing.assert_allclose(expected.mean(axis=0), 0, rtol=0, atol=1e-4)
            largest = max(largest, np.abs(expected).max())
        assert set(state["centres_deg"]) == set(detections["visit"])
        assert largest == pytest.approx(state["scale_deg"], rel=1e-9)

    def test_a_part_of_a_visit_has_the_same_design(self, survey, matched):
        detections = survey(1)
        level = polynomial(matched(detections), over="focal_plane", order=2)
        part = detections["x"] < 700
        np.testing.assert_array_equal(
            level.design(detections.filter(part)).weights.toarray(),
            level.design(detections).weights.toarray()[part],
        )

    def test_outside_the_frame_the_edge_is_held(self, table, matched, survey):
        level = polynomial(matched(survey(1)), order=3, extent=EXTENT)
        outside, edge = (table(["v"], [1], [x], [9.0]) for x in (5000.0, 2048.5))
        np.testing.assert_array_equal(
            level.design(outside).weights.toarray(), level.design(edge).weights.toarray()
        )

    def test_a_focal_plane_of_one_point_is_refused(self, table, matched):
        with pytest.raises(DataError, match="no visit has detections at two positions"):
            polynomial(matched(table(["a", "b"], [1, 1])), over="focal_plane")

    @pytest.mark.parametrize(
        "settings",
        [{"order": 0}, {"order": 2.5}, {"over": "sky"}, {"over": "focal_plane", "extent": EXTENT}],
    )
    def test_settings_that_are_refused(self, settings):
        with pytest.raises(ValidationError):
            PolynomialConfig.model_validate(settings)
