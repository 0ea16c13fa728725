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
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from scrframe.arrays import FloatArray, IntArray
from scrframe.offsets.joint.mixed_model import MixedModel, Term

#: Eigenvalue of a normal matrix of unit diagonal below which a direction is null.
NULL = 1e-10
#: Rows that are looked at before all of them.
SAMPLE = 100_000


@dataclass(frozen=True)
class Partition:
    """Rows with one column each."""

    #: Code of each row, the number of codes for none. Shape (n,).
    code: npt.NDArray[np.int32]
    #: None where all are 1. Shape (n,).
    weight: FloatArray | None
    #: Code that each column of the term belongs to. Shape (q,).
    member: IntArray
    #: Whether each column has a code of its own; else the codes are sums of columns.
    exact: bool

    @classmethod
    def of(cls, matrix: sparse.csr_array) -> Partition:
        """Return the partition that a matrix is, or the one made by summing its columns."""
        rows, width = matrix.shape
        counts = np.diff(matrix.indptr)
        if counts.max(initial=0) <= 1:
            code = np.full(rows, width, dtype=np.int32)
            code[counts == 1] = matrix.indices
            if np.all(matrix.data == 1.0):
                return cls(code, None, np.arange(width), True)
            weight = np.ones(rows)
            weight[counts == 1] = matrix.data
            return cls(code, weight, np.arange(width), True)
        # Columns that meet in a row belong together.
        row = np.repeat(np.arange(rows), counts)
        shape = (rows + width, rows + width)
        graph = sparse.csr_array((np.ones(len(row)), (row, rows + matrix.indices)), shape=shape)
        label = connected_components(graph, directed=False)[1]
        member = np.unique(label[rows:], return_inverse=True)[1].astype(np.int64)
        weight = np.asarray(matrix.sum(axis=1), dtype=np.float64)
        none = int(member.max()) + 1
        code = np.full(rows, none, dtype=np.int32)
        code[row] = member[matrix.indices]
        code[weight == 0] = none
        return cls(code, np.where(weight == 0, 1.0, weight), member, False)

    def at(self, exposure: IntArray) -> Partition:
        """Return the partition of detections from that of exposures."""
        weight = None if self.weight is None else self.weight[exposure]
        return Partition(self.code[exposure], weight, self.member, self.exact)

    @property
    def width(self) -> int:
        """Return the number of codes."""
        return int(self.member.max(initial=-1)) + 1


@dataclass(frozen=True)
class TermBlock:
    """The columns of one term that some detection has."""

    term: Term
    #: Columns with data, counted from the term's first. Shape (q,).
    used: IntArray
    #: Whether rows are exposures; else detections.
    shared: bool
    partition: Partition

    @property
    def width(self) -> int:
        """Return the number of columns with data."""
        return len(self.used)


@dataclass(frozen=True)
class Directions:
    """What two blocks have in common."""

    #: Number of independent directions.
    count: int
    #: Direction that each column of either takes part in, -1 for none; None where only their
    #: number is known. Shape (q,).
    first: IntArray | None
    second: IntArray | None
    #: Columns of the first that are multiples of a column of the second. Shape (k,).
    same: IntArray
    #: Whether the first lies in the span of the second, and the other way round.
    nested: bool
    holds: bool
    #: Null vectors of both blocks side by side. Shape (q first + q second, count or more).
    vectors: sparse.csc_array | FloatArray


