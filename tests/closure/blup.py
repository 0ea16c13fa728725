"""The bound: the best linear unbiased predictor, with the true variances.

Written apart from the solver, from the definition: stars are integrated out, the three
parts of CCD x visit are one term with a covariance between visits, and the system is
solved densely. Robinson 1991 (Statistical Science 6, 15).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg, sparse

from .drawn import Drawn, Sample, Spread

CORRECTIONS = ("visit", "ccd", "pixel")


@dataclass(frozen=True)
class Errors:
    """Estimated less true offset, by detection, shape (n,), in the gauge of the method.

    Visit terms sum to zero over detections, CCD x visit within a visit, pixel within a CCD
    over all visits.
    """

    sample: Sample
    visit: np.ndarray
    ccd: np.ndarray
    pixel: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """Of the sum of all levels, the survey's constant removed."""
        return self.visit + self.ccd + self.pixel

    def by_group(self, level: str) -> np.ndarray:
        """Return the error of each group of a level that has detections."""
        return getattr(self, level)[self.first(level)]

    def first(self, level: str) -> np.ndarray:
        """Return the first detection of each group of a level."""
        return np.unique(groups(self.sample)[level], return_index=True)[1]


def groups(sample: Sample) -> dict[str, np.ndarray]:
    """Return the number of each detection's group, by level."""
    return {"visit": sample.visit, "ccd": sample.exposure, "pixel": sample.bin}


def in_gauge(sample: Sample, visit: np.ndarray, ccd: np.ndarray, pixel: np.ndarray) -> Errors:
    """Split offsets by detection so that parents hold the means; drop the constant."""
    by_ccd = _mean(pixel, sample.ccd)
    ccd = ccd + by_ccd
    by_visit = _mean(ccd, sample.visit)
    visit = visit + by_visit
    return Errors(sample, visit - visit.mean(), ccd - by_visit, pixel - by_ccd)


def errors(
    sample: Sample, truth: Drawn, visit: np.ndarray, ccd: np.ndarray, pixel: np.ndarray
) -> Errors:
    """Return estimated less true offsets, in gauge."""
    return in_gauge(sample, visit - truth.visit, ccd - truth.ccd, pixel - truth.pixel)


