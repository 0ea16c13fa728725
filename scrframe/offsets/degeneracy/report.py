"""What a design cannot tell, said before it is solved.

A mixed model with proper priors can always be solved; where the data say nothing, the
priors decide in silence. This report says where that happens and what was chosen. Flat
terms have no prior: a direction that lies wholly in them makes the system singular.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from scrframe.arrays import IntArray
from scrframe.errors import CalibrationError
from scrframe.offsets.degeneracy.connectivity import ties_of_visits
from scrframe.offsets.degeneracy.dependence import Columns
from scrframe.offsets.degeneracy.null_space import NullSpace, weak_terms
from scrframe.offsets.degeneracy.relations import Degeneracy, is_flat, said_of_data, said_of_pairs
from scrframe.offsets.joint.mixed_model import MixedModel

__all__ = ["Degeneracy", "DegeneracyReport", "report_degeneracies", "require_solvable"]


@dataclass(frozen=True)
class DegeneracyReport:
    """All findings.

    Attributes
    ----------
    findings : tuple of Degeneracy
    numerical : bool
        Whether dependences among three terms and more were looked for in all terms. In wide
        designs only flat terms are searched for these, and only where they are no wider
        than `dense_width`.
    """

    findings: tuple[Degeneracy, ...]
    numerical: bool


def report_degeneracies(
    model: MixedModel,
    labels: Mapping[str, Sequence[str]],
    visit: IntArray,
    visit_names: Sequence[str],
    *,
    min_shared: int = 1,
    dense_width: int = 2000,
) -> DegeneracyReport:
    """Find what the design of a model cannot tell.

    Parameters
    ----------
    model : MixedModel
        x exposures, n detections.
    labels : mapping of str to sequence of str
        By term, a text for each column; a term without is numbered.
    visit : ndarray of int64, shape (x,)
        Visit of each exposure, an index of `visit_names`.
    visit_names : sequence of str
        All known visits.
    min_shared : int
        Two visits with fewer common stars are thought poorly tied.
    dense_width : int
        Largest number of columns for which dense matrices are decomposed.

    Returns
    -------
    DegeneracyReport
    """
    columns = Columns(model)
    blocks = [block for block in columns.blocks if block.width]
    pairs = {
        (i, j): columns.directions(blocks[i], blocks[j], dense_width)
        for i, j in combinations(range(len(blocks)), 2)
    }
    findings = ties_of_visits(model, visit, visit_names, min_shared)
    for block in columns.blocks:
        findings += said_of_data(block, labels)
    findings += said_of_pairs(blocks, pairs, labels)
    null = NullSpace(columns, blocks, pairs)
    for number, block in enumerate(blocks):
        if not block.partition.exact and block.width <= dense_width:
            findings += null.name([number])
    flat = [number for number, block in enumerate(blocks) if is_flat(block)]
    if sum(blocks[number].width for number in flat) <= dense_width:
        findings += null.name(flat)
        findings += weak_terms(columns, [blocks[number] for number in flat])
    numerical = sum(block.width for block in blocks) <= dense_width
    if numerical:
        findings += null.name(range(len(blocks)))
    return DegeneracyReport(tuple(findings), numerical)


def require_solvable(report: DegeneracyReport) -> None:
    """Refuse a design whose flat terms leave the system singular.

    Raises
    ------
    CalibrationError
        If they do; it names them.
    """
    singular = [finding for finding in report.findings if finding.singular]
    if singular:
        more = f" (and {len(singular) - 1} more)" if len(singular) > 1 else ""
        raise CalibrationError(
            f"offsets: the system cannot be solved: {singular[0].message}{more};"
            " give one of the terms a prior or take it out"
        )
