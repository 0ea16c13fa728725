"""One finding about a design, and how its names are put."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

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
