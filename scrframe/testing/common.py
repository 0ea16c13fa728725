"""Checks of every kind of plugin."""

from __future__ import annotations

import dataclasses
import pickle
import re
import typing
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import BaseModel
from scipy import sparse

from scrframe.errors import ScrframeError, named
from scrframe.plugin import PluginConfig
from scrframe.tables import BY_NAME, Column
from scrframe.tables.table import arrow_type
from scrframe.testing.fresh import fresh_of
from scrframe.testing.subject import CheckFailureError, Subject, demand, settings_of

#: Columns after the framework's own steps that a reference catalogue may bring instead.
NOT_DERIVED = ("snr",)
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
#: Processor seconds that the import of a plugin's module may take beyond scrframe's own.
IMPORT_CPU_S = 3.0
#: Longest summary that a line of a list has room for.
SUMMARY_LENGTH = 120


def check_descriptor(subject: Subject) -> None:
    """Check that a survey description can name the plugin and its settings."""
    descriptor = subject.descriptor
    demand(
        isinstance(descriptor.name, str) and NAME.fullmatch(descriptor.name),
        f"the name {descriptor.name!r} cannot stand as a key in YAML: begin it with a letter and"
        " use letters, digits and underscores only",
    )
    model = descriptor.config
    demand(
        isinstance(model, type) and issubclass(model, PluginConfig),
        "`config` must be a subclass of PluginConfig (the class, not an object of it)",
    )
    for key, value in (("extra", "forbid"), ("frozen", True)):
        demand(
            model.model_config.get(key) == value,
            f"{model.__name__} sets {key} to {model.model_config.get(key)!r}: leave model_config as"
            " PluginConfig has it, so that misspelt keys are refused and settings do not change",
        )


def check_settings(subject: Subject) -> None:
    """Check that the settings can be made from defaults and examples, and survive being written."""
    made = subject.once("settings", lambda: settings_of(subject), judge=True)
    again = type(made).model_validate(made.model_dump(mode="json"))
    demand(
        again == made,
        f"{type(made).__name__} changes when it is written as JSON and read again: give fields of"
        " your own types a serializer",
    )


def check_documented(subject: Subject) -> None:
    """Check that summary, version, settings and own columns say what they are."""
    descriptor = subject.descriptor
    for name in ("summary", "version"):
        text = getattr(descriptor, name)
        demand(
            isinstance(text, str) and text.strip() and "\n" not in text,
            f"`{name}` of the descriptor must be one line of text",
        )
    demand(
        len(descriptor.summary) <= SUMMARY_LENGTH,
        f"the summary has {len(descriptor.summary)} characters: shorten it to {SUMMARY_LENGTH},"
        " the room of a line in `scrframe plugins list`",
    )
    undocumented = list(_undocumented(descriptor.config, ""))
    demand(
        not undocumented,
        f"the {named('setting', undocumented)} have no description: add"
        ' Field(..., description="...") of one sentence, which becomes the reference',
    )
    for column in getattr(descriptor, "own_columns", ()):
        _check_column(column)


