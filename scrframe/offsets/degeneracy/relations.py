"""What terms have in common, in words: pairs of them, and the null directions that none explains.

Null directions of several terms, and near ones, are found in dense matrices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from scipy import sparse

from scrframe.arrays import FloatArray, IntArray
from scrframe.errors import number_of
from scrframe.offsets.degeneracy.dependence import NULL, Columns, Directions, TermBlock

Kind = Literal["disconnected", "null direction", "confounded", "no data", "weak"]
#: Names that a message gives in full.
NAMED = 5
Labels = Mapping[str, Sequence[str]]
Pairs = Mapping[tuple[int, int], Directions]
#: Eigenvalue of the flat terms' normal matrix, of unit diagonal, below which they are
#: poorly told apart: errors along that direction are a thousand times those of one column.
WEAK = 1e-6


@dataclass(frozen=True)
class Degeneracy:
    """One thing that the data do not tell."""

    kind: Kind
    #: Terms concerned; none where visits are.
    terms: tuple[str, ...]
    #: What it is, in plain words.
    message: str
    #: What was chosen, in plain words.
    gauge: str
    #: Whether it leaves the system without a solution.
    singular: bool = False


def listed(names: Iterable[str]) -> str:
    """Return names in a row, the first few of many."""
    found = list(names)
    rest = len(found) - NAMED
    return ", ".join(found[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def is_flat(block: TermBlock) -> bool:
    """Return whether a term has no prior."""
    return block.term.precision is None


def no_data_findings(block: TermBlock, labels: Labels) -> list[Degeneracy]:
    """Name the columns that no detection has."""
    empty = np.setdiff1d(np.arange(block.term.width), block.used)
    if not len(empty):
        return []
    name = block.term.name
    message = f"no detection has columns {_columns(block, empty, labels)} of term {name!r}"
    gauge = "they keep the value of the prior, zero or that of neighbouring columns, with its error"
    if is_flat(block):
        gauge = "none: no prior holds them, and the system is singular"
    return [Degeneracy("no data", (name,), message, gauge, is_flat(block))]


def pair_findings(blocks: Sequence[TermBlock], pairs: Pairs, labels: Labels) -> list[Degeneracy]:
    """Put in words what pairs of terms have in common, what follows from others left out."""
    return [
        finding
        for (i, j), found in pairs.items()
        if found.count and not _implied(i, j, pairs, blocks)
        for finding in _pair_findings(blocks[i], blocks[j], found, labels)
    ]


def split_in_words(blocks: Sequence[TermBlock]) -> str:
    """Say how terms share what they have in common."""
    flat = [repr(block.term.name) for block in blocks if is_flat(block)]
    if len(flat) == len(blocks):
        return "none: no prior splits it, and the system is singular"
    words = "the priors split it by their variances"
    if flat:
        words = f"{', '.join(flat)} (flat) takes it, the priors hold the others near zero"
    nuisance = [repr(block.term.name) for block in blocks if block.term.role == "nuisance"]
    if nuisance and len(nuisance) < len(blocks):
        return f"{words}; what {', '.join(nuisance)} takes is no part of the corrections"
    if not nuisance:
        return f"{words}; in the products means move up, from maps to CCD to visit to zero point"
    return words


def _implied(i: int, j: int, pairs: Pairs, blocks: Sequence[TermBlock]) -> bool:
    """Return whether a third term's relations with both hold all that they have in common."""

    def within(a: int, b: int) -> bool:
        found = pairs[min(a, b), max(a, b)]
        return found.nested if a < b else found.holds

    def strictly(a: int, b: int) -> bool:
        return within(a, b) and not within(b, a)

    both_flat = is_flat(blocks[i]) and is_flat(blocks[j])
    for c in range(len(blocks)):
        # What flat terms share is fatal: no term with a prior may stand for it.
        if c in (i, j) or (both_flat and not is_flat(blocks[c])):
            continue
        below = strictly(c, i) and strictly(c, j) and blocks[c].width == pairs[i, j].count
        if below or (strictly(i, c) and strictly(c, j)) or (strictly(j, c) and strictly(c, i)):
            return True
    return False


def _pair_findings(
    a: TermBlock, b: TermBlock, found: Directions, labels: Labels
) -> list[Degeneracy]:
    first, second = repr(a.term.name), repr(b.term.name)

    def finding(kind: Kind, message: str) -> Degeneracy:
        names, singular = (a.term.name, b.term.name), is_flat(a) and is_flat(b)
        return Degeneracy(kind, names, message, split_in_words((a, b)), singular)

    if found.nested and found.holds:
        message = f"terms {first} and {second} span the same: only their sum is determined"
        return [finding("confounded", message)]
    findings = []
    if len(found.same):
        same = _columns(a, a.used[found.same], labels)
        message = f"columns {same} of term {first} are columns of term {second} as well"
        findings.append(finding("confounded", f"{message}: only their sum is determined"))
    if len(found.same) >= found.count:
        return findings
    if found.nested or found.holds:
        inner, outer = (first, second) if found.nested else (second, first)
        message = f"each column of term {inner} is a sum of columns of term {outer}"
        return [*findings, finding("null direction", message)]
    if found.first is None or found.second is None:
        message = f"terms {first} and {second} have {number_of(found.count, 'direction')} in common"
        return [*findings, finding("null direction", message)]
    for number in np.setdiff1d(np.arange(found.count), found.first[found.same]):
        left = _columns(a, a.used[found.first == number], labels)
        right = _columns(b, b.used[found.second == number], labels)
        message = f"columns {left} of term {first} add up to columns {right} of term {second}"
        findings.append(finding("null direction", message))
    return findings


def _columns(block: TermBlock, place: IntArray, labels: Labels) -> str:
    texts = labels.get(block.term.name)
    return listed(str(number) if texts is None else texts[number] for number in place)


class NullSpace:
    """The null directions of some blocks, against those that are explained already."""

    def __init__(self, columns: Columns, blocks: Sequence[TermBlock], pairs: Pairs) -> None:
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


def _finding(members: Sequence[TermBlock]) -> Degeneracy:
    names = " and ".join(repr(block.term.name) for block in members)
    words = "together hold" if len(members) > 1 else "hold"
    return Degeneracy(
        "null direction",
        tuple(block.term.name for block in members),
        f"the columns of {names} {words} a combination that is zero in all detections",
        split_in_words(members),
        all(is_flat(block) for block in members),
    )


def weak_terms(columns: Columns, flat: Sequence[TermBlock]) -> list[Degeneracy]:
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
