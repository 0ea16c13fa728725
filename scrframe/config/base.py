"""What blocks are built from, and pydantic's errors as sentences that name the key."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import InitErrorDetails, PydanticCustomError

from scrframe.config.document import Document, KeyPath
from scrframe.errors import ConfigError, did_you_mean, printable
from scrframe.plugin import PluginConfig
from scrframe.tables.cuts import Cut

#: Type of an error whose message is final.
WORDED = "scrframe"
#: What types of pydantic's errors ask for, in words.
_EXPECTED = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dataclass_type"), "a mapping of keys"),
    **dict.fromkeys(("dict_type", "mapping_type"), "a mapping of keys"),
    **dict.fromkeys(("list_type", "tuple_type"), "a list"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    **dict.fromkeys(("int_type", "int_from_float", "int_parsing"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    "finite_number": "a finite number",
    "string_type": "text",
}
_PREDICATES = ("has ", "is ", "lacks ", "must ", "needs ", "names ")


class Settings(PluginConfig):
    """Settings of the core, as strict as those of plugins.

    A key's description stands in its `Field`, or as a docstring below it.
    """

    model_config = ConfigDict(use_attribute_docstrings=True)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: Any, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the schema, in which a description is one line, however it is wrapped here."""
        schema = handler(core_schema)
        for each in handler.resolve_ref_schema(schema).get("properties", {}).values():
            if "description" in each:
                each["description"] = " ".join(each["description"].split())
        return schema


def as_written(value: Any) -> Any:
    """Return a default in the form that it has in YAML; pydantic validates it like that."""
    return value


#: A name that is part of file and column names.
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]


def _read_cut(value: Any) -> Cut:
    if isinstance(value, Cut):
        return value
    if not isinstance(value, str):
        raise ValueError('is not a cut; expected text such as "mag < 21.5"')
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


def problem(path: KeyPath, message: str, value: Any = None) -> InitErrorDetails:
    """Return an error with a final message for a key below the model being validated."""
    final = PydanticCustomError(WORDED, message)
    return {"type": final, "loc": path, "input": value}


def reword(
    error: ValidationError,
    model: type[BaseModel],
    prefix: KeyPath = (),
    also_known: Sequence[str] = (),
) -> list[InitErrorDetails]:
    """Return the errors with final messages, their paths below `prefix`.

    Parameters
    ----------
    error : ValidationError
        Errors of the model.
    model : type of BaseModel
        The model, for the keys that it knows.
    prefix : tuple
        Where the model lies in the whole.
    also_known : sequence of str
        Keys that stand beside the model's own.
    """
    return [
        problem((*prefix, *_path(detail)), _message(detail, model, also_known), detail["input"])
        for detail in error.errors(include_url=False)
    ]


def lines(error: ValidationError, model: type[BaseModel], document: Document) -> list[str]:
    """Return one line ``file:line:column: key message`` for each error, without repetition."""
    found = [
        line(document, _path(detail), _message(detail, model, ()))
        for detail in error.errors(include_url=False)
    ]
    return list(dict.fromkeys(found))


def line(document: Document, path: KeyPath, message: str) -> str:
    """Return ``origin: key message`` for one error."""
    unknown = message.startswith("is an unknown key")
    shown = dotted(document, path) or "the description"
    link = " " if message.startswith(_PREDICATES) else ": "
    return f"{document.origin(path, of_key=unknown)}: {shown}{link}{message}"


def dotted(document: Document, path: KeyPath) -> str:
    """Return a path as ``--set`` takes it: list items that have a name go by it."""
    parts, node = [], document.data
    for step in path:
        if isinstance(node, dict) and step in node:
            parts.append(printable(str(step)))
            node = node[step]
        elif isinstance(node, list) and isinstance(step, int) and step < len(node):
            node = node[step]
            named = isinstance(node, dict) and isinstance(node.get("name"), str)
            parts.append(node["name"] if named else str(step))
        elif isinstance(node, (dict, list)) or node is None:
            # Not in the text: a default, or a branch of a type that pydantic names.
            parts.append(str(step))
            node = None
        else:
            break
    return ".".join(parts)


def _path(detail: Any) -> KeyPath:
    path: KeyPath = tuple(detail["loc"])
    return path[:-1] if detail["type"] == "missing" else path


def _message(detail: Any, model: type[BaseModel], also_known: Sequence[str]) -> str:
    kind, path = detail["type"], tuple(detail["loc"])
    if kind == WORDED:
        return str(detail["msg"])
    if kind == "missing":
        return f'lacks the key "{path[-1]}"'
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        beside = also_known if len(path) == 1 else ()
        return unknown_key(str(path[-1]), [*beside, *known_keys(model, path[:-1])])
    if kind in ("value_error", "assertion_error"):
        return " ".join(str(detail["ctx"]["error"]).split())
    return f"is {_shown(detail['input'])}; expected {_expected(detail)}"


def _expected(detail: Any) -> str:
    if detail["type"] in _EXPECTED:
        return _EXPECTED[detail["type"]]
    if detail["type"] == "too_short":
        return f"a list of at least {detail['ctx']['min_length']}"
    said = str(detail["msg"])
    said = said.removeprefix("Input should be ").replace("String should ", "text to ", 1)
    if detail["type"] != "literal_error":
        return said
    choices = [choice.strip("'") for choice in said.replace(" or ", ", ").split(", ")]
    return said + did_you_mean(str(detail["input"]), choices)


def unknown_key(key: str, known: Sequence[str]) -> str:
    """Return the message for a key that does not exist."""
    near = did_you_mean(key, known)
    return f"is an unknown key{near or '; known are: ' + ', '.join(known)}"


def known_keys(model: type[Any], path: KeyPath) -> list[str]:
    """Return the keys of the model that lies at a path below a model."""
    for step in path:
        annotation = key_types(model).get(str(step))
        if annotation is not None:
            inner = list(models_in(annotation))
            if not inner:
                break
            model = inner[0]
    return list(key_types(model))


def key_types(model: type[Any]) -> dict[str, Any]:
    """Return the type of each key of a model, or of a dataclass that stands for a block."""
    if is_dataclass(model):
        return get_type_hints(model)
    hidden: frozenset[str] = getattr(model, "hidden_fields", frozenset())
    fields = model.model_fields.items()
    return {name: field.annotation for name, field in fields if name not in hidden}


def models_in(annotation: Any) -> Iterator[type[Any]]:
    """Yield the models, and dataclasses that stand for blocks, that a type takes."""
    if isinstance(annotation, type) and (
        issubclass(annotation, BaseModel) or is_dataclass(annotation)
    ):
        yield annotation
    elif get_origin(annotation) in (tuple, list, dict, Mapping, Union, types.UnionType, Annotated):
        for argument in get_args(annotation):
            yield from models_in(argument)


def _shown(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        text = f'"{value}"'
    elif isinstance(value, (int, float)):
        text = repr(value)
    else:
        return "a list" if isinstance(value, (list, tuple)) else "a mapping"
    return " ".join(text.split()) if len(text) < 80 else text[:76] + '..."'
