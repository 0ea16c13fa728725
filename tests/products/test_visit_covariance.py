"""The covariance of the visits survives its file, whole or of pairs, and a damaged one is told."""

import numpy as np
import pytest
from astropy.io import fits
from scipy import sparse

from scrframe.errors import DataError
from scrframe.products.visit_covariance import read_visit_covariance, write_visit_covariance

WHOLE = np.array([[2.0, 0.0, -0.5], [0.0, 3.0, 0.0], [-0.5, 0.0, 4.0]])
NAMES = ("a", "long name", "c")


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_it_survives_its_file(tmp_path, form):
    path = tmp_path / "visit_covariance.fits"
    write_visit_covariance(path, NAMES, form(WHOLE), "simulated")
    names, found = read_visit_covariance(tmp_path)
    assert names == NAMES
    assert sparse.issparse(found) == (form is sparse.csr_array)
    np.testing.assert_array_equal(found if form is np.asarray else found.toarray(), WHOLE)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataError, match="is damaged"):
        read_visit_covariance(tmp_path)


def test_pairs_do_not_grow_with_the_square(tmp_path):
    many = sparse.csr_array(sparse.eye_array(20_001))
    path = tmp_path / "visit_covariance.fits"
    write_visit_covariance(path, tuple(f"{n}" for n in range(20_001)), many, "")
    assert path.stat().st_size < 500_000
    assert "from 400 draws" in str(fits.getheader(path)["COMMENT"])
