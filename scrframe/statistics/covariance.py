"""A covariance as a whole matrix, or of many quantities of the pairs that matter alone.

Of many visits hardly any two share a star; the covariances of the others are small, and are
not told. Such a covariance is a sparse matrix that holds its diagonal, and every function here
takes both.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from scipy import sparse

from scrframe.arrays import FloatArray, IntArray

#: Above this many quantities only pairs are told: the whole matrix would take 200 MB and, as the
#: square of their number, soon more than a machine has.
WHOLE = 5_000
#: Shape (v, v).
Covariance: TypeAlias = FloatArray | sparse.csr_array


def variances(covariance: Covariance) -> FloatArray:
    """Return the variances, shape (v,)."""
    found = covariance.diagonal()
    return np.asarray(found, dtype=np.float64)


def entries(covariance: Covariance, row: IntArray, column: IntArray) -> FloatArray:
    """Return covariances of pairs, 0 of those not told; shape (k,)."""
    if not isinstance(covariance, sparse.csr_array):
        return np.asarray(covariance[row, column])
    size = covariance.shape[0]
    ordered = covariance.sorted_indices()
    of_row = np.repeat(np.arange(size, dtype=np.int64), np.diff(ordered.indptr))
    known = of_row * size + ordered.indices
    wanted = np.asarray(row, dtype=np.int64) * size + column
    place = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
    if not len(known):
        return np.zeros(len(wanted))
    return np.where(known[place] == wanted, ordered.data[place], 0.0)


def independent(variance: FloatArray) -> Covariance:
    """Return the covariance of quantities of which nothing else is known."""
    if len(variance) <= WHOLE:
        return np.diag(np.asarray(variance, dtype=np.float64))
    return sparse.csr_array(sparse.diags_array(np.asarray(variance, dtype=np.float64)))


def placed(covariance: Covariance, rows: IntArray, others: FloatArray) -> Covariance:
    """Return the covariance of more quantities, of which some are those given.

    Parameters
    ----------
    covariance : ndarray or csr_array, shape (k, k)
    rows : ndarray of int64, shape (k,)
        Which of all these are.
    others : ndarray, shape (v,)
        Variances of all; those of `rows` are not looked at.
    """
    if not isinstance(covariance, sparse.csr_array):
        whole = independent(others)
        if isinstance(whole, np.ndarray):
            whole[np.ix_(rows, rows)] = covariance
            return whole
    table = sparse.coo_array(covariance)
    alone = np.setdiff1d(np.arange(len(others)), rows)
    row, column = (rows[part] for part in table.coords)
    places = np.concatenate([row, alone]), np.concatenate([column, alone])
    data = np.concatenate([table.data, others[alone]])
    return sparse.csr_array((data, places), shape=(len(others),) * 2)


def without_nan(covariance: Covariance) -> Covariance:
    """Return the covariance with 0 for what is not known."""
    if isinstance(covariance, sparse.csr_array):
        data = np.nan_to_num(covariance.data)
        shape = covariance.shape
        return sparse.csr_array((data, covariance.indices, covariance.indptr), shape=shape)
    return np.nan_to_num(covariance)
