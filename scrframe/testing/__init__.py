"""The authors' kit: the conformance checks of plugins, for pytest and the command line."""

from scrframe.testing.plugin_checks import (
    CHECKS,
    Check,
    Outcome,
    find_subject,
    parametrize_with_checks,
    run_checks,
    subject_of,
)
from scrframe.testing.subject import CheckFailureError, NotTestedError, Subject

__all__ = [
    "CHECKS",
    "Check",
    "CheckFailureError",
    "NotTestedError",
    "Outcome",
    "Subject",
    "find_subject",
    "parametrize_with_checks",
    "run_checks",
    "subject_of",
]
