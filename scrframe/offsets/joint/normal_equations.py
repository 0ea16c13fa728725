"""Normal equations of the mixed model, with every star's own deviation integrated out.

With D the weights of a star's detections and tau that of its deviation, the inverse of the
star's covariance is W = D - D 1 1^T D / (tau + sum of D); V^-1 is W star by star. All of it
stays linear in the number of detections: no matrix by detection or star is ever dense.

Where stars of several surveys are one source, with loadings l on what they have in common,
V^-1 of the source is A - A l l^T A / (1 + l^T A l), A being W star by star. A l of a
detection is l D tau / (tau + sum of D): one more term of rank one for each source.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial, reduce
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import sparse

from scrframe.arrays import FloatArray, IntArray, give_memory_back
from scrframe.errors import CalibrationError
from scrframe.offsets.joint.mixed_model import MixedModel, Weights
from scrframe.offsets.joint.stars import CommonTerms, _by_star, _ratio, by_source, common_terms
from scrframe.offsets.linalg.block_system import System

#: Detections that are worked on at once: few enough for the processor's cache.
CHUNK = 50_000
#: Most chunks that one thread adds up at a time, and groups of them that threads share at least.
GROUP, SHARED = 32, 8


@dataclass(frozen=True)
class StarOrder:
    """Detections in the order of their stars, stars that lie together close together.

    It depends on the model alone: make it once for all rounds of a fit.
    """

    #: Rows of the model in the order of their stars; None if they are in that order. Shape (n,).
    detection: npt.NDArray[np.integer] | None
    #: The stars in that order. Shape (s,).
    star: npt.NDArray[np.integer]
    #: Where each star begins in `detection`. Shape (s + 1,).
    first: IntArray
    #: Where each source begins in `star`, of models with sources; their stars lie together. Shape
    #: (g + 1,).
    source: IntArray | None = None

    @classmethod
    def of(cls, model: MixedModel) -> StarOrder:
        """Sort a model's detections by star, and stars by their first exposure."""
        by_star = _grouped(model.star, model.stars)
        first = np.concatenate([[0], np.cumsum(np.bincount(model.star, minlength=model.stars))])
        count = np.diff(first)
        exposures = model.by_exposure.shape[0]
        seen_in = np.full(model.stars, exposures)
        seen_in[count > 0] = model.exposure[by_star[first[:-1][count > 0]]]
        source = None
        if model.source is None:
            star = _grouped(seen_in, exposures + 1)
        else:
            star, source = by_source(model.source, seen_in)
        ends = np.cumsum(count[star])
        shift = first[:-1][star] - (ends - count[star])
        place = np.repeat(shift, count[star])
        place += np.arange(len(by_star))
        detection = by_star[place]
        sorted_already = bool(np.all(np.diff(detection) > 0))
        first = np.concatenate([[0], ends])
        return cls(None if sorted_already else detection, star, first, source)

    def rows(self, low: int, high: int) -> npt.NDArray[np.integer] | slice:
        """Return the rows of the stars `low` up to, not with, `high` of the order."""
        some = slice(int(self.first[low]), int(self.first[high]))
        return some if self.detection is None else self.detection[some]

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Yield ranges of stars of the order, of about `CHUNK` detections each.

        No source is divided.
        """
        targets = np.arange(CHUNK, int(self.first[-1]), CHUNK)
        inner = np.searchsorted(self.first, targets)
        if self.source is not None:
            inner = self.source[np.searchsorted(self.source, inner)]
        bounds = np.unique(np.concatenate([[0], inner, [len(self.star)]]))
        yield from pairwise(bounds.tolist() if len(bounds) > 1 else [0, 0])


def normal_system(
    model: MixedModel, weights: Weights, order: StarOrder | None = None, threads: int = 2
) -> System:
    """Return Z^T V^-1 Z, shape (p, p), in mag^-2, in blocks.

    Parameters
    ----------
    order : StarOrder, optional
        The model's, where it is at hand.
    threads : int
        Parts of the survey that are worked on at the same time. The result is the same to
        the bit for any number.

    Raises
    ------
    CalibrationError
        If a weight is negative or not finite.
    """
    _check(weights)
    order = StarOrder.of(model) if order is None else order
    full = _Full.of(model.by_detection)
    common = common_terms(model, weights)
    part = partial(_chunks, model, order, full, *_factors(model, weights), common)
    chunks = list(order.chunks())
    size = min(GROUP, 1 << max((len(chunks) // SHARED).bit_length() - 1, 0))
    groups = [chunks[low : low + size] for low in range(0, len(chunks), size)]
    with ThreadPoolExecutor(threads) as executor:
        system = _assemble(model, full, _total(executor.map(part, groups)))
    give_memory_back()
    return system


def normal_matrix(
    model: MixedModel, weights: Weights, order: StarOrder | None = None, threads: int = 2
) -> sparse.csc_array:
    """Return Z^T V^-1 Z as one matrix; all else as `normal_system`."""
    return normal_system(model, weights, order, threads).whole()


@dataclass(frozen=True)
class _Blocks:
    """Products summed so far, of exposures and of the sparse and the full own columns."""

    #: Exposures with exposures, with own columns, own with own; full ones are left out.
    inner: sparse.csr_array
    mixed: sparse.csr_array
    outer: sparse.csr_array
    #: Exposures and own columns with the full ones. Shape (x + b, f).
    by_full: FloatArray


@dataclass(frozen=True)
class _Full:
    """Own columns that every detection has, such as those of a law.

    Their products with all others are sums, which need no search for places.
    """

    #: Entries of each row, the same for all; 0 if there are no such columns.
    entries: int
    #: Where they stand among the entries of each row, and in the matrix. Shape (f,).
    place: IntArray
    column: IntArray

    @classmethod
    def of(cls, design: sparse.csr_array) -> _Full:
        """Look for them where all rows have entries alike."""
        rows = design.shape[0]
        count = np.diff(design.indptr)
        entries = int(count[0]) if rows and np.all(count == count[0]) else 0
        columns = design.indices.reshape(-1, max(entries, 1))
        place = [at for at in range(entries) if np.all(columns[:, at] == columns[0, at])]
        chosen = np.array(place, dtype=np.int64)
        return cls(entries if place else 0, chosen, columns[:1, chosen].ravel().astype(np.int64))

    def split(self, design: sparse.csr_array) -> tuple[sparse.csr_array, FloatArray]:
        """Return rows without these columns, and those as a table, shape (n, f)."""
        rows = design.shape[0]
        if not self.entries:
            return design, np.zeros((rows, 0))
        others = np.delete(np.arange(self.entries), self.place)
        data = design.data.reshape(rows, -1)
        left = data[:, others].ravel(), design.indices.reshape(rows, -1)[:, others].ravel()
        first = len(others) * np.arange(rows + 1, dtype=design.indptr.dtype)
        return sparse.csr_array((*left, first), shape=design.shape), data[:, self.place]


def _factors(model: MixedModel, weights: Weights) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return weights by detection, those of lone detections, and each star's 1 / (tau + sum).

    A star seen once acts as one detection with both variances: no product of pairs.
    """
    used = np.bincount(model.star, weights.detection > 0, minlength=model.stars)
    total = weights.star + _by_star(model, weights.detection)
    lone = np.where(used > 1, 1.0, _ratio(weights.star, total))
    several = np.where(used > 1, _ratio(np.ones(model.stars), total), 0.0)
    return weights.detection, weights.detection * lone[model.star], several


