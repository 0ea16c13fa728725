"""From a number, its limit and its significance to a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from scrframe.checks.verdict import Check, Verdict

NAN = float("nan")


@dataclass(frozen=True)
class Limit:
    """What a number must not exceed, and how sure one must be that it does.

    Attributes
    ----------
    size : float
        In the unit of the number. Smaller ones are no failure, however significant.
    sigma : float
        A number counts as seen if chance alone gives it as seldom as a normal deviate beyond
        this.
    """

    size: float
    sigma: float = 3.3

    @property
    def probability(self) -> float:
        """Return the probability that chance alone exceeds `sigma`, on both sides."""
        return float(2 * stats.norm.sf(self.sigma))


@dataclass(frozen=True)
class Named:
    """Key, title and unit of a test."""

    name: str
    title: str
    unit: str = "mag"


def untestable(test: Named, limit: Limit, reason: str, detail: Mapping[str, Any] = {}) -> Check:
    """Return the result of a test that these data cannot answer, with the reason."""
    return Check(
        test.name, test.title, NAN, limit.size, test.unit, "not testable", reason, dict(detail)
    )


def judge(
    test: Named,
    value: float,
    limit: Limit,
    probability: float,
    seen: float,
    detail: Mapping[str, Any] = {},
) -> Check:
    """Return the verdict on a number.

    It fails if it is above its limit and significant. It passes if it is not and a number at
    the limit would have been seen; else the data cannot tell.

    Parameters
    ----------
    test : Named
    value : float
    limit : Limit
    probability : float
        Of a number so large by chance.
    seen : float
        The smallest number that is significant in these data, in the unit of the number.
    detail : mapping
    """
    further = {**detail, "probability": probability, "smallest_seen": seen}
    shown = f"{show(value, test.unit)} against a limit of {show(limit.size, test.unit)}"
    if not np.isfinite(value):
        return untestable(test, limit, "the numbers behind it are not finite", further)
    verdict: Verdict
    if value > limit.size and probability < limit.probability:
        verdict, reason = "failed", f"{shown}, by chance with a probability of {probability:.1g}"
    elif seen > limit.size:
        verdict = "not testable"
        reason = (
            f"noise hides what is below {show(seen, test.unit)}, more than the limit of"
            f" {show(limit.size, test.unit)}"
        )
    else:
        verdict, reason = "passed", f"{shown}; {show(seen, test.unit)} would have been seen"
    return Check(
        test.name,
        test.title,
        value,
        limit.size,
        test.unit,
        verdict,
        reason,
        further,
    )


def show(value: float, unit: str) -> str:
    """Return a number with its unit for people; magnitudes as mmag."""
    if unit == "mag":
        return f"{1000 * value:.1f} mmag"
    return f"{value:.2f} {unit}".strip()
