"""The law as a sum of terms."""

import numpy as np
import pytest

from scrframe.tables import ReddeningLaw

COLOUR0, EXTINCTION = np.array([0.5, 1.5, 2.5]), np.array([0.1, 0.7, 2.0])


def test_coefficients_alone_are_a_polynomial_of_the_colour():
    law = ReddeningLaw(np.array([0.042, 0.027, 1.42]), np.eye(3), 0.0)
    assert law.terms == ((2, 0), (1, 0), (0, 0))
    assert (law.order, law.extinction_order) == (2, 0)
    expected = np.polyval([0.042, 0.027, 1.42], COLOUR0)
    np.testing.assert_array_equal(law.ratio(COLOUR0), expected)
    np.testing.assert_array_equal(law.ratio(COLOUR0, EXTINCTION), expected)


def test_terms_in_the_extinction():
    law = ReddeningLaw(np.array([0.1, 1.4, -0.03]), np.eye(3), 0.0, ((1, 0), (0, 0), (0, 1)))
    assert (law.order, law.extinction_order) == (1, 1)
    expected = 0.1 * COLOUR0 + 1.4 - 0.03 * EXTINCTION
    np.testing.assert_allclose(law.ratio(COLOUR0, EXTINCTION), expected, rtol=1e-14)
    np.testing.assert_allclose(law.ratio(COLOUR0, 0.7), 0.1 * COLOUR0 + 1.4 - 0.021, rtol=1e-14)
    with pytest.raises(ValueError, match="depends on the extinction, which is missing"):
        law.ratio(COLOUR0)


def test_variance_is_that_of_a_linear_combination():
    root = np.array([[1.0, 0.2, -0.3], [0.0, 2.0, 0.4], [0.0, 0.0, 0.5]])
    terms = ((1, 0), (0, 0), (0, 1))
    law = ReddeningLaw(np.zeros(3), root.T @ root, 0.0, terms)
    for colour0, extinction, found in zip(
        COLOUR0, EXTINCTION, law.variance(COLOUR0, EXTINCTION), strict=True
    ):
        row = root @ np.array([colour0, 1.0, extinction])
        assert found == pytest.approx(row @ row, rel=1e-12)


def test_as_many_coefficients_as_terms():
    with pytest.raises(ValueError, match="2 coefficients for 1 terms"):
        ReddeningLaw(np.zeros(2), np.eye(2), 0.0, ((0, 0),))
