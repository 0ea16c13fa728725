"""What the core's settings are built from: a strict base and annotated types."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

from scrframe.errors import ConfigError
from scrframe.plugin import PluginConfig
from scrframe.tables.cuts import Cut


class Settings(PluginConfig):
    """Settings of the core, as strict as those of plugins."""


def as_written(value: Any) -> Any:
    """Return a default in the form that it has in YAML; pydantic validates it like that."""
    return value


#: A name that is part of file and column names.
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]


def _read_cut(value: Any) -> Cut:
    if isinstance(value, Cut):
        return value
    if not isinstance(value, str):
        raise ValueError('is no cut; expected text such as "mag < 21.5"')
    try:
        return Cut.parse(value)
    except ConfigError as error:
        raise ValueError(str(error)) from None


#: A cut, written as text.
CutText = Annotated[
    Cut,
    BeforeValidator(_read_cut),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["mag < 21.5", "abs(gal_b) > 3.5"]}),
]