def _undocumented(model: type[BaseModel], path: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = [kind for kind in _types_in(field.annotation) if issubclass(kind, BaseModel)]
        if not (field.description or "").strip() and not any(kind.__doc__ for kind in inner):
            yield path + name
        for kind in inner:
            yield from _undocumented(kind, f"{path}{name}.")


def _types_in(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _types_in(argument)


def _check_column(column: Column) -> None:
    from astropy import units  # noqa: PLC0415 - slow to import

    known = BY_NAME.get(column.name)
    demand(
        known is None,
        f"own column {column.name!r} is in the vocabulary already: list it in `columns`, in the"
        f" vocabulary's unit ({known.unit if known else ''})",
    )
    demand(column.doc.strip(), f"own column {column.name!r} has no `doc`: say what it is")
    try:
        arrow_type(column.kind)
    except KeyError:
        demand(False, f"own column {column.name!r} has the unknown kind {column.kind!r}")
    try:
        units.Unit(column.unit)
    except ValueError:
        demand(
            False,
            f"own column {column.name!r} has the unknown unit {column.unit!r}; write it"
            " as astropy does, or leave it empty",
        )


def judge_columns(names: tuple[str, ...], stages: tuple[str, ...]) -> None:
    """Demand that names of provided columns are in the vocabulary, of a stage, not derived."""
    for name in names:
        known = BY_NAME.get(name)
        demand(
            known is not None,
            f"`columns` names {name!r}, which is not in the vocabulary (`scrframe schema"
            " --columns`): describe it in `own_columns`, or use the vocabulary's name",
        )
        assert known is not None
        demand(
            known.stage in stages and (not known.derived or name in NOT_DERIVED),
            f"`columns` names {name!r}, which the framework derives or another kind of plugin"
            " supplies: take it out",
        )


def check_deterministic(subject: Subject) -> None:
    """Check that the same input gives the same bits each time."""
    for again in subject.traits.repeat(subject):
        judge_same(*again)


def judge_same(first: Any, second: Any, when: str, advice: str) -> None:
    """Demand that values, by name, have every bit in common."""
    demand(list(first) == list(second), f"other columns are there {when}: {advice}")
    for name, value in first.items():
        demand(
            same_bits(value, second[name]),
            f"{name} differs {when}{_by(value, second[name])}: {advice}",
        )


def same_bits(first: Any, second: Any) -> bool:
    """Return whether type, shape and every bit are the same (NaN equals NaN).

    Takes arrays, sparse matrices, tables of Arrow and bytes.
    """
    if isinstance(first, bytes):
        return bool(first == second)
    if isinstance(first, pa.Table):
        return bool(first.equals(second))
    if isinstance(first, sparse.csr_array):
        return first.shape == second.shape and not (first != second).nnz
    a, b = np.asarray(first), np.asarray(second)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


def _by(first: Any, second: Any) -> str:
    """Return by how much numbers differ, in words."""
    if not (isinstance(first, np.ndarray) and first.dtype.kind == "f"):
        return ""
    if np.shape(first) != np.shape(second):
        return " in shape"
    return f" by up to {np.nanmax(np.abs(first - second), initial=0):.2g}"


def judge_copies(subject: Subject, what: str) -> None:
    """Demand that what a plugin makes works the same after pickling, also in a new process."""
    assert subject.traits.copied is not None
    use, made, *arguments = subject.traits.copied(subject)
    before = use(made, *arguments)
    try:
        again = pickle.loads(pickle.dumps(made))
    except Exception as error:
        raise CheckFailureError(
            f"the {what} cannot be pickled ({type(error).__name__}: {error}): keep plain"
            " attributes, no functions, locks or open files"
        ) from error
    demand(
        same_bits(before, use(again, *arguments)),
        f"the {what} gives something else after pickling: keep all that it needs in attributes",
    )
    kind, answer = fresh_of(subject).answers.get("copy", ("error", "it could not be sent"))
    demand(
        kind == "ok" and same_bits(before, answer),
        f"the {what} gives something else in a new process"
        f" ({answer if kind == 'error' else 'other numbers'}): let it depend on its own attributes",
    )


def refused(function: Callable[[], Any], kinds: type[Exception] = ScrframeError) -> str:
    """Return "" if a call is refused in one line, else what happens instead."""
    try:
        function()
    except kinds as error:
        return "" if "\n" not in str(error) else f"the message has several lines: {error}"
    except Exception as error:
        return f"raises {type(error).__name__} ({short(error)})"
    return "is taken without an error"


def short(value: Any) -> str:
    """Return a value in at most 100 characters of one line."""
    text = " ".join(str(value).split())
    return text if len(text) <= 100 else text[:97] + "..."


def check_pickling(subject: Subject) -> None:
    """Check that the descriptor can be sent to another process."""
    for field in dataclasses.fields(subject.descriptor):
        try:
            pickle.dumps(getattr(subject.descriptor, field.name))
        except Exception as error:
            raise CheckFailureError(
                f"`{field.name}` of the descriptor cannot be pickled ({error}): make it a"
                " function at the top of a module, no lambda"
            ) from error
    kind, answer = fresh_of(subject).answers["descriptor"]
    demand(
        kind == "ok" and answer == subject.name,
        f"the descriptor does not open in a new process ({answer}): define its functions and"
        " settings at the top of an importable module",
    )


def check_cheap_import(subject: Subject) -> None:
    """Check that the plugin's module loads at once, without heavy libraries."""
    fresh = fresh_of(subject)
    demand(
        fresh.error is None,
        f"the module {subject.module} cannot be imported in a new process: {fresh.error}",
    )
    demand(
        not fresh.heavy,
        f"importing {subject.module} loads {', '.join(sorted({name for name, _ in fresh.heavy}))}"
        f" (in {', '.join(sorted({who for _, who in fresh.heavy}))}): import heavy libraries inside"
        " the functions that need them, for every command loads all plugins",
    )
    demand(
        fresh.cpu_s <= IMPORT_CPU_S,
        f"importing {subject.module} takes {fresh.cpu_s:.1f} s of processor time, more than"
        f" {IMPORT_CPU_S:g}: move work and slow imports into the functions that need them",
    )