def _mean(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return the mean over each detection's group, shape (n,)."""
    count = np.bincount(group)
    return (np.bincount(group, values) / np.maximum(count, 1))[group]


class Predictor:
    """Factored once for a sample and its variances; solves any number of draws."""

    def __init__(self, sample: Sample, spread: Spread) -> None:
        self.sample, self._spread = sample, spread
        self._design, self._first = _design(sample, spread)
        noise = 1 / spread.noise_mag(sample) ** 2
        sums = np.bincount(sample.star, noise)
        star = spread.star_mag(sample) ** 2
        self._noise, self._shared = noise, star / (1 + star * sums)
        by_star = _group(sample.star, sample.stars) @ sparse.diags_array(noise) @ self._design
        normal = self._design.T @ sparse.diags_array(noise) @ self._design
        normal = normal - by_star.T @ sparse.diags_array(self._shared) @ by_star
        dense = (normal + _precision(sample, spread, self._first)).toarray()
        self._factor = linalg.cho_factor(dense, lower=True, overwrite_a=True, check_finite=False)

    def solve(self, delta: np.ndarray) -> np.ndarray:
        """Return the predicted parameters, shape (p,), of differences, shape (n,)."""
        star = self.sample.star
        weighted = self._noise * delta
        weighted -= self._noise * (self._shared * np.bincount(star, weighted))[star]
        return linalg.cho_solve(self._factor, self._design.T @ weighted, check_finite=False)

    def errors(self, truth: Drawn) -> Errors:
        """Return the predictor's errors on a draw."""
        return errors(self.sample, truth, **self.offsets(truth.delta))

    def correction(self, delta: np.ndarray) -> np.ndarray:
        """Return the predicted constant and corrections of each detection, shape (n,)."""
        parameters = self.solve(delta)
        return parameters[0] + sum(part @ parameters for part in self._parts.values())

    def offsets(self, delta: np.ndarray) -> dict[str, np.ndarray]:
        """Return the predicted corrections of each detection by level, each of shape (n,)."""
        parameters = self.solve(delta)
        return {name: part @ parameters for name, part in self._parts.items()}

    @cached_property
    def covariance(self) -> np.ndarray:
        """Covariance of predicted less true parameters, shape (p, p)."""
        return linalg.cho_solve(
            self._factor, np.eye(self._design.shape[1]), overwrite_b=True, check_finite=False
        )

    def expected(self) -> dict[str, float]:
        """Return the expected rms error by level (over groups) and of the total, in mag."""
        sample = self.sample
        first = {
            name: np.unique(group, return_index=True)[1] for name, group in groups(sample).items()
        }
        visit, ccd, pixel = self._parts.values()
        # As in `in_gauge`: parents take over the means, in parameters instead of values.
        map_mean = _means(sample.ccd) @ pixel
        inside = _means(sample.visit) @ ccd + _counts(sample) @ map_mean
        at = {name: (sample.visit[i], sample.ccd[i]) for name, i in first.items()}
        whole = _means(np.zeros_like(sample.ccd)) @ (visit + ccd + pixel)
        rows = {
            "pixel": pixel[first["pixel"]] - map_mean[at["pixel"][1]],
            "ccd": ccd[first["ccd"]] + map_mean[at["ccd"][1]] - inside[at["ccd"][0]],
            "visit": visit[first["visit"]] + inside[at["visit"][0]],
        }
        found = {}
        for name, each in rows.items():
            dense = each.toarray() - (whole.toarray() if name == "visit" else 0.0)
            found[name] = float(np.sqrt(np.sum((dense @ self.covariance) * dense) / len(dense)))
        every = visit + ccd + pixel
        squares = sparse.coo_array(every.T @ every)
        trace = squares.data @ self.covariance[squares.row, squares.col] / len(sample)
        mean = whole.toarray()[0]
        found["total"] = float(np.sqrt(trace - mean @ self.covariance @ mean))
        return found

    @cached_property
    def _parts(self) -> dict[str, sparse.csr_array]:
        return {name: self._columns(name) for name in CORRECTIONS}

    def _columns(self, name: str) -> sparse.csr_array:
        """Return the design with the columns of one term only."""
        kept = np.zeros(self._design.shape[1])
        kept[slice(*self._first[name])] = 1
        only = sparse.csr_array(self._design @ sparse.diags_array(kept))
        only.eliminate_zeros()
        return only


def _means(group: np.ndarray) -> sparse.csr_array:
    """Return the matrix that takes means over groups, shape (g, n)."""
    count = np.maximum(np.bincount(group), 1)
    return sparse.csr_array(sparse.diags_array(1 / count) @ _group(group, len(count)))


def _counts(sample: Sample) -> sparse.csr_array:
    """Return the share of each CCD in the detections of each visit, shape (v, c)."""
    member = _group(sample.ccd, sample.ccds)
    return sparse.csr_array(_means(sample.visit) @ member.T)


def _group(group: np.ndarray, number: int) -> sparse.csr_array:
    """Return the matrix that sums over groups, shape (number, n)."""
    n = len(group)
    return sparse.csr_array((np.ones(n), (group, np.arange(n))), shape=(number, n))


def _design(sample: Sample, spread: Spread) -> tuple[sparse.csr_array, dict[str, tuple[int, int]]]:
    """Return Z, with the constant as its first column, and the columns of each term."""
    n, field = len(sample), sample.field[sample.visit]
    # Bins without detections would only add columns.
    filled = np.unique(sample.bin, return_inverse=True)[1]
    column = {
        "constant": (np.zeros(n, int), 1, np.ones(n)),
        "visit": (sample.visit, sample.visits, np.ones(n)),
        "ccd": (sample.exposure, sample.visits * sample.ccds, np.ones(n)),
        "pixel": (filled, int(filled.max()) + 1, np.ones(n)),
    }
    if spread.slope:
        column["slope"] = (field, sample.fields, sample.extinction[sample.star])
    if spread.cell:
        column["cell"] = (sample.cell[sample.star], int(sample.cell.max()) + 1, np.ones(n))
    edges = np.cumsum([0, *(width for _, width, _ in column.values())])
    first = {
        name: (int(low), int(high))
        for name, low, high in zip(column, edges, edges[1:], strict=False)
    }
    place = np.stack([number + first[name][0] for name, (number, _, _) in column.items()], axis=1)
    values = np.stack([weight for _, _, weight in column.values()], axis=1)
    indptr = np.arange(n + 1) * len(column)
    shape = (n, int(edges[-1]))
    return sparse.csr_array((values.ravel(), place.ravel(), indptr), shape=shape), first


def _precision(
    sample: Sample, spread: Spread, first: dict[str, tuple[int, int]]
) -> sparse.csr_array:
    """Return the prior precision of all parameters; the constant's is nought."""
    blocks = []
    for name, (low, high) in first.items():
        if name == "constant":
            blocks.append(sparse.csr_array((1, 1)))
        elif name == "ccd":
            inverse = linalg.inv(spread.ccd_covariance(sample))
            blocks.append(sparse.block_diag([inverse] * sample.ccds))
        else:
            blocks.append(sparse.identity(high - low) / getattr(spread, name) ** 2)
    return sparse.csr_array(sparse.block_diag(blocks))
