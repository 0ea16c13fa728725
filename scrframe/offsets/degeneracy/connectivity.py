"""Visits that common stars do not tie: the graph of visits, its parts and its weak links."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from scrframe.arrays import IntArray
from scrframe.offsets.degeneracy.relations import Degeneracy, Kind, listed
from scrframe.offsets.joint.mixed_model import MixedModel


def ties_of_visits(
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
        "the group hangs on the others by the colour model and the common constant alone: an"
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
