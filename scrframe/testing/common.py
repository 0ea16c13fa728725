"""Checks of every kind of plugin."""

from __future__ import annotations

import contextlib
import dataclasses
import pickle
import re
import typing
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from pydantic import BaseModel

from scrframe.plugin import Descriptor, PluginConfig
from scrframe.tables import BY_NAME, Column
from scrframe.tables.table import arrow_type
from scrframe.testing.fresh import Fresh, fresh_processes, lay_out, name_of
from scrframe.testing.subject import Subject, demand, settings_of

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
        f"the setting(s) {', '.join(undocumented)} have no description: add"
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


def check_pickling(subject: Subject) -> None:
    """Check that the descriptor can be sent to another process."""
    _picklable(subject.descriptor)
    kind, answer = fresh_of(subject).answers["descriptor"]
    demand(
        kind == "ok" and answer == subject.name,
        f"the descriptor does not open in a new process ({answer}): define its functions and"
        " settings at the top of an importable module",
    )


def _picklable(descriptor: Descriptor) -> None:
    for field in dataclasses.fields(descriptor):
        value = getattr(descriptor, field.name)
        try:
            pickle.dumps(value)
        except Exception as error:
            demand(
                False,
                f"`{field.name}` of the descriptor cannot be pickled ({error}): make it a"
                " function at the top of a module, no lambda",
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


def fresh_of(subject: Subject) -> Fresh:
    """Return what a fresh process says; there is one for all checks of a subject."""
    return subject.once("a fresh process", lambda: _fresh([subject])[0])


def share_process(subjects: Sequence[Subject]) -> None:
    """Ask one fresh process for several subjects, which saves most of its time."""
    for subject, fresh in zip(subjects, _fresh(subjects), strict=True):
        subject.once("a fresh process", partial(_itself, fresh))


def _itself(fresh: Fresh) -> Fresh:
    return fresh


def _fresh(subjects: Sequence[Subject]) -> list[Fresh]:
    for subject in subjects:
        tasks = {"descriptor": (name_of, (subject.descriptor,)), **subject.tasks(subject)}
        for name, (function, arguments) in tasks.items():
            with contextlib.suppress(Exception):  # what cannot be pickled has no answer
                lay_out(subject, name, function, *arguments)
    return fresh_processes(subjects)
