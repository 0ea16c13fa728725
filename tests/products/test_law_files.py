"""A law that is written and read back is the same, whatever its terms."""

import numpy as np
import pytest
from astropy.table import QTable

from scrframe.products.solution import coefficient_names, read_law, write_law
from scrframe.tables import FieldSlopes, OrderScore, ReddeningLaw

TERMS = ((1, 0), (0, 0), (0, 1))
SCORES = (OrderScore(1, 1, 0.065, 0.0, 0.0, True), OrderScore(2, 0, 0.066, 1e-5, 2e-6, False))


def a_law(scores=(), slopes=None):
    covariance = np.diag([1.0, 2.0, 3.0]) + 0.5
    return ReddeningLaw(np.array([0.1, 1.4, -1 / 3]), covariance, 0.009, TERMS, scores, slopes)


@pytest.mark.parametrize("scores", [(), SCORES])
def test_terms_and_scores_survive(tmp_path, scores):
    law = a_law(scores)
    write_law(tmp_path, law, {"data_note": "made"})
    again = read_law(tmp_path)
    np.testing.assert_array_equal(again.coefficients, law.coefficients)
    np.testing.assert_array_equal(again.covariance, law.covariance)
    assert (again.terms, again.scores, again.offset_mag) == (TERMS, scores, 0.009)
    assert again.slopes is None
    assert [path.name for path in tmp_path.iterdir()] == ["reddening_law.ecsv"]


def test_slopes_survive_with_units(tmp_path):
    numbers = np.array([[0.01, -0.02], [0.003, 0.004], [0.02, np.nan], [0.004, np.nan]])
    slopes = FieldSlopes(("one: 1.5", "2"), *numbers, 0.028)
    write_law(tmp_path, a_law(slopes=slopes), {"data_note": "made"})
    again = read_law(tmp_path).slopes
    assert (again.field, again.sd) == (slopes.field, slopes.sd)
    for name in ("slope", "err", "free", "free_err"):
        np.testing.assert_array_equal(getattr(again, name), getattr(slopes, name))
    table = QTable.read(tmp_path / "reddening_slopes.ecsv")
    assert str(table["slope"].unit) == "mag"
    assert table.meta["data_note"] == "made"


def test_names_of_coefficients():
    assert coefficient_names(((2, 0), (1, 0), (0, 0))) == ["a0", "a1", "a2"]
    assert coefficient_names(TERMS) == ["a0", "a1", "b1"]
