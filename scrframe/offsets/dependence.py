"""Exact linear dependences between the terms of a design.

Most terms are partitions: a detection has at most one column. What two of them have in
common is read off a graph: its nodes are the columns of both, its edges the pairs that
occur in a detection. Each connected component whose columns can be weighted so that both
sides agree in every detection is one direction in common. That takes linear time. Terms of
another shape are compared by the ranks of their normal matrices where these are small
enough; else by the sum of their columns alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from scrframe.offsets.model import FloatArray, IntArray, MixedModel, Term

#: Eigenvalue of a normal matrix of unit diagonal below which a direction is null.
NULL = 1e-10


@dataclass(frozen=True)
class Partition:
    """Rows with one column each: code (-1 for none) and weight.

    Attributes
    ----------
    code : ndarray of int64, shape (n,)
    weight : ndarray, shape (n,)
    member : ndarray of int64, shape (q,)
        Code that each column of the term belongs to.
    exact : bool
        Whether each column has a code of its own; else the codes are sums of columns.
    """

    code: IntArray
    weight: FloatArray
    member: IntArray
    exact: bool

    @classmethod
    def of(cls, matrix: sparse.csr_array) -> Partition:
        """Return the partition that a matrix is, or the one made by summing its columns."""
        rows, width = matrix.shape
        counts = np.diff(matrix.indptr)
        if counts.max(initial=0) <= 1:
            code = np.full(rows, -1, dtype=np.int64)
            code[counts == 1] = matrix.indices
            weight = np.zeros(rows)
            weight[counts == 1] = matrix.data
            return cls(code, weight, np.arange(width), True)
        # Columns that meet in a row belong together.
        row = np.repeat(np.arange(rows), counts)
        shape = (rows + width, rows + width)
        graph = sparse.csr_array((np.ones(len(row)), (row, rows + matrix.indices)), shape=shape)
        label = connected_components(graph, directed=False)[1]
        member = np.unique(label[rows:], return_inverse=True)[1].astype(np.int64)
        weight = np.asarray(matrix.sum(axis=1), dtype=np.float64)
        code = np.full(rows, -1, dtype=np.int64)
        code[row] = member[matrix.indices]
        code[weight == 0] = -1
        return cls(code, weight, member, False)

    def at(self, exposure: IntArray) -> Partition:
        """Return the partition of detections from that of exposures."""
        return Partition(self.code[exposure], self.weight[exposure], self.member, self.exact)

    @property
    def width(self) -> int:
        """Return the number of codes."""
        return int(self.member.max(initial=-1)) + 1


@dataclass(frozen=True)
class Block:
    """The columns of one term that some detection has.

    Attributes
    ----------
    term : Term
    used : ndarray of int64, shape (q,)
        Columns with data, counted from the term's first.
    shared : bool
        Whether rows are exposures; else detections.
    matrix : csr_array, shape (x or n, q)
    partition : Partition
    """

    term: Term
    used: IntArray
    shared: bool
    matrix: sparse.csr_array
    partition: Partition

    @property
    def width(self) -> int:
        """Return the number of columns with data."""
        return len(self.used)


@dataclass(frozen=True)
class Directions:
    """What two blocks have in common.

    Attributes
    ----------
    count : int
        Number of independent directions.
    first, second : ndarray of int64, shape (q,), or None
        Direction that each column of either takes part in, -1 for none; None where only
        their number is known.
    same : ndarray of int64, shape (k,)
        Columns of the first that are multiples of a column of the second.
    nested, holds : bool
        Whether the first lies in the span of the second, and the other way round.
    vectors : ndarray or csc_array, shape (q first + q second, count or more)
        Null vectors of both blocks side by side.
    """

    count: int
    first: IntArray | None
    second: IntArray | None
    same: IntArray
    nested: bool
    holds: bool
    vectors: sparse.csc_array | FloatArray


class Columns:
    """The blocks of a model, and their normal matrices."""

    def __init__(self, model: MixedModel) -> None:
        count = np.bincount(model.exposure, minlength=model.by_exposure.shape[0])
        held = np.flatnonzero(count)
        self._exposure = (np.cumsum(count > 0) - 1)[model.exposure]
        rows = np.arange(len(self._exposure))
        shape = (len(held), len(rows))
        self._sums = sparse.csr_array((np.ones(len(rows)), (self._exposure, rows)), shape=shape)
        self._number = sparse.csr_array(sparse.diags_array(count[held].astype(np.float64)))
        split = model.by_exposure.shape[1]
        shared, own = sparse.csr_array(model.by_exposure[held]), model.by_detection
        self.blocks = tuple(
            _block(term, shared[:, term.columns], True)
            if term.last <= split
            else _block(term, own[:, term.first - split : term.last - split], False)
            for term in model.terms
        )

    def directions(self, first: Block, second: Block, dense_width: int) -> Directions:
        """Return what two blocks have in common."""
        exact = first.partition.exact and second.partition.exact
        if not exact and first.width + second.width <= dense_width:
            return self._dense(first, second)
        a, b = first.partition, second.partition
        if first.shared != second.shared:
            a = a.at(self._exposure) if first.shared else a
            b = b.at(self._exposure) if second.shared else b
        return common_directions(a, b)

    def _dense(self, first: Block, second: Block) -> Directions:
        value, vector, scale = self.spectrum([first, second])
        null = value < NULL
        # Columns of unit length are multiples where their product is one; see NULL.
        product = self.gram([first, second])[0][: first.width, first.width :]
        same = np.flatnonzero(np.any(np.abs(product) > 1.0 - NULL, axis=1))
        alone = self.nullity([first]), self.nullity([second])
        count = int(null.sum()) - sum(alone)
        nested = count == first.width - alone[0], count == second.width - alone[1]
        vectors = vector[:, null] / scale[:, None]
        return Directions(count, None, None, same, *nested, vectors)

    def nullity(self, blocks: Sequence[Block]) -> int:
        """Return the number of null directions of blocks side by side."""
        if not blocks:
            return 0
        return int(np.count_nonzero(np.linalg.eigvalsh(self.gram(blocks)[0]) < NULL))

    def spectrum(self, blocks: Sequence[Block]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return eigenvalues and vectors of the normal matrix, and the columns' scale."""
        gram, scale = self.gram(blocks)
        value, vector = np.linalg.eigh(gram)
        return value, vector, scale

    def gram(self, blocks: Sequence[Block]) -> tuple[FloatArray, FloatArray]:
        """Return the normal matrix of blocks side by side, of unit diagonal, and its scale."""
        order = combinations_with_replacement(range(len(blocks)), 2)
        upper = {(i, j): self._product(blocks[i], blocks[j]) for i, j in order}
        gram = np.block(
            [
                [upper[i, j] if i <= j else upper[j, i].T for j in range(len(blocks))]
                for i in range(len(blocks))
            ]
        )
        scale = np.sqrt(np.diag(gram))
        return gram / np.outer(scale, scale), scale

    def _product(self, a: Block, b: Block) -> FloatArray:
        """Return the sums over detections of the products of two blocks' columns."""
        if a.shared and b.shared:
            product = a.matrix.T @ (self._number @ b.matrix)
        elif a.shared:
            product = a.matrix.T @ (self._sums @ b.matrix)
        elif b.shared:
            product = (self._sums @ a.matrix).T @ b.matrix
        else:
            product = a.matrix.T @ b.matrix
        return np.asarray(product.toarray(), dtype=np.float64)


