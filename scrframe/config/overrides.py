"""``--set key.path=value``: changes to a description's data before it is validated."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from scrframe.config.document import Document, Path, parse_value
from scrframe.errors import ConfigError
from scrframe.tables.names import did_you_mean


def apply_overrides(
    document: Document,
    overrides: Sequence[str],
    model: type[BaseModel],
    environ: Mapping[str, str],
) -> None:
    """Apply ``key.path=value`` texts, in order; values are YAML.

    Items of a list are reached by their ``name``, or by their number from 0. Whether a
    key exists is left to the validation that follows, whose errors then name the option.

    Parameters
    ----------
    document : Document
        Changed in place.
    overrides : sequence of str
        The options' arguments.
    model : type of BaseModel
        Knows the defaults, so that ``offsets.levels.pixel.size`` reaches a default level.
    environ : mapping
        Environment variables for ``${...}``.

    Raises
    ------
    ConfigError
        If an argument has no ``=`` or its path leads nowhere.
    """
    for text in overrides:
        key, equals, value = text.partition("=")
        option = f"--set {text}"
        steps = key.strip().split(".")
        if not equals or not all(steps):
            raise ConfigError(f"{option}: expected key.path=value")
        _set(document, steps, parse_value(value, option, environ), option, model)


def _set(
    document: Document, steps: list[str], value: Any, option: str, model: type[BaseModel]
) -> None:
    if not isinstance(document.data, dict):
        raise ConfigError(f"{document.source}: is no mapping of keys")
    holder: Any = document.data
    path: Path = ()
    for depth, text in enumerate(steps):
        step = _step(holder, text, option, steps[:depth])
        path = (*path, step)
        if depth == len(steps) - 1:
            _forget(document, path)
            document.keys[path] = document.values[path] = option
            holder[step] = value
            return
        if isinstance(holder, dict) and holder.get(text) is None:
            holder[step] = _default(model, steps[: depth + 1])
            document.keys[path] = document.values[path] = option
        holder = holder[step]


def _step(holder: Any, text: str, option: str, before: list[str]) -> str | int:
    where = ".".join(before)
    if isinstance(holder, dict):
        return text
    if not isinstance(holder, list):
        raise ConfigError(f'{option}: {where} holds no keys, so there is no "{text}" in it')
    names = [item.get("name") if isinstance(item, dict) else None for item in holder]
    if text in names:
        return names.index(text)
    if text.isdecimal() and int(text) < len(holder):
        return int(text)
    known = [name for name in names if isinstance(name, str)]
    items = ", ".join(known) if known else f"0 to {len(holder) - 1}" if holder else "none"
    raise ConfigError(
        f'{option}: {where} has no item "{text}"{did_you_mean(text, known)} (items: {items})'
    )


def _default(model: type[BaseModel], steps: list[str]) -> Any:
    """Return the default at a path as data that can be changed: a list, or no keys yet."""
    for step in steps[:-1]:
        field = model.model_fields.get(step)
        if field is None or not isinstance(field.annotation, type):
            return {}
        if not issubclass(field.annotation, BaseModel):
            return {}
        model = field.annotation
    field = model.model_fields.get(steps[-1])
    default = None if field is None else field.default
    if isinstance(default, tuple):
        return list(copy.deepcopy(default))
    return {}


def _forget(document: Document, path: Path) -> None:
    """Drop the origins of what is replaced."""
    for origins in (document.keys, document.values):
        for known in [known for known in origins if known[: len(path)] == path]:
            del origins[known]
