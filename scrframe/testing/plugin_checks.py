"""The conformance checks: which there are, and how they run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scrframe.errors import PluginError
from scrframe.plugin import Descriptor, Registry, load_registry
from scrframe.plugin.registry import HOOKS, KINDS, hook_of
from scrframe.testing import (
    common,
    extinctions,
    levels,
    loaders,
    models,
    products,
    references,
)
from scrframe.testing.subject import CheckFailureError, NotTestedError, Subject, Task

Function = Callable[[Subject], None]
Status = Literal["passed", "failed", "not tested", "expected"]

_FIRST: tuple[Function, ...] = (common.check_descriptor, common.check_documented)
_LAST: tuple[Function, ...] = (common.check_pickling, common.check_cheap_import)

#: The checks of each kind, in the order in which a plugin is mended: each takes for granted
#: what those before it have found.
CHECKS: dict[str, tuple[Function, ...]] = {
    "survey": (
        *_FIRST,
        loaders.check_example,
        common.check_settings,
        loaders.check_parts,
        loaders.check_schema,
        loaders.check_finite,
        loaders.check_units,
        loaders.check_deterministic,
        loaders.check_columns_subset,
        loaders.check_visit_key,
        loaders.check_input_untouched,
        loaders.check_bad_file,
        loaders.check_round_trip,
        *_LAST,
    ),
    "reference": (
        *_FIRST,
        references.check_example,
        common.check_settings,
        references.check_parts,
        references.check_schema,
        references.check_finite,
        references.check_units,
        references.check_deterministic,
        references.check_footprint,
        references.check_chunks,
        references.check_input_untouched,
        references.check_bad_file,
        references.check_round_trip,
        *_LAST,
    ),
    "extinction": (
        *_FIRST,
        extinctions.check_example,
        common.check_settings,
        extinctions.check_parts,
        extinctions.check_schema,
        extinctions.check_finite,
        extinctions.check_units,
        extinctions.check_deterministic,
        extinctions.check_chunks,
        extinctions.check_input_untouched,
        extinctions.check_bad_file,
        extinctions.check_round_trip,
        *_LAST,
    ),
    "curve": (
        *_FIRST,
        common.check_settings,
        extinctions.check_curve_schema,
        extinctions.check_curve_units,
        extinctions.check_curve_chunks,
        extinctions.check_curve_refusals,
        *_LAST,
    ),
    "colour-model": (
        *_FIRST,
        common.check_settings,
        models.check_read_only,
        models.check_schema,
        models.check_deterministic,
        models.check_threads,
        models.check_chunks,
        models.check_refusals,
        models.check_function_recovered,
        models.check_weights,
        models.check_smoother,
        common.check_pickling,
        models.check_model_pickling,
        common.check_cheap_import,
    ),
    "offset-level": (
        *_FIRST,
        common.check_settings,
        levels.check_schema,
        levels.check_role,
        levels.check_deterministic,
        levels.check_chunks,
        levels.check_unknown,
        levels.check_precision,
        levels.check_within_exposure,
        levels.check_offsets_recovered,
        levels.check_restore,
        common.check_pickling,
        levels.check_level_pickling,
        common.check_cheap_import,
    ),
    "diagnostic": (
        *_FIRST,
        common.check_settings,
        products.check_numbers,
        products.check_chunks,
        products.check_few_stars,
        *_LAST,
    ),
    "writer": (
        *_FIRST,
        common.check_settings,
        products.check_written,
        products.check_corrected,
        products.check_note,
        products.check_deterministic,
        products.check_input_untouched,
        products.check_bad_file,
        *_LAST,
    ),
}
_TASKS: dict[str, Callable[[Subject], dict[str, Task]]] = {
    "colour-model": models.tasks,
    "offset-level": levels.tasks,
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
    descriptor : Descriptor
    kind : str
        One of `KINDS`.
    module : str
        The module that the entry point names; by default that of the descriptor's settings.
    settings : mapping, optional
        Settings to test with, as in YAML; by default those of the example, or the defaults.
    """
    where = module or _module_of(descriptor, kind)
    tasks = _TASKS.get(kind, _no_tasks)
    return Subject(descriptor, hook_of(kind), where, settings, tasks)


def _no_tasks(subject: Subject) -> dict[str, Task]:
    return {}


def _module_of(descriptor: Any, kind: str) -> str:
    first = {
        "survey": "read",
        "reference": "read_sources",
        "extinction": "read",
        "curve": "curve",
        "colour-model": "fit",
        "offset-level": "prepare",
        "diagnostic": "compute",
        "writer": "write",
    }[kind]
    return str(getattr(descriptor, first).__module__)


def find_subject(
    name: str,
    kind: str | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    registry: Registry | None = None,
) -> tuple[str, Subject]:
    """Return kind and subject of an installed plugin.

    Raises
    ------
    PluginError
        If nothing, or more than one kind, is called so.
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

    Raises
    ------
    CheckFailureError
        If the plugin fails.
    NotTestedError
        If there is nothing to test.
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

    Raises
    ------
    PluginError
        If a failure of an unknown check is expected.
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
