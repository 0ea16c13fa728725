"""Some of the visits of a survey: where the variances of millions of detections are found first.

The variances need far fewer detections than the offsets do. A part as large as an eighth
gives them to some per cent, in an eighth of the time; the whole then needs a round or two.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from scrframe.arrays import IntArray
from scrframe.offsets.joint.design import Design, Exposures
from scrframe.offsets.joint.mixed_model import MixedModel, Term
from scrframe.offsets.joint.posterior_draws import is_diagonal
from scrframe.offsets.joint.problem import JointProblem

#: One visit in so many is in the part.
PARTS = 8
#: Most runs of visits that it is made of.
PART_RUNS = 8


def in_part(visit: IntArray, visits: int) -> npt.NDArray[np.bool_]:
    """Return which exposures are in the part, shape (x,).

    Visits come in runs of two or more, so that neighbours which share stars stay together,
    and the runs spread over the whole survey.

    Parameters
    ----------
    visit : ndarray of int64, shape (x,)
        Visit of each exposure, from 0 to visits - 1.
    visits : int
        Number of visits.
    """
    runs = min(PART_RUNS, max(visits // (2 * PARTS), 1)) * PARTS
    return np.asarray(visit * runs // max(visits, 1) % PARTS == 0)


def part_of(design: Design, problem: JointProblem) -> tuple[Design, JointProblem]:
    """Return design and problem of the part, without a last solve.

    Terms lose the columns that no detection of the part has.

    Parameters
    ----------
    design : Design
    problem : JointProblem
        Its levels and table stay whole: they are not looked at.
    """
    model, exposures = design.model, design.exposures
    seen = np.bincount(model.exposure, minlength=len(exposures)) > 0
    chosen = np.flatnonzero(in_part(exposures.visit, len(exposures.visits)) & seen)
    place = np.full(len(exposures), -1, dtype=np.int64)
    place[chosen] = np.arange(len(chosen))
    rows = np.flatnonzero(place[model.exposure] >= 0)
    stars, star = np.unique(model.star[rows], return_inverse=True)
    part = with_data(
        MixedModel(
            model.terms,
            sparse.csr_array(model.by_exposure[chosen]),
            sparse.csr_array(model.by_detection[rows]),
            place[model.exposure[rows]],
            star.astype(np.int64),
            len(stars),
        )
    )
    first = np.unique(part.exposure, return_index=True)[1]
    some = Exposures(
        part.exposure, first, exposures.visit[chosen], exposures.ccd[chosen], exposures.visits
    )
    smaller = replace(
        problem,
        delta_mag=problem.delta_mag[rows],
        star=part.star,
        error_mag=problem.error_mag[rows],
        covariates=problem.covariates[stars],
        settings=replace(problem.settings, exact_rounds=0),
    )
    return Design(part, some), smaller


def with_data(model: MixedModel) -> MixedModel:
    """Return a model without the columns that no detection has.

    Terms whose columns are not independent, such as random walks, stay whole: their prior
    holds what is not seen.
    """
    split = model.by_exposure.shape[1]
    kept = np.concatenate(
        [np.diff(model.by_exposure.tocsc().indptr), np.diff(model.by_detection.tocsc().indptr)]
    ).astype(bool)
    terms: list[Term] = []
    for term in model.terms:
        precision = term.precision
        if precision is not None and not is_diagonal(precision):
            kept[term.columns] = True
        here = np.flatnonzero(kept[term.columns])
        if precision is not None:
            precision = sparse.csr_array(precision[here][:, here])
        first = terms[-1].last if terms else 0
        terms.append(replace(term, first=first, last=first + len(here), precision=precision))
    return replace(
        model,
        terms=tuple(terms),
        by_exposure=sparse.csr_array(model.by_exposure[:, np.flatnonzero(kept[:split])]),
        by_detection=sparse.csr_array(model.by_detection[:, np.flatnonzero(kept[split:])]),
    )
