"""scrframe: putting survey photometry on one scale with Stellar Colour Regression."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from scrframe.config import SurveyDescription, load_survey
    from scrframe.offsets.apply import apply_solution
    from scrframe.pipeline.apply import apply
    from scrframe.pipeline.compare import compare_backends
    from scrframe.pipeline.run import Run, calibrate
    from scrframe.pipeline.sample_survey import simulate_survey
    from scrframe.pipeline.validate import validate
    from scrframe.plugin import hookimpl
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
    "Run": "scrframe.pipeline.run",
    "Solution": "scrframe.tables",
    "SurveyDescription": "scrframe.config",
    "apply": "scrframe.pipeline.apply",
    "apply_solution": "scrframe.offsets.apply",
    "calibrate": "scrframe.pipeline.run",
    "compare_backends": "scrframe.pipeline.compare",
    "hookimpl": "scrframe.plugin",
    "load_survey": "scrframe.config",
    "simulate_survey": "scrframe.pipeline.sample_survey",
    "validate": "scrframe.pipeline.validate",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'scrframe' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
