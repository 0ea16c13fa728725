"""Settings of the report that ends a run."""

from __future__ import annotations

from pydantic import Field

from scrframe.config.base import Settings


class ReportSettings(Settings):
    """The report of a run: null tests, anomalies, figures and the page."""

    enabled: bool = Field(
        default=True,
        description="Whether a run ends with its report; `scrframe report` makes it any time.",
    )
