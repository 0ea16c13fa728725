"""Results to plain JSON values and back, by the declared types of their fields."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np


def to_json(value: Any) -> Any:
    """Return dicts, lists, texts, numbers and None for a value of (nested) dataclasses.

    JSON has no number that is not finite: such a number becomes None.
    """
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def from_json(kind: Any, value: Any) -> Any:
    """Return the value of a declared type that `to_json` wrote; None as a float is NaN.

    Parameters
    ----------
    kind : type
        A dataclass, `tuple[x, ...]`, `dict[str, x]`, `x | None`, an array type, or a plain
        type, of which dataclasses may be nested to any depth.
    value : plain JSON value
    """
    if is_dataclass(kind) and isinstance(kind, type):
        kinds = _kinds(kind)
        known = {field.name for field in fields(kind)} & set(value)
        return kind(**{name: from_json(kinds[name], value[name]) for name in sorted(known)})
    if kind is float:
        return math.nan if value is None else float(value)
    return _from_generic(kind, value)


def _from_generic(kind: Any, value: Any) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        (sole,) = (one for one in inner if one is not NoneType)
        return None if value is None else from_json(sole, value)
    if origin is tuple:
        return tuple(from_json(inner[0], item) for item in value)
    if origin is dict:
        return {key: from_json(inner[1], item) for key, item in value.items()}
    if origin is np.ndarray:
        return _array(kind, value)
    return value


def _array(kind: Any, value: list[Any]) -> Any:
    """Return a list of numbers as an array of the element type that `kind` declares."""
    scalar = get_args(get_args(kind)[1])[0]
    if issubclass(scalar, np.floating):
        value = [math.nan if item is None else item for item in value]
    return np.array(value, dtype=scalar)


@cache
def _kinds(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)