def _chunk(
    model: MixedModel,
    order: StarOrder,
    full: _Full,
    weight: FloatArray,
    lone: FloatArray,
    several: FloatArray,
    common: CommonTerms | None,
    stars: tuple[int, int],
) -> _Blocks:
    """Return the products over some stars of the order: detections, less stars' means."""
    low, high = stars
    rows = order.rows(low, high)
    seen = indicator(model.exposure[rows], model.by_exposure.shape[0])
    design, dense = full.split(model.by_detection[rows])
    factor = several[order.star[low:high]]
    pairs = np.flatnonzero(factor)
    first = order.first[low : high + 1] - order.first[low]
    shape = (high - low, int(first[-1]))
    star = sparse.csr_array((weight[rows], np.arange(shape[1]), first), shape=shape)[pairs]
    scale = np.concatenate([lone[rows], -factor[pairs]])
    if common is not None and order.source is not None:
        more, of_source = common.rows(order.star, order.source, first, weight[rows], stars)
        star = sparse.csr_array(sparse.vstack([star, more], format="csr"))
        scale = np.concatenate([scale, -of_source])
    exposure = sparse.csr_array(sparse.vstack([seen, star @ seen], format="csr"))
    own = sparse.csr_array(sparse.vstack([design, star @ design], format="csr"))
    table = np.concatenate([dense, star @ dense])
    scaled_full = scale[:, None] * table
    by_exposure, by_own, scaled = exposure.T.tocsr(), own.T.tocsr(), scaled_rows(own, scale)
    by_full = np.concatenate([by_exposure @ scaled_full, by_own @ scaled_full])
    # Not by a library of linear algebra, whose sums would depend on its threads.
    within = np.einsum("ni,nj->ij", table, scaled_full)
    by_full[by_exposure.shape[0] + full.column] = within
    return _Blocks(
        sparse.csr_array(by_exposure @ scaled_rows(exposure, scale)),
        sparse.csr_array(by_exposure @ scaled),
        sparse.csr_array(by_own @ scaled),
        by_full,
    )