class Columns:
    """The blocks of a model, and their normal matrices."""

    def __init__(self, model: MixedModel) -> None:
        count = np.bincount(model.exposure, minlength=model.by_exposure.shape[0])
        held = np.flatnonzero(count)
        self._exposure = (np.cumsum(count > 0) - 1)[model.exposure]
        self._number = sparse.csr_array(sparse.diags_array(count[held].astype(np.float64)))
        self._shared = sparse.csr_array(model.by_exposure[held])
        self._own = model.by_detection
        self._expanded: dict[str, Partition] = {}
        self._products: dict[tuple[str, str], FloatArray] = {}
        self.blocks = tuple(self._block(term) for term in model.terms)

    def _block(self, term: Term) -> TermBlock:
        shared = term.last <= self._shared.shape[1]
        matrix = self._matrix(term)
        used = np.flatnonzero(np.bincount(matrix.indices, minlength=term.width))
        if len(used) < term.width:
            matrix = sparse.csr_array(matrix[:, used])
        return TermBlock(term, used, shared, Partition.of(matrix))

    def _matrix(self, term: Term) -> sparse.csr_array:
        split = self._shared.shape[1]
        if term.last <= split:
            matrix = sparse.csr_array(self._shared[:, term.columns])
        else:
            matrix = sparse.csr_array(self._own[:, term.first - split : term.last - split])
        if np.any(matrix.data == 0):
            matrix.eliminate_zeros()
        return matrix

    @cached_property
    def _sums(self) -> sparse.csr_array:
        """The matrix that sums detections over exposures, shape (x, n)."""
        rows = np.arange(len(self._exposure))
        shape = (self._number.shape[0], len(rows))
        return sparse.csr_array((np.ones(len(rows)), (self._exposure, rows)), shape=shape)

    def directions(self, first: TermBlock, second: TermBlock, dense_width: int) -> Directions:
        """Return what two blocks have in common."""
        exact = first.partition.exact and second.partition.exact
        if not exact and first.width + second.width <= dense_width:
            return self._dense(first, second)
        if first.shared and second.shared:
            return common_directions(first.partition, second.partition)
        return common_directions(self._by_detection(first), self._by_detection(second))

    def _by_detection(self, block: TermBlock) -> Partition:
        if not block.shared:
            return block.partition
        name = block.term.name
        if name not in self._expanded:
            self._expanded[name] = block.partition.at(self._exposure)
        return self._expanded[name]

    def _dense(self, first: TermBlock, second: TermBlock) -> Directions:
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

    def nullity(self, blocks: Sequence[TermBlock]) -> int:
        """Return the number of null directions of blocks side by side."""
        if not blocks:
            return 0
        return int(np.count_nonzero(np.linalg.eigvalsh(self.gram(blocks)[0]) < NULL))

    def spectrum(self, blocks: Sequence[TermBlock]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return eigenvalues and vectors of the normal matrix, and the columns' scale."""
        gram, scale = self.gram(blocks)
        value, vector = np.linalg.eigh(gram)
        return value, vector, scale

    def gram(self, blocks: Sequence[TermBlock]) -> tuple[FloatArray, FloatArray]:
        """Return the normal matrix of blocks side by side, of unit diagonal, and its scale."""
        gram = np.block([[self._product(a, b) for b in blocks] for a in blocks])
        scale = np.sqrt(np.diag(gram))
        return gram / np.outer(scale, scale), scale

    def _product(self, a: TermBlock, b: TermBlock) -> FloatArray:
        """Return the sums over detections of the products of two blocks' columns."""
        names = a.term.name, b.term.name
        if names not in self._products:
            self._products[names] = self._multiply(a, b)
            self._products[names[::-1]] = self._products[names].T
        return self._products[names]

    def _multiply(self, a: TermBlock, b: TermBlock) -> FloatArray:
        left, right = (self._matrix(block.term)[:, block.used] for block in (a, b))
        if a.shared and b.shared:
            product = left.T @ (self._number @ right)
        elif a.shared:
            product = left.T @ (self._sums @ right)
        elif b.shared:
            product = (self._sums @ left).T @ right
        else:
            product = left.T @ right
        return np.asarray(product.toarray(), dtype=np.float64)


def common_directions(first: Partition, second: Partition) -> Directions:
    """Return the directions that two partitions of the same n rows have in common."""
    widths = first.width, second.width
    links, label = _links(first, second)
    good = np.ones(int(label.max(initial=-1)) + 1, dtype=bool)
    # The last code of either side is none: what meets it lies not in the other's span.
    good[label[[widths[0], -1]]] = False
    value = np.ones(len(label))
    if not (first.weight is None and second.weight is None):
        value = _potentials(first, second, links, label)
        # Most pairs fail in the first rows looked at; none is let pass before all are.
        few = slice(None, None, max(1, len(first.code) // SAMPLE))
        for rows in (few, slice(None)):
            if good.any():
                good[label[_uneven(first, second, value, rows)]] = False
    number = np.where(good, np.cumsum(good) - 1, -1)[label]
    number, value = np.delete(number, [widths[0], -1]), np.delete(value, [widths[0], -1])
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


def _links(first: Partition, second: Partition) -> tuple[IntArray, IntArray]:
    """Return rows whose pairs of codes connect all that any row connects, and components.

    Nodes are the first's codes, its none, the second's and its none. Starting from a row of
    each code, each part that any row ties to another gets such a row, until there is none
    (Boruvka): a few passes over the rows, without sorting them.
    """
    a, b = first.code, second.code
    split, nodes = first.width + 1, first.width + second.width + 2
    links = np.concatenate([_a_row(a, split), _a_row(b, nodes - split)])
    while True:
        ends = a[links], b[links] + split
        graph = sparse.csr_array((np.ones(len(links)), ends), shape=(nodes, nodes))
        parts, label = connected_components(graph, directed=False)
        left, right = label[:split][a], label[split:][b]
        across = np.flatnonzero(left != right)
        if not len(across):
            return links, label.astype(np.int64)
        ties = [across[_a_row(side[across], parts)] for side in (left, right)]
        links = np.concatenate([links, *ties])


def _a_row(code: npt.NDArray[np.int32], width: int) -> IntArray:
    """Return one row of each code that occurs."""
    row = np.full(width, -1, dtype=np.int64)
    row[code] = np.arange(len(code))
    return row[row >= 0]


def _potentials(
    first: Partition, second: Partition, links: IntArray, label: IntArray
) -> FloatArray:
    """Weight the codes so that both sides agree in the linking rows, by component."""
    a, b = first.code[links], second.code[links] + first.width + 1
    gain = np.ones(len(links))
    gain *= 1.0 if first.weight is None else first.weight[links]
    gain /= 1.0 if second.weight is None else second.weight[links]
    value = np.full(len(label), np.nan)
    value[np.unique(label, return_index=True)[1]] = 1.0
    while True:
        forth = np.isfinite(value[a]) & np.isnan(value[b])
        value[b[forth]] = value[a[forth]] * gain[forth]
        back = np.isfinite(value[b]) & np.isnan(value[a])
        value[a[back]] = value[b[back]] / gain[back]
        if not (forth.any() or back.any()):
            return value


def _uneven(
    first: Partition, second: Partition, value: FloatArray, rows: slice
) -> npt.NDArray[np.int32]:
    """Return the first's codes in rows in which both sides, weighted, do not agree."""
    code = first.code[rows]
    left, right = value[code], value[first.width + 1 :][second.code[rows]]
    left *= 1.0 if first.weight is None else first.weight[rows]
    right *= 1.0 if second.weight is None else second.weight[rows]
    return np.asarray(code[np.abs(left - right) > 1e-9 * np.abs(left)])


def _alone(number: IntArray, count: int) -> bool:
    """Return whether each column has a direction to itself."""
    return len(number) == count and bool(np.all(number >= 0))


def _vectors(number: IntArray, value: FloatArray, count: int) -> sparse.csc_array:
    row = np.flatnonzero(number >= 0)
    return sparse.csc_array((value[row], (row, number[row])), shape=(len(number), count))
