"""Null directions that no pair of terms explains, and near ones, found in dense matrices."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy import sparse

from scrframe.arrays import FloatArray
from scrframe.offsets.degeneracy.dependence import NULL, Block, Columns
from scrframe.offsets.degeneracy.relations import Degeneracy, Pairs, is_flat, said_of_split

#: Eigenvalue of the flat terms' normal matrix, of unit diagonal, below which they are
#: poorly told apart: errors along that direction are a thousand times those of one column.
WEAK = 1e-6


class NullSpace:
    """The null directions of some blocks, against those that are explained already."""

    def __init__(self, columns: Columns, blocks: Sequence[Block], pairs: Pairs) -> None:
        self._columns, self._blocks = columns, blocks
        self._explained: list[tuple[tuple[int, ...], FloatArray | sparse.csc_array]] = [
            (pair, found.vectors) for pair, found in pairs.items() if found.count
        ]

    def name(self, chosen: Sequence[int]) -> list[Degeneracy]:
        """Name what is not explained, each by the fewest terms that hold it."""
        findings = []
        while self._unexplained(chosen):
            least = list(chosen)
            for number in chosen:
                fewer = [other for other in least if other != number]
                least = fewer if self._unexplained(fewer) else least
            members = [self._blocks[number] for number in least]
            value, vector, scale = self._columns.spectrum(members)
            self._explained.append((tuple(least), vector[:, value < NULL] / scale[:, None]))
            findings.append(_finding(members))
        return findings

    def _unexplained(self, chosen: Sequence[int]) -> bool:
        """Return whether blocks have more null directions than are explained."""
        members = [self._blocks[number] for number in chosen]
        nullity = self._columns.nullity(members)
        if nullity == 0:
            return False
        start = np.cumsum([0, *(block.width for block in members)])
        place = dict(zip(chosen, start, strict=False))
        parts = [np.zeros((start[-1], 0))]
        for numbers, vectors in self._explained:
            if set(numbers) <= set(chosen):
                rows = [place[n] + np.arange(self._blocks[n].width) for n in numbers]
                parts.append(np.zeros((start[-1], vectors.shape[1])))
                dense = vectors.toarray() if isinstance(vectors, sparse.csc_array) else vectors
                parts[-1][np.concatenate(rows)] = dense
        scaled = np.hstack(parts) * self._columns.gram(members)[1][:, None]
        if not scaled.size:
            return True
        scaled /= np.linalg.norm(scaled, axis=0)
        # Of the two products of vectors the smaller one has the same rank.
        product = scaled @ scaled.T if scaled.shape[0] < scaled.shape[1] else scaled.T @ scaled
        return int(np.count_nonzero(np.linalg.eigvalsh(product) > NULL)) < nullity


def _finding(members: Sequence[Block]) -> Degeneracy:
    names = " and ".join(repr(block.term.name) for block in members)
    words = "together hold" if len(members) > 1 else "hold"
    return Degeneracy(
        "null direction",
        tuple(block.term.name for block in members),
        f"the columns of {names} {words} a combination that is zero in all detections",
        said_of_split(members),
        all(is_flat(block) for block in members),
    )


def weak_terms(columns: Columns, flat: Sequence[Block]) -> list[Degeneracy]:
    """Find flat terms that are nearly dependent."""
    if not flat:
        return []
    value, vector, _ = columns.spectrum(flat)
    poor = (value >= NULL) & (value < WEAK)
    if not poor.any():
        return []
    ends = np.cumsum([0, *(block.width for block in flat)])
    share = [np.abs(vector[first:last, poor]).max() for first, last in pairwise(ends)]
    names = [block.term.name for block, most in zip(flat, share, strict=True) if most > 0.1]
    listed = " and ".join(repr(name) for name in names)
    message = (
        f"flat columns of {listed} are nearly dependent: their sum is known a thousand times"
        " better than each of them"
    )
    gauge = "none: no prior splits it, and the data do so poorly; see their covariance"
    return [Degeneracy("weak", tuple(names), message, gauge)]