def _chunks(
    model: MixedModel,
    order: StarOrder,
    full: _Full,
    weight: FloatArray,
    lone: FloatArray,
    several: FloatArray,
    common: CommonTerms | None,
    chunks: list[tuple[int, int]],
) -> _Blocks:
    """Return the sum of `_chunk` over several."""
    return _total(
        _chunk(model, order, full, weight, lone, several, common, stars) for stars in chunks
    )


def _total(parts: Iterable[_Blocks]) -> _Blocks:
    """Add sums of like size to each other: the long ones are touched but few times."""
    sums: list[tuple[int, _Blocks]] = []
    for part in parts:
        blocks, size = part, 0
        while sums and sums[-1][0] == size:
            blocks = _sum(sums.pop()[1], blocks)
            size += 1
        sums.append((size, blocks))
    return reduce(_sum, (blocks for _, blocks in reversed(sums)))


def _sum(first: _Blocks, second: _Blocks) -> _Blocks:
    return _Blocks(
        sparse.csr_array(first.inner + second.inner),
        sparse.csr_array(first.mixed + second.mixed),
        sparse.csr_array(first.outer + second.outer),
        first.by_full + second.by_full,
    )


def _assemble(model: MixedModel, full: _Full, blocks: _Blocks) -> System:
    """Return the whole system, exposures mapped to their columns."""
    onto = model.by_exposure.T.tocsr()
    exposures = model.by_exposure.shape[0]
    inner = sparse.csr_array(onto @ (blocks.inner @ model.by_exposure))
    mixed = sparse.csr_array(onto @ blocks.mixed)
    outer = blocks.outer
    if full.entries:
        shared, own = onto @ blocks.by_full[:exposures], blocks.by_full[exposures:]
        mixed = sparse.csr_array(mixed + _in_columns(shared, full.column, mixed))
        across = own.copy()
        across[full.column] = 0.0  # full with full stands in `own` already
        across_rows = _in_columns(across, full.column, outer).T.tocsr()
        outer = sparse.csr_array(outer + _in_columns(own, full.column, outer) + across_rows)
    return System(inner, mixed, outer)


def _in_columns(table: FloatArray, columns: IntArray, like: sparse.csr_array) -> sparse.csr_array:
    """Return a table of few columns as a matrix that has them at these places."""
    parts = sparse.coo_array(table)
    row, column = parts.coords
    return sparse.csr_array((parts.data, (row, columns[column])), shape=like.shape)


def _check(weights: Weights) -> None:
    for name, values in (("detections", weights.detection), ("stars", weights.star)):
        bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
        if len(bad):
            raise CalibrationError(
                f"weights of {name}: {len(bad)} are negative or not finite, the first in "
                f"row {bad[0]}; check the errors of the magnitudes"
            )


def scaled_rows(rows: sparse.csr_array, factor: FloatArray) -> sparse.csr_array:
    """Return a matrix with each row times a factor."""
    data = rows.data * np.repeat(factor, np.diff(rows.indptr))
    return sparse.csr_array((data, rows.indices, rows.indptr), shape=rows.shape)


def _grouped(group: npt.NDArray[np.integer], groups: int) -> npt.NDArray[np.integer]:
    """Return rows sorted by group, in their own order within one, in linear time."""
    kind = np.int32 if len(group) < 2**31 else np.int64
    rows: npt.NDArray[np.int32 | np.int64] = np.arange(len(group), dtype=kind)
    table = sparse.coo_array((rows, (group, rows)), shape=(groups, len(group))).tocsr()
    return np.asarray(table.data)


def indicator(column: npt.NDArray[np.integer], width: int) -> sparse.csr_array:
    """Return a matrix, shape (n, width), with a 1 at a column of each row."""
    rows = len(column)
    return sparse.csr_array((np.ones(rows), column, np.arange(rows + 1)), shape=(rows, width))
