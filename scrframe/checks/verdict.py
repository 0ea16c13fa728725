"""What a null test says, and what an anomaly is.

A verdict comes from a number, its limit and its significance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy import stats

from scrframe.products.files import to_json

Verdict = Literal["passed", "failed", "not testable"]
#: The verdicts, worst first.
VERDICTS: tuple[Verdict, ...] = ("failed", "not testable", "passed")
NAN = float("nan")
#: What tests look at, by the beginning of their names; the first that fits counts.
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Residuals", ("residual_",)),
    ("Law and sky", ("law_", "sky_")),
    ("Clouds", ("visit_gradient", "visit_surface")),
    ("Visit zero points", ("visit_",)),
    ("Repeats and overlaps", ("repeats_", "overlaps", "model_overlaps")),
    ("CCDs and colour terms", ("ccd_", "airmass_colour")),
    ("Other tests", ("",)),
)


@dataclass(frozen=True)
class NullTestResult:
    """The result of a null test.

    Attributes
    ----------
    name : str
        Key of the test, such as ``residual_magnitude``; unique in a run.
    title : str
        What it tests, in words.
    value : float
        The number that was judged, in `unit`; NaN where it is not testable.
    limit : float
        What it must not exceed, in `unit`.
    unit : str
        Unit of both; empty for a plain number.
    verdict : {"passed", "failed", "not testable"}
    reason : str
        Why the verdict is so, in one sentence.
    detail : mapping
        Further numbers and arrays behind the value: its error, degrees of freedom, the curve.
    """

    name: str
    title: str
    value: float
    limit: float
    unit: str
    verdict: Verdict
    reason: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """What kind of thing it looks at, of `GROUPS`."""
        return next(words for words, begins in GROUPS if self.name.startswith(begins))

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data for JSON; what is not finite becomes None."""
        return dict(to_json(self))


@dataclass(frozen=True)
class Anomaly:
    """Something in the data that stands out.

    Attributes
    ----------
    kind : str
        What it is, such as ``bad_column`` or ``jump``.
    where : mapping
        Where it is: keys such as visit, ccd, column, mjd, source_id.
    size_mag : float
        By how much it stands out, in mag.
    significance : float
        The same over its error.
    text : str
        One sentence for people.
    """

    kind: str
    where: Mapping[str, Any]
    size_mag: float
    significance: float
    text: str

    def to_json(self) -> dict[str, Any]:
        """Return the anomaly as plain data for JSON; what is not finite becomes None."""
        return dict(to_json(self))


@dataclass(frozen=True)
class NullTest:
    """Key, title and unit of a test."""

    name: str
    title: str
    unit: str = "mag"


@dataclass(frozen=True)
class Limit:
    """What a number must not exceed, and how sure one must be that it does."""

    #: In the unit of the number. Smaller ones are no failure, however significant.
    size: float
    #: A number counts as seen if chance alone gives it as seldom as a normal deviate beyond this.
    sigma: float = 3.3

    @property
    def probability(self) -> float:
        """Return the probability that chance alone exceeds `sigma`, on both sides."""
        return float(2 * stats.norm.sf(self.sigma))


def judge(
    test: NullTest,
    value: float,
    limit: Limit,
    probability: float,
    seen: float,
    detail: Mapping[str, Any] = {},
) -> NullTestResult:
    """Return the verdict on a number.

    It fails if it is above its limit and significant. It passes if it is below and a number at
    the limit would have been seen; else the data cannot tell.

    Parameters
    ----------
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
    elif value > limit.size:
        verdict = "not testable"
        reason = f"{shown}, but chance alone gives as much with a probability of {probability:.2g}"
    else:
        verdict, reason = "passed", f"{shown}; {show(seen, test.unit)} would have been seen"
    return NullTestResult(
        test.name, test.title, value, limit.size, test.unit, verdict, reason, further
    )


def untestable(
    test: NullTest, limit: Limit, reason: str, detail: Mapping[str, Any] = {}
) -> NullTestResult:
    """Return the result of a test that these data cannot answer, with the reason."""
    return NullTestResult(
        test.name, test.title, NAN, limit.size, test.unit, "not testable", reason, dict(detail)
    )


def show(value: float, unit: str) -> str:
    """Return a number with its unit for people; magnitudes as mmag."""
    if unit == "mag":
        return f"{1000 * value:.1f} mmag"
    return f"{value:.2f} {unit}".strip()


def judge_excess(
    test: NullTest,
    chi2: float,
    dof: int,
    variance: float,
    limit: Limit,
    detail: Mapping[str, Any] = {},
) -> NullTestResult:
    """Return the verdict on a scatter beyond errors, from its chi2 and degrees of freedom.

    The number is the standard deviation beyond errors whose mean `variance` is in mag squared;
    the limit is in mag.
    """
    needed = float(stats.chi2.isf(limit.probability, dof))
    return judge(
        test,
        float(np.sqrt(max(chi2 / dof - 1, 0.0) * variance)),
        limit,
        float(stats.chi2.sf(chi2, dof)),
        float(np.sqrt((needed / dof - 1) * variance)),
        detail,
    )
