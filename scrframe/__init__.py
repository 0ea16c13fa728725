"""scrframe: putting survey photometry on one scale with Stellar Colour Regression."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scrframe.version import __version__

if TYPE_CHECKING:
    from scrframe.analysis.combined import CombinedRun, calibrate_combined
    from scrframe.analysis.compare.control_regions import rank_control_regions
    from scrframe.analysis.compare.result import BackendResult, Comparison
    from scrframe.analysis.compare.run import ComparisonRun, compare_backends
    from scrframe.analysis.crosscheck.run import crosscheck
    from scrframe.analysis.explain import explain
    from scrframe.analysis.explain.opened_run import Explanation
    from scrframe.analysis.montecarlo.run import monte_carlo
    from scrframe.config import CombinedDescription, SurveyDescription, load_combined, load_survey
    from scrframe.export.star_flats import StarFlat
    from scrframe.export.write import Exported
    from scrframe.handle.bands import FinishedRuns
    from scrframe.handle.finished import FinishedRun
    from scrframe.handle.opening import open_run, open_runs
    from scrframe.handle.plot import RunPlots
    from scrframe.handle.tables import ProductTable
    from scrframe.observer import Observer
    from scrframe.offsets.apply import apply_solution
    from scrframe.plugin import hookimpl
    from scrframe.products.solution import read_solution
    from scrframe.report.write import Report, write_report
    from scrframe.run.calibrate import Run, calibrate
    from scrframe.run.correct import apply
    from scrframe.run.data import simulate_survey, validate
    from scrframe.tables import Detections, Solution

__all__ = [
    "BackendResult",
    "CombinedDescription",
    "CombinedRun",
    "Comparison",
    "ComparisonRun",
    "Detections",
    "Explanation",
    "Exported",
    "FinishedRun",
    "FinishedRuns",
    "Observer",
    "ProductTable",
    "Report",
    "Run",
    "RunPlots",
    "Solution",
    "StarFlat",
    "SurveyDescription",
    "__version__",
    "apply",
    "apply_solution",
    "calibrate",
    "calibrate_combined",
    "compare_backends",
    "crosscheck",
    "explain",
    "hookimpl",
    "load_combined",
    "load_survey",
    "monte_carlo",
    "open_run",
    "open_runs",
    "rank_control_regions",
    "read_solution",
    "simulate_survey",
    "validate",
    "write_report",
]

#: Where the names of the API live; they are imported at their first use.
_HOME = {
    "BackendResult": "scrframe.analysis.compare.result",
    "CombinedDescription": "scrframe.config",
    "CombinedRun": "scrframe.analysis.combined",
    "Comparison": "scrframe.analysis.compare.result",
    "ComparisonRun": "scrframe.analysis.compare.run",
    "Detections": "scrframe.tables",
    "Explanation": "scrframe.analysis.explain.opened_run",
    "Exported": "scrframe.export.write",
    "FinishedRun": "scrframe.handle.finished",
    "FinishedRuns": "scrframe.handle.bands",
    "Observer": "scrframe.observer",
    "ProductTable": "scrframe.handle.tables",
    "Report": "scrframe.report.write",
    "Run": "scrframe.run.calibrate",
    "RunPlots": "scrframe.handle.plot",
    "Solution": "scrframe.tables",
    "StarFlat": "scrframe.export.star_flats",
    "SurveyDescription": "scrframe.config",
    "apply": "scrframe.run.correct",
    "apply_solution": "scrframe.offsets.apply",
    "calibrate": "scrframe.run.calibrate",
    "calibrate_combined": "scrframe.analysis.combined",
    "compare_backends": "scrframe.analysis.compare.run",
    "crosscheck": "scrframe.analysis.crosscheck.run",
    "explain": "scrframe.analysis.explain",
    "hookimpl": "scrframe.plugin",
    "load_combined": "scrframe.config",
    "load_survey": "scrframe.config",
    "monte_carlo": "scrframe.analysis.montecarlo.run",
    "open_run": "scrframe.handle.opening",
    "open_runs": "scrframe.handle.opening",
    "rank_control_regions": "scrframe.analysis.compare.control_regions",
    "read_solution": "scrframe.products.solution",
    "simulate_survey": "scrframe.run.data",
    "validate": "scrframe.run.data",
    "write_report": "scrframe.report.write",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'scrframe' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
