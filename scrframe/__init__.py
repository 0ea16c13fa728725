"""scrframe: putting survey photometry on one scale with Stellar Colour Regression."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scrframe.version import __version__

if TYPE_CHECKING:
    from scrframe.analysis.compare.run import compare_backends
    from scrframe.config import SurveyDescription, load_survey
    from scrframe.offsets.apply import apply_solution
    from scrframe.plugin import hookimpl
    from scrframe.run.calibrate import Run, calibrate
    from scrframe.run.correct import apply
    from scrframe.run.data import simulate_survey, validate
    from scrframe.tables import Detections, Solution

__all__ = [
    "Detections",
    "Run",
    "Solution",
    "SurveyDescription",
    "__version__",
    "apply",
    "apply_solution",
    "calibrate",
    "compare_backends",
    "hookimpl",
    "load_survey",
    "simulate_survey",
    "validate",
]

#: Where the names of the API live; they are imported at their first use.
_HOME = {
    "Detections": "scrframe.tables",
    "Run": "scrframe.run.calibrate",
    "Solution": "scrframe.tables",
    "SurveyDescription": "scrframe.config",
    "apply": "scrframe.run.correct",
    "apply_solution": "scrframe.offsets.apply",
    "calibrate": "scrframe.run.calibrate",
    "compare_backends": "scrframe.analysis.compare.run",
    "hookimpl": "scrframe.plugin",
    "load_survey": "scrframe.config",
    "simulate_survey": "scrframe.run.data",
    "validate": "scrframe.run.data",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'scrframe' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
