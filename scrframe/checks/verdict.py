"""What a null test says, and what an anomaly is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from scrframe.statistics.json import to_json

Verdict = Literal["passed", "failed", "not testable"]
#: The verdicts, worst first.
VERDICTS: tuple[Verdict, ...] = ("failed", "not testable", "passed")


@dataclass(frozen=True)
class Check:
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

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain data for JSON; what is not finite becomes None."""
        return {
            "name": self.name,
            "title": self.title,
            "value": to_json(self.value),
            "limit": to_json(self.limit),
            "unit": self.unit,
            "verdict": self.verdict,
            "reason": self.reason,
            "detail": to_json(self.detail),
        }


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
        return {
            "kind": self.kind,
            "where": to_json(self.where),
            "size_mag": to_json(self.size_mag),
            "significance": to_json(self.significance),
            "text": self.text,
        }
