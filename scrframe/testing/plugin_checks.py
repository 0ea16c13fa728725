"""The conformance checks: which there are, and how they run, also as parameters of a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any, Literal

from scrframe.errors import PluginError
from scrframe.plugin import Descriptor, Registry, load_registry
from scrframe.plugin.registry import HOOKS, KINDS, hook_of
from scrframe.testing import (
    archives,
    common,
    extinctions,
    levels,
    loaders,
    models,
    products,
    readers,
    references,
)
from scrframe.testing.subject import CheckFailureError, KindTraits, NotTestedError, Subject

Function = Callable[[Subject], None]
Status = Literal["passed", "failed", "not tested", "expected"]


def _checks(module: ModuleType, names: str) -> tuple[Function, ...]:
    """Return checks by name: those of a kind's own module, or those that kinds share."""
    rooms = [vars(room) for room in (module, readers, common)]
    wanted = [f"check_{name}" for name in f"descriptor documented {names} cheap_import".split()]
    return tuple(next(room[name] for room in rooms if name in room) for name in wanted)


#: The checks of each kind, in the order in which a plugin is mended: each takes for granted
#: what those before it have found.
CHECKS: dict[str, tuple[Function, ...]] = {
    "survey": _checks(
        loaders,
        "example settings parts schema finite units deterministic columns_subset rows_in_memory"
        " visit_key input_untouched bad_file round_trip pickling",
    ),
    "reference": _checks(
        references,
        "example settings parts schema finite units deterministic footprint chunks"
        " input_untouched bad_file round_trip pickling",
    ),
    "extinction": _checks(
        extinctions,
        "example settings parts schema finite units deterministic chunks input_untouched bad_file"
        " round_trip pickling",
    ),
    "curve": _checks(
        extinctions, "settings curve_schema curve_units curve_chunks curve_refusals pickling"
    ),
    "colour-model": _checks(
        models,
        "settings read_only schema deterministic threads chunks refusals function_recovered weights"
        " smoother pickling model_pickling",
    ),
    "offset-level": _checks(
        levels,
        "settings schema role deterministic chunks unknown precision within_exposure"
        " offsets_recovered restore pickling level_pickling",
    ),
    "diagnostic": _checks(products, "settings numbers chunks few_stars pickling"),
    "writer": _checks(
        products, "settings written corrected note deterministic input_untouched bad_file pickling"
    ),
    "archive": _checks(archives, "settings products plan delivery wanted pickling"),
}
_TRAITS: dict[str, KindTraits] = {
    "survey": loaders.TRAITS,
    "reference": references.TRAITS,
    "extinction": extinctions.TRAITS,
    "colour-model": models.TRAITS,
    "offset-level": levels.TRAITS,
    "writer": products.WRITER_TRAITS,
}


@dataclass(frozen=True)
class Outcome:
    """What a check found.

    Attributes
    ----------
    check : str
        Name of the check.
    status : {"passed", "failed", "not tested", "expected"}
        The last: it failed, as was expected.
    message : str
        What to change, why nothing was tested, or why the failure was expected.
    """

    check: str
    status: Status
    message: str = ""


def subject_of(
    descriptor: Descriptor,
    kind: str,
    *,
    module: str = "",
    settings: Mapping[str, Any] | None = None,
) -> Subject:
    """Return a descriptor as the checks take it.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    module : str
        The module that the entry point names; by default that of the first function.
    settings : mapping, optional
        Settings to test with, as in YAML; by default those of the example, or the defaults.
    """
    values = [getattr(descriptor, field.name) for field in fields(descriptor)]
    functions = [each for each in values if callable(each) and not isinstance(each, type)]
    where = module or str(functions[0].__module__)
    return Subject(descriptor, hook_of(kind), where, settings, _TRAITS.get(kind, KindTraits()))


def find_subject(
    name: str,
    kind: str | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    registry: Registry | None = None,
) -> tuple[str, Subject]:
    """Return kind and subject of an installed plugin.

    Raises PluginError if nothing, or more than one kind, is called so.
    """
    registry = load_registry() if registry is None else registry
    kinds = (
        [kind]
        if kind is not None
        else [known for known, hook in KINDS.items() if name in registry.names(HOOKS[hook][0])]
    )
    if len(kinds) > 1:
        raise PluginError(f"{name!r} names several: {', '.join(kinds)}; say which with --kind")
    if not kinds:
        broken = "".join(f"; {b.provider.plugin!r} is broken: {b.reason}" for b in registry.broken)
        raise PluginError(
            f"nothing installed is called {name!r}: see `scrframe plugins list`{broken}"
        )
    descriptor_type = HOOKS[hook_of(kinds[0])][0]
    descriptor = registry.get(descriptor_type, name)
    module = registry.provider(descriptor_type, name).module
    return kinds[0], subject_of(descriptor, kinds[0], module=module, settings=settings)


def run_check(
    check: Function, subject: Subject, expected_failures: Mapping[str, str] | None = None
) -> Outcome:
    """Run one check and return what it found; nothing is raised."""
    expected = (expected_failures or {}).get(check.__name__)
    try:
        judge(check, subject)
    except NotTestedError as reason:
        return Outcome(check.__name__, "not tested", str(reason))
    except CheckFailureError as failure:
        if expected is not None:
            return Outcome(check.__name__, "expected", expected)
        return Outcome(check.__name__, "failed", str(failure))
    if expected is not None:
        message = f"passes, though it is expected to fail ({expected}): expect it no longer"
        return Outcome(check.__name__, "failed", message)
    return Outcome(check.__name__, "passed")


def judge(check: Function, subject: Subject) -> None:
    """Run one check; whatever the plugin raises becomes a failure that says where.

    Raises CheckFailureError if the plugin fails, and NotTestedError if there is nothing to test.
    """
    try:
        check(subject)
    except (CheckFailureError, NotTestedError):
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        raise CheckFailureError(
            f"stopped with {type(error).__name__}: {text} ({_place(error)}): correct this first"
        ) from error


def _place(error: Exception) -> str:
    """Return the innermost place outside the kit where an error came from."""
    places = []
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_globals.get("__name__", "")
        places.append((name, trace.tb_lineno))
        trace = trace.tb_next
    own = [place for place in places if not place[0].startswith("scrframe.testing")]
    name, line = (own or places)[0]
    return f"in {name}, line {line}"


def run_checks(
    kind: str, subject: Subject, expected_failures: Mapping[str, str] | None = None
) -> list[Outcome]:
    """Run all checks of a kind, in order.

    Raises PluginError if a failure of an unknown check is expected.
    """
    refuse_unknown(kind, expected_failures or {})
    return [run_check(check, subject, expected_failures) for check in CHECKS[kind]]


def refuse_unknown(kind: str, names: Sequence[str] | Mapping[str, str]) -> None:
    """Raise PluginError if a name is none of a kind's checks."""
    known = [check.__name__ for check in CHECKS[kind]]
    for name in names:
        if name not in known:
            raise PluginError(
                f"no check of a {kind} is called {name!r}; there are {', '.join(known)}"
            )


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