def _block(term: Term, matrix: sparse.csr_array, shared: bool) -> Block:
    matrix = sparse.csr_array(matrix)
    matrix.eliminate_zeros()
    used = np.unique(matrix.indices)
    if len(used) < matrix.shape[1]:
        matrix = sparse.csr_array(matrix[:, used])
    return Block(term, used.astype(np.int64), shared, matrix, Partition.of(matrix))


def common_directions(first: Partition, second: Partition) -> Directions:
    """Return the directions that two partitions of the same n rows have in common."""
    widths = first.width, second.width
    nodes = sum(widths)
    a, b, gain, even = _edges(first, second)
    graph = sparse.csr_array((np.ones(len(a)), (a, b + widths[0])), shape=(nodes, nodes))
    total, label = connected_components(graph, directed=False)
    good = np.ones(total, dtype=bool)
    # A row that only one side has keeps that side's column out of the other's span.
    good[label[first.code[(first.code >= 0) & (second.code < 0)]]] = False
    good[label[second.code[(second.code >= 0) & (first.code < 0)] + widths[0]]] = False
    good[label[a[~even]]] = False
    value = _potentials(a, b + widths[0], gain, label.astype(np.int64))
    agrees = np.isclose(value[a] * gain, value[b + widths[0]], rtol=1e-9, atol=0.0)
    good[label[a[~agrees]]] = False
    number = np.where(good, np.cumsum(good) - 1, -1)[label]
    ends = number[: widths[0]], number[widths[0] :]
    count = int(good.sum())
    one = [np.bincount(end[end >= 0], minlength=count) == 1 for end in ends]
    alike = one[0] & one[1] & (first.exact and second.exact)
    same = np.flatnonzero(ends[0] >= 0)
    same = same[alike[ends[0][same]]]
    member = np.concatenate([first.member, second.member + widths[0]])
    sign = np.where(member < widths[0], 1.0, -1.0)
    return Directions(
        count,
        ends[0][first.member],
        ends[1][second.member],
        same,
        first.exact and _alone(ends[0], count),
        second.exact and _alone(ends[1], count),
        _vectors(number[member], sign * value[member], count),
    )


