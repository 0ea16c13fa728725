"""What is under test: a descriptor, its settings, a scratch folder and what checks share."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from scrframe.plugin import Part, PluginConfig

T = TypeVar("T")


class CheckFailureError(AssertionError):
    """A plugin breaks its contract; the message says what its author should change."""


class NotTestedError(Exception):
    """A check has nothing to test, or needs what another check has found broken."""


def demand(condition: object, message: str) -> None:
    """Raise CheckFailureError with a message unless a condition holds."""
    if not condition:
        raise CheckFailureError(message)


class Repeat(NamedTuple):
    """What a plugin gives twice, by name, which must have every bit in common."""

    first: Mapping[str, Any]
    second: Mapping[str, Any]
    when: str
    advice: str


class Reading(NamedTuple):
    """A function that reads a part: its name, that of the function that finds parts, itself."""

    name: str
    finder: str
    read: Callable[[Part], Any]


@dataclass(frozen=True)
class KindTraits:
    """What the checks that kinds of plugins share need to know of a kind.

    Attributes
    ----------
    repeat : callable (subject) -> iterable of Repeat
        What is done again.
    copied : callable (subject) -> (function, made, ...)
        What the plugin makes that travels between processes, and a function of it and of what
        follows, whose value must survive.
    write : callable (subject) -> Path
        Writes an example of the input and returns its folder.
    finders : tuple of str
        The descriptor's functions that find parts.
    readings : callable (subject) -> iterable of Reading
        What must refuse a damaged file.
    finders_refuse : bool
        Whether a damaged file may be refused as early as when parts are found.
    """

    repeat: Callable[[Subject], Iterable[Repeat]] = lambda subject: ()
    copied: Callable[[Subject], tuple[Any, ...]] | None = None
    write: Callable[[Subject], Path] = lambda subject: subject.folder("input")
    finders: tuple[str, ...] = ()
    readings: Callable[[Subject], Iterable[Reading]] = lambda subject: ()
    finders_refuse: bool = False


@dataclass
class Subject:
    """A plugin under test.

    Attributes
    ----------
    descriptor : Descriptor
        What the plugin yields.
    hook : str
        The hook that yields it.
    module : str
        The module that the entry point names.
    settings : mapping or None
        Settings to test with, as they stand in YAML; None takes those of the descriptor's
        example. What they leave out has its default, or the first of the field's `examples`.
    traits : KindTraits
        Of its kind.
    """

    descriptor: Any
    hook: str
    module: str
    settings: Mapping[str, Any] | None = None
    traits: KindTraits = KindTraits()
    _made: dict[str, tuple[Any, Exception | None]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of the descriptor."""
        return str(self.descriptor.name)

    @cached_property
    def _scratch(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="scrframe-check-", ignore_cleanup_errors=True)

    def folder(self, name: str) -> Path:
        """Return a scratch folder, made at its first use and removed with the subject."""
        path = Path(self._scratch.name).resolve() / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def once(self, name: str, make: Callable[[], T], *, judge: bool = False) -> T:
        """Return what several checks need, made once.

        Parameters
        ----------
        name : str
            What it is called in messages.
        make : callable () -> object
            Makes it, with the plugin's own functions.
        judge : bool
            Whether a failure to make it is this check's own finding; to any other check it
            only means that there is nothing to test.

        Raises
        ------
        NotTestedError
            If it could not be made, and that is another check's finding.
        """
        if name not in self._made:
            try:
                self._made[name] = (make(), None)
            except Exception as error:
                self._made[name] = (None, error)
        value, failed = self._made[name]
        if failed is not None:
            if judge or isinstance(failed, NotTestedError):
                raise failed
            raise NotTestedError(f"needs {name}, see the check that failed before")
        return value  # type: ignore[no-any-return]

    @property
    def config(self) -> PluginConfig:
        """The settings to test with; NotTestedError if there are none."""
        return self.once("settings", lambda: settings_of(self))


def take_example(subject: Subject, root: Path) -> None:
    """Write the descriptor's example below `root`, and take its settings unless some are given.

    Raises CheckFailureError if it does not return settings of the descriptor's own.
    """
    descriptor = subject.descriptor
    config = descriptor.example(root)
    demand(
        isinstance(config, descriptor.config),
        f"`example` returned a {type(config).__name__}: return the {descriptor.config.__name__}"
        " that reads what it wrote",
    )
    if subject.settings is None:
        subject.settings = config.model_dump(mode="json", exclude_unset=True)


def settings_of(subject: Subject) -> PluginConfig:
    """Return settings made of what was given, or of defaults and examples of fields.

    Raises CheckFailureError if a field has neither default nor example, or the settings are
    refused.
    """
    model = subject.descriptor.config
    given = subject.settings or {}
    given = {**required_examples(model, given), **given}
    try:
        made = model.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or model.__name__
        raise CheckFailureError(
            f"{model.__name__} refuses the settings {dict(given)}: {where}: {first['msg']};"
            " correct the defaults or `examples` of its fields"
        ) from None
    return made  # type: ignore[no-any-return]


def required_examples(model: type[PluginConfig], given: Collection[str]) -> dict[str, Any]:
    """Return the first example of every field without a default that is not given.

    Raises CheckFailureError if such a field has no example.
    """
    schema = model.model_json_schema()
    values: dict[str, Any] = {}
    for name in set(schema.get("required", [])).difference(given):
        examples = schema["properties"][name].get("examples")
        demand(
            examples,
            f"the setting {name!r} of {model.__name__} has no default: give it one, or show a value"
            " with Field(examples=[...]), with which the checks can run",
        )
        values[name] = examples[0]
    return values
