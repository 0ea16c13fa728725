"""What neighbouring stars may have in common beside the model: its part in the visits' errors.

What spectra do not show of the stars' colours (populations, the model's own error) need not be
independent from star to star. A part of it that is coherent over a field moves the visits of
that field together, and no number of stars averages it down. Offsets cannot be corrected by it,
for a visit and its field look the same; but how much of it there is the data do tell, by the
gradients that it leaves inside fields and by what overlapping fields have between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg

from scrframe.arrays import FloatArray
from scrframe.offsets.joint.mixed_model import Design
from scrframe.offsets.terms.likelihood import (
    Fixed,
    NewTerm,
    WeightedData,
    extended,
    term_gain,
)
from scrframe.offsets.terms.selection import threshold, variant
from scrframe.tables import Detections, FittedLevel

#: Standard deviation in mag of visits whose zero points are free.
FREE_MAG = 1.0
#: Standard deviations that are looked at, over that of the prior, and how far they lie apart.
STEPS = np.geomspace(0.05, 15.0, 23)
#: Gain that another term beside it must show.
ASKED = 9.0
#: Odds that there is nothing coherent, before the data are looked at.
NOTHING = 1.0


@dataclass(frozen=True)
class CoherentScatter:
    """What the data say of the coherent part of the stars' scatter.

    Attributes
    ----------
    probability : float
        That there is any.
    sd_mag : float
        Root of its mean square, if there is any.
    scales : tuple of str
    share : tuple of float
        Probability of each scale, if there is any.
    visit_mag : ndarray, shape (v,)
        What it adds to the errors of visits, its probability counted.
    """

    probability: float
    sd_mag: float
    scales: tuple[str, ...]
    share: tuple[float, ...]
    visit_mag: FloatArray

    def record(self) -> dict[str, Any]:
        """Return what summary.json says of it."""
        return {
            "probability": self.probability,
            "sd_mag": self.sd_mag,
            "scales": dict(zip(self.scales, self.share, strict=True)),
        }


@dataclass(frozen=True)
class FreeVisits:
    """A model solved with visits that have no prior to speak of.

    Visits of one night or season share most of their zero point. A term that is coherent over
    a field would take such a likeness for its own, if that were allowed to speak.
    """

    fixed: Fixed
    sd_mag: Mapping[str, float]

    def beside(
        self, levels: Sequence[FittedLevel], table: Detections, start_mag: float
    ) -> FreeVisits:
        """Add the best of the alternatives of a term, if the data ask for it."""
        gains = [term_gain(self.fixed, level, table, start_mag) for level in levels]
        best = int(np.argmax([each.gain for each in gains]))
        if not gains[best].gain > threshold(ASKED, len(levels)):
            return self
        sd_mag = {**self.sd_mag, levels[best].name: gains[best].sd_mag}
        model = extended(self.fixed.model, levels[best], table)
        return FreeVisits(Fixed.of(model, self.fixed.data, sd_mag), sd_mag)


def with_free_visits(design: Design, data: WeightedData, sd_mag: Mapping[str, float]) -> FreeVisits:
    """Solve a design with visits that are free, all other terms having their variances."""
    free = {
        term.name: FREE_MAG
        for term in design.model.terms
        if term.precision is not None and design.visit_columns(term) is not None
    }
    sd_mag = {**sd_mag, **free}
    return FreeVisits(Fixed.of(design.model, data, sd_mag), sd_mag)


def step_weights() -> FloatArray:
    """Return the prior's weight of each step: that of the distribution over its width."""
    edges = np.concatenate([[0.0], np.sqrt(STEPS[1:] * STEPS[:-1]), [np.inf]])
    return np.asarray(np.diff(np.arctan(edges)) * 2 / np.pi)


def coherent_scatter(
    base: FreeVisits,
    levels: Sequence[FittedLevel],
    table: Detections,
    visits: Callable[[FloatArray], FloatArray],
    prior_mag: float,
) -> CoherentScatter:
    """Average over scales and standard deviations of a field on the sky that no term describes.

    The prior of the standard deviation is half of a Cauchy distribution (Gelman 2006, Bayesian
    Analysis 1, 515), which keeps small what the data do not tell, and large what they do, with
    even odds that it is zero; that of the scale is flat. Each pair is weighed by the restricted
    likelihood, and adds to the variance of the visits what the solve with it has more, and the
    square of what it moves (Hoeting et al. 1999, Stat. Sci. 14, 382).

    Parameters
    ----------
    base : FreeVisits
        The model without it.
    levels : sequence of FittedLevel
        The field at each scale.
    table : Detections
        n rows, with every column that the levels read.
    visits : callable
        From parameters, shape (p, b), to offsets of the visits, shape (v, b), in their gauge.
    prior_mag : float
        Median of the distribution.
    """
    sd_mag, mass = prior_mag * STEPS, step_weights()
    gains, variances = [], []
    for level in levels:
        evidence, response = NewTerm.of(base.fixed, level, table).evidence(visits)
        for sd in sd_mag:
            gain, values, lower = evidence.at(float(np.log(sd)))
            root = linalg.solve_triangular(lower, response.T, lower=True)
            gains.append(gain)
            variances.append(np.sum(root**2, axis=0) + (response @ values) ** 2)
    log_odds = 0.5 * np.array(gains) + np.tile(np.log(mass), len(levels)) - np.log(len(levels))
    top = max(float(log_odds.max()), 0.0)
    odds = np.exp(log_odds - top)
    there = odds.sum()
    probability = there / (there + NOTHING * np.exp(-top))
    weight = odds / there
    return CoherentScatter(
        float(probability),
        float(np.sqrt(weight @ np.tile(sd_mag**2, len(levels)))),
        tuple(variant(level) for level in levels),
        tuple(weight.reshape(len(levels), -1).sum(axis=1).tolist()),
        np.sqrt(probability * (weight @ np.array(variances))),
    )
