"""Where one column comes from: an entry of `columns` in a description."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    Strict,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from scrframe.errors import ConfigError, DataError
from scrframe.plugin import PluginConfig
from scrframe.tables.columns import Kind
from scrframe.tables.cuts import Expression
from scrframe.units import InUnit, parse_quantity

#: What a column can be made from; an entry names one of them.
ORIGINS = (
    "column",
    "expression",
    "template",
    "tile",
    "keyword",
    "filename",
    "extension",
    "value",
)
#: Ways to write a date besides units of time.
DATES = ("mjd", "jd", "iso", "unix")
#: How columns that the description adds are stored.
KINDS: dict[str, Kind] = {
    "number": "float64",
    "integer": "int64",
    "flag": "bool",
    "label": "category",
}
_FIELD = re.compile(r"\{([^{}]*)\}")

Scalar = Annotated[bool, Strict()] | Annotated[int, Strict()] | Annotated[float, Strict()] | str


class Short(PluginConfig):
    """Settings that are written without the keys that were not given."""

    @model_serializer(mode="wrap")
    def _given(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        return {key: value for key, value in written.items() if value is not None}


class OrText(Short):
    """Settings for which a text alone may stand; says so in the schema for editors."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the JSON schema of the settings or a text."""
        return {"anyOf": [{"type": "string"}, handler(core_schema)]}


class Simulated(Short):
    """What simulated catalogues hold in a column that the simulation does not know."""

    star: Scalar = Field(description="Value of detections that are stars.")
    other: Scalar = Field(description="Value of galaxies and spurious detections.")


def _one_for_all(value: Any) -> Any:
    plain = value is None or isinstance(value, (dict, Simulated))
    return value if plain else {"star": value, "other": value}


#: What simulated catalogues hold: one value, or one of stars and one of others.
SimulatedValue = Annotated[
    Simulated, BeforeValidator(_one_for_all, json_schema_input_type=Simulated | Scalar)
]


class Source(OrText):
    """Where one column comes from; a text alone is the name of a column."""

    column: str | None = Field(default=None, min_length=1, description="Column of the table.")
    expression: str | None = Field(
        default=None, description="Arithmetic of columns, in the language of cuts."
    )
    template: str | None = Field(
        default=None, description='Text made of columns, such as "{run}-{field}".'
    )
    tile: tuple[str, str] | None = Field(
        default=None,
        description="Names the tile of the sky in which a place lies: columns of its right"
        " ascension and declination in deg, such as those of the centre of the exposure.",
    )
    size: Annotated[float, InUnit("deg")] | None = Field(
        default=None, description="Height of the tiles, and about their width."
    )
    keyword: str | None = Field(
        default=None,
        description="Keyword of the table: of the FITS extension, else of LDAC_IMHEAD before it or"
        " the primary header; of the meta of ECSV, a PARAM of VOTable.",
    )
    filename: str | None = Field(
        default=None,
        description="Regular expression that finds it in the name of the file, or in its path if"
        " it has a slash; the first group counts, else all that matches.",
    )
    extension: Literal[True] | None = Field(
        default=None, description="true: the number of the FITS extension."
    )
    value: Scalar | None = Field(default=None, description="The same value in every row.")
    unit: str | None = Field(
        default=None,
        description="Unit in the table; by default what the file declares, else the vocabulary's."
        " Dates are `mjd`, `jd`, `iso` or `unix`; a magnitude may be a flux.",
    )
    zero_point: float | str | None = Field(
        default=None,
        description="Magnitude of a flux of one, for fluxes that are no flux densities; a number"
        " or the name of a column.",
    )
    codes: Mapping[str, Scalar] | None = Field(
        default=None, description="What each text or number of the table stands for."
    )
    dtype: Literal["number", "integer", "flag", "label"] | None = Field(
        default=None, description="Of columns outside the vocabulary; by default number."
    )
    doc: str | None = Field(
        default=None, description="Meaning of a column outside the vocabulary, for lists."
    )
    simulated: SimulatedValue | None = Field(
        default=None, description="Value in simulated catalogues, of stars and of others."
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"column": data}
        if isinstance(data, (int, float, list)) or data is None:
            raise ValueError("is no column; a constant is written {value: ...}")
        return data

    @field_validator("zero_point", mode="before")
    @classmethod
    def _number_or_column(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return parse_quantity(value, "mag")
        except ValueError:
            return value

    @field_validator("expression")
    @classmethod
    def _arithmetic(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                Expression(value)
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return value

    @field_validator("filename")
    @classmethod
    def _expression(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f'is "{value}", no regular expression: {error}') from None
        return value

    @field_validator("template")
    @classmethod
    def _with_fields(cls, value: str | None) -> str | None:
        if value is not None:
            names = _FIELD.findall(value)
            if not names or "" in names or set(_FIELD.sub("", value)) & set("{}"):
                raise ValueError(f'is "{value}"; expected columns in braces, as in "{{a}}-{{b}}"')
        return value

    @model_validator(mode="after")
    def _one_origin(self) -> Source:
        given = [name for name in ORIGINS if getattr(self, name) is not None]
        if len(given) != 1:
            said = " and ".join(given) if given else "none of them"
            raise ValueError(f"needs one of {', '.join(ORIGINS)}; it has {said}")
        if (self.tile is None) != (self.size is None):
            raise ValueError("needs tile and size together: the columns, and the side of a tile")
        return self

    @property
    def template_fields(self) -> tuple[str, ...]:
        """Columns that the template names, in order."""
        return tuple(_FIELD.findall(self.template or ""))

    @property
    def names(self) -> tuple[str, ...]:
        """Columns of the table that are needed."""
        found = [self.column] if self.column is not None else []
        if self.expression is not None:
            found += Expression(self.expression).names
        found += [*self.template_fields, *(self.tile or ())]
        if isinstance(self.zero_point, str):
            found.append(self.zero_point)
        return tuple(dict.fromkeys(found))

    def in_file(self, path: Path) -> Source:
        """Return the source with what the name of a file tells as its value.

        Raises DataError if the name does not tell it.
        """
        if self.filename is None:
            return self
        text = path.as_posix() if "/" in self.filename else path.name
        found = re.search(self.filename, text)
        value = found and (found[1] if found.re.groups else found[0])
        if value is None:
            raise DataError(f'{path}: the name has no match of "{self.filename}"')
        return self.model_copy(update={"filename": None, "value": value})
