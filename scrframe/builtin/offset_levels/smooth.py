"""A smooth prior over points of the sky, with a sparse precision.

Each point is predicted from its nearest predecessors alone (Vecchia 1988, J. R. Stat. Soc. B
50, 297), which makes the precision sparse and positive definite whatever the points.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from scrframe.arrays import FloatArray, IntArray

#: Predecessors on which a point depends, and how many are looked through to find them.
PREDECESSORS, LOOKED_AT = 20, 80
#: Share of the variance that is a point's own, so that close points do not make it singular.
OWN_SHARE = 1e-3
#: The correlation is 0.6 at the scale: (1 + t) exp(-t) with t = 1.376 there.
STRETCH = 1.376


def correlation(distance: FloatArray, scale: float) -> FloatArray:
    """Return the correlation at distances, same shape: a Matern function of order 3/2."""
    reach = STRETCH * np.asarray(distance) / scale
    return np.asarray((1 + reach) * np.exp(-reach))


def smooth_precision(points: FloatArray, scale: float) -> sparse.csr_array:
    """Return the precision, shape (n, n), of a smooth function of unit variance.

    Parameters
    ----------
    points : ndarray, shape (n, 3)
        Unit vectors.
    scale : float
        Chord at which the correlation is 0.6.
    """
    number = len(points)
    if number == 0:
        return sparse.csr_array((0, 0))
    before = _predecessors(points)
    known = before >= 0
    near = points[np.maximum(before, 0)]
    own = correlation(np.linalg.norm(near - points[:, None, :], axis=2), scale) * known
    own *= 1 - OWN_SHARE
    among = correlation(np.linalg.norm(near[:, :, None, :] - near[:, None, :, :], axis=3), scale)
    among *= (1 - OWN_SHARE) * (known[:, :, None] & known[:, None, :])
    among[:, np.arange(before.shape[1]), np.arange(before.shape[1])] = 1.0
    share = np.linalg.solve(among, own[:, :, None])[:, :, 0]
    rest = 1 - np.sum(share * own, axis=1)
    row = np.repeat(np.arange(number), known.sum(axis=1))
    chain = sparse.csr_array((-share[known], (row, before[known])), shape=(number, number))
    chain = sparse.csr_array(chain + sparse.identity(number, format="csr"))
    return sparse.csr_array(chain.T @ sparse.csr_array(sparse.diags_array(1 / rest)) @ chain)


def _predecessors(points: FloatArray) -> IntArray:
    """Return the nearest points of smaller index, shape (n, k), -1 for none."""
    number = len(points)
    looked = min(LOOKED_AT, number)
    found = np.asarray(cKDTree(points).query(points, k=looked)[1]).reshape(number, looked)
    earlier = found < np.arange(number)[:, None]
    order = np.argsort(~earlier, axis=1, kind="stable")[:, : min(PREDECESSORS, looked)]
    rows = np.arange(number)[:, None]
    return np.where(earlier[rows, order], found[rows, order], -1)
