"""The checks as parameters of a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scrframe.plugin import Descriptor
from scrframe.plugin.registry import hook_of
from scrframe.testing.plugin_checks import (
    CHECKS,
    Function,
    find_subject,
    judge,
    refuse_unknown,
    subject_of,
)
from scrframe.testing.subject import CheckFailureError, NotTestedError, Subject


class Check:
    """One check of one plugin; calling it runs it.

    Attributes
    ----------
    name : str
        Name of the check.
    """

    def __init__(self, function: Function, subject: Callable[[], Subject]) -> None:
        self.name = function.__name__
        self._function, self._subject = function, subject

    def __repr__(self) -> str:
        return self.name

    def __call__(self) -> None:
        """Run the check: CheckFailureError if the plugin fails; skips what cannot be tested."""
        import pytest  # noqa: PLC0415 - only those who run tests have it

        __tracebackhide__ = True
        try:
            judge(self._function, self._subject())
        except NotTestedError as reason:
            pytest.skip(str(reason))


def parametrize_with_checks(
    plugin: str | Descriptor,
    kind: str,
    *,
    settings: Mapping[str, Any] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> Any:
    """Return a decorator that runs a test once for each check of a plugin.

    Parameters
    ----------
    plugin : str or Descriptor
        The name of an installed plugin, or what it yields.
    kind : str
        Its kind: survey, reference, extinction, curve, colour-model, offset-level, diagnostic
        or writer.
    settings : mapping, optional
        Settings to test with, as they stand in YAML. By default those that the plugin's
        example returns, or the defaults, or the first of the `examples` of a field.
    expected_failures : mapping of str to str, optional
        By name of a check why it must fail; one that passes nevertheless fails the test.

    Returns
    -------
    decorator
        Of a test with the argument ``check``, which it calls.

    Raises
    ------
    PluginError
        If the kind or the name of an expected failure is unknown.

    Examples
    --------
    >>> @parametrize_with_checks("ridge", "colour-model")  # doctest: +SKIP
    ... def test_conformance(check):
    ...     check()
    """
    import pytest  # noqa: PLC0415 - only those who run tests have it

    hook_of(kind)
    expected = expected_failures or {}
    refuse_unknown(kind, expected)
    found: list[Subject] = []

    def subject() -> Subject:
        if not found:
            if isinstance(plugin, Descriptor):
                found.append(subject_of(plugin, kind, settings=settings))
            else:
                found.append(find_subject(plugin, kind, settings=settings)[1])
        return found[0]

    parameters = []
    for function in CHECKS[kind]:
        reason = expected.get(function.__name__)
        marks = (
            []
            if reason is None
            else [pytest.mark.xfail(reason=reason, raises=CheckFailureError, strict=True)]
        )
        check = Check(function, subject)
        parameters.append(pytest.param(check, id=function.__name__, marks=marks))
    return pytest.mark.parametrize("check", parameters)
