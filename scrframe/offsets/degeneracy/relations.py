"""What pairs of terms have in common, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scrframe.arrays import IntArray
from scrframe.offsets.degeneracy.dependence import Block, Directions

Kind = Literal["disconnected", "null direction", "confounded", "no data", "weak"]
#: Names that a message gives in full.
NAMED = 5


@dataclass(frozen=True)
class Degeneracy:
    """One thing that the data do not tell.

    Attributes
    ----------
    kind : {"disconnected", "null direction", "confounded", "no data", "weak"}
    terms : tuple of str
        Terms concerned; none where visits are.
    message : str
        What it is, in plain words.
    gauge : str
        What was chosen, in plain words.
    singular : bool
        Whether it leaves the system without a solution.
    """

    kind: Kind
    terms: tuple[str, ...]
    message: str
    gauge: str
    singular: bool = False


def listed(names: Iterable[str]) -> str:
    """Return names in a row, the first few of many."""
    found = list(names)
    rest = len(found) - NAMED
    return ", ".join(found[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


Labels = Mapping[str, Sequence[str]]
Pairs = Mapping[tuple[int, int], Directions]


def is_flat(block: Block) -> bool:
    """Return whether a term has no prior."""
    return block.term.precision is None


def said_of_data(block: Block, labels: Labels) -> list[Degeneracy]:
    """Name the columns that no detection has."""
    empty = np.setdiff1d(np.arange(block.term.width), block.used)
    if not len(empty):
        return []
    name = block.term.name
    message = f"no detection has columns {_columns(block, empty, labels)} of term {name!r}"
    gauge = "they keep what the prior says: zero, or what neighbouring columns say, with its error"
    if is_flat(block):
        gauge = "none: no prior holds them, and the system is singular"
    return [Degeneracy("no data", (name,), message, gauge, is_flat(block))]


def said_of_pairs(blocks: Sequence[Block], pairs: Pairs, labels: Labels) -> list[Degeneracy]:
    """Put in words what pairs of terms have in common, what follows from others left out."""
    return [
        finding
        for (i, j), found in pairs.items()
        if found.count and not _implied(i, j, pairs, blocks)
        for finding in _said_of_pair(blocks[i], blocks[j], found, labels)
    ]


def said_of_split(blocks: Sequence[Block]) -> str:
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


def _implied(i: int, j: int, pairs: Pairs, blocks: Sequence[Block]) -> bool:
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


def _said_of_pair(a: Block, b: Block, found: Directions, labels: Labels) -> list[Degeneracy]:
    first, second = repr(a.term.name), repr(b.term.name)

    def finding(kind: Kind, message: str) -> Degeneracy:
        names, singular = (a.term.name, b.term.name), is_flat(a) and is_flat(b)
        return Degeneracy(kind, names, message, said_of_split((a, b)), singular)

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
        message = f"terms {first} and {second} have {found.count} direction(s) in common"
        return [*findings, finding("null direction", message)]
    for number in np.setdiff1d(np.arange(found.count), found.first[found.same]):
        left = _columns(a, a.used[found.first == number], labels)
        right = _columns(b, b.used[found.second == number], labels)
        message = f"columns {left} of term {first} add up to columns {right} of term {second}"
        findings.append(finding("null direction", message))
    return findings


def _columns(block: Block, place: IntArray, labels: Labels) -> str:
    texts = labels.get(block.term.name)
    return listed(str(number) if texts is None else texts[number] for number in place)