def _edges(
    first: Partition, second: Partition
) -> tuple[IntArray, IntArray, FloatArray, npt.NDArray[np.bool_]]:
    """Return the pairs of columns that occur, their weights' ratio and if it is constant."""
    both = (first.code >= 0) & (second.code >= 0)
    key = first.code[both] * second.width + second.code[both]
    ratio = first.weight[both] / second.weight[both]
    if np.all(ratio == 1.0):
        edge = np.unique(key)
        gain, even = np.ones(len(edge)), np.ones(len(edge), dtype=bool)
    else:
        edge, row, inverse = np.unique(key, return_index=True, return_inverse=True)
        gain = ratio[row]
        off = ~np.isclose(ratio, gain[inverse], rtol=1e-9, atol=0.0)
        even = np.bincount(inverse[off], minlength=len(edge)) == 0
    width = max(second.width, 1)
    return edge // width, edge % width, gain, even


def _potentials(a: IntArray, b: IntArray, gain: FloatArray, label: IntArray) -> FloatArray:
    """Weight the columns so that both ends of an edge agree, from the first of each component."""
    value = np.full(len(label), np.nan)
    value[np.unique(label, return_index=True)[1]] = 1.0
    if np.all(gain == 1.0):
        return np.ones(len(label))
    while True:
        forth = np.isfinite(value[a]) & np.isnan(value[b])
        value[b[forth]] = value[a[forth]] * gain[forth]
        back = np.isfinite(value[b]) & np.isnan(value[a])
        value[a[back]] = value[b[back]] / gain[back]
        if not (forth.any() or back.any()):
            return value


def _alone(number: IntArray, count: int) -> bool:
    """Return whether each column has a direction to itself."""
    return len(number) == count and bool(np.all(number >= 0))


def _vectors(number: IntArray, value: FloatArray, count: int) -> sparse.csc_array:
    row = np.flatnonzero(number >= 0)
    return sparse.csc_array((value[row], (row, number[row])), shape=(len(number), count))
