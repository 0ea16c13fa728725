"""What a design cannot tell, said before it is solved.

A mixed model with proper priors can always be solved; where the data say nothing, the
priors decide in silence. This report says where that happens and what was chosen. Flat
terms have no prior: a direction that lies wholly in them makes the system singular. Visits
that no common star connects are named as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from scrframe.arrays import IntArray
from scrframe.errors import CalibrationError
from scrframe.offsets.degeneracy.dependence import Columns
from scrframe.offsets.degeneracy.relations import (
    Degeneracy,
    Kind,
    NullSpace,
    is_flat,
    listed,
    no_data_findings,
    pair_findings,
    weak_terms,
)
from scrframe.offsets.joint.mixed_model import MixedModel


@dataclass(frozen=True)
class DegeneracyReport:
    """All findings."""

    findings: tuple[Degeneracy, ...]
    #: Whether dependences among three terms and more were looked for in all terms. In wide designs
    #: only flat terms are searched for these, and only where they are no wider than `dense_width`.
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
    """
    columns = Columns(model)
    blocks = [block for block in columns.blocks if block.width]
    pairs = {
        (i, j): columns.directions(blocks[i], blocks[j], dense_width)
        for i, j in combinations(range(len(blocks)), 2)
    }
    findings = visit_connectivity(model, visit, visit_names, min_shared)
    for block in columns.blocks:
        findings += no_data_findings(block, labels)
    findings += pair_findings(blocks, pairs, labels)
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

    Raises CalibrationError if they do; it names them.
    """
    singular = [finding for finding in report.findings if finding.singular]
    if singular:
        more = f" (and {len(singular) - 1} more)" if len(singular) > 1 else ""
        raise CalibrationError(
            f"offsets: the system cannot be solved: {singular[0].message}{more};"
            " give one of the terms a prior or take it out"
        )


def visit_connectivity(
    model: MixedModel, visit: IntArray, names: Sequence[str], min_shared: int
) -> list[Degeneracy]:
    """Find visits without stars, and groups of visits without common stars."""
    visits = len(names)
    seen = sparse.csr_array(
        (np.ones(len(model.star)), (model.star, visit[model.exposure])),
        shape=(model.stars, visits),
    )
    seen.data[:] = 1.0
    empty = np.bincount(seen.indices, minlength=visits) == 0
    common = sparse.coo_array(seen.T @ seen)
    group = _components(common, 1)
    findings = []
    if empty.any():
        message = f"{_visits(names, empty)} have no calibration star"
        gauge = (
            "their offsets are those of visits of the same field, season or survey, with the"
            " larger error of that"
        )
        findings.append(Degeneracy("no data", (), message, gauge))
    said = "share no star with any other visit"
    gauge = (
        "only the colour model and the common constant tie the group to the others: an"
        " offset between them has the errors of the model, which common stars do not take out"
    )
    findings += _groups("disconnected", names, group, ~empty, said, gauge)
    if min_shared > 1:
        finer = _components(common, min_shared)
        # Groups that are whole already were named above.
        parts = [len(np.unique(finer[group == number])) > 1 for number in range(group.max() + 1)]
        split = ~empty & np.array(parts, dtype=bool)[group]
        said = f"have fewer than {min_shared} stars in common with any visit outside their group"
        gauge = "the few common stars tie it to the others, beside the colour model"
        findings += _groups("weak", names, finer, split, said, gauge)
    return findings


def _components(common: sparse.coo_array, least: int) -> IntArray:
    kept = common.data >= least
    graph = sparse.csr_array(
        (common.data[kept], (common.coords[0][kept], common.coords[1][kept])), shape=common.shape
    )
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _groups(
    kind: Kind,
    names: Sequence[str],
    group: IntArray,
    among: npt.NDArray[np.bool_],
    said: str,
    gauge: str,
) -> list[Degeneracy]:
    numbers = np.unique(group[among])
    if len(numbers) < 2:
        return []
    members = (_visits(names, group == number) for number in numbers)
    return [Degeneracy(kind, (), f"{member} {said}", gauge) for member in members]


def _visits(names: Sequence[str], chosen: npt.NDArray[np.bool_]) -> str:
    return "visits " + listed(names[number] for number in np.flatnonzero(chosen).tolist())
