"""Draws of the right-hand side of the mixed model: of noise, stars and terms.

Solved for, they are draws of the parameters' errors, N(0, C) with C the inverse of the
system (García-Cortés & Sorensen 2001, Genet. Sel. Evol. 33, 443).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse

from scrframe.arrays import FloatArray
from scrframe.offsets.joint.mixed_model import MixedModel, Weights
from scrframe.offsets.joint.variance_components import random_terms
from scrframe.offsets.shared.sources import common_terms


def noise_draw(model: MixedModel, weights: Weights, random: np.random.Generator) -> FloatArray:
    """Return V^-1 (s + e) for a draw of stars' deviations and noise, shape (n,).

    Written so that no variance appears: that of an outlier is next to infinite.
    """
    star, stars = model.star, model.stars
    noise = random.standard_normal(len(star))  # in place from here on
    noise *= np.sqrt(weights.detection)
    own = np.sqrt(weights.star) * random.standard_normal(stars)
    total = weights.star + np.bincount(star, weights.detection, minlength=stars)
    known = total > 0
    share = (own - np.bincount(star, noise, minlength=stars)) / np.where(known, total, 1.0)
    drawn = share[star]
    drawn *= weights.detection
    drawn += noise
    common = common_terms(model, weights)
    return drawn if common is None else common.drawn(drawn, weights, random)


#: What multiplies standard normal values to give the precision of a term as covariance.
Root = FloatArray | sparse.csr_array


def prior_roots(model: MixedModel) -> dict[str, Root]:
    """Return a root F of each random term's precision, F F^T = precision."""
    return {
        term.name: _root(term.precision)
        for term in random_terms(model)
        if term.precision is not None
    }


def prior_draw(
    model: MixedModel,
    sd_mag: Mapping[str, float],
    roots: Mapping[str, Root],
    random: np.random.Generator,
) -> FloatArray:
    """Return a draw of the covariance precision / sd^2, shape (p,)."""
    draw = np.zeros(model.width)
    for term in random_terms(model):
        normal = random.standard_normal(term.width)
        draw[term.columns] = (roots[term.name] @ normal) / sd_mag[term.name]
    return draw


def _root(matrix: sparse.csr_array) -> Root:
    if is_diagonal(matrix):
        return sparse.csr_array(sparse.diags_array(np.sqrt(matrix.diagonal())))
    return np.linalg.cholesky(matrix.toarray())


def is_diagonal(matrix: sparse.csr_array) -> bool:
    """Return whether all off the diagonal of a matrix is 0."""
    return bool(matrix.nnz == np.count_nonzero(matrix.diagonal()))
