"""`load_survey`: from a YAML file, with changes by ``--set``, to a validated description."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from scrframe.config.base import line, lines
from scrframe.config.blocks import rename_keys
from scrframe.config.document import Document, KeyPath, parse_value, parse_yaml
from scrframe.config.schema import check_columns
from scrframe.config.survey import DEFAULT_ROOT, SurveyDescription
from scrframe.errors import ConfigError, DataError, did_you_mean, printable
from scrframe.plugin import Registry, load_registry

#: A description that has this key at its top is one of several surveys.
MEMBERS = "members"
#: One that has this key is of several bands of a survey.
BANDS = "bands"
#: What stands for the band in such a one: ``${band}``.
BAND = "band"
#: The reserved word for the built-in sample; a directory so called is ``./sample``.
SAMPLE = "sample"


def load_survey(
    path: str | os.PathLike[str],
    *,
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
    environ: Mapping[str, str] | None = None,
) -> SurveyDescription:
    """Load a survey description.

    Parameters
    ----------
    path : path
        The YAML file.
    overrides : sequence of str
        Changes ``key.path=value``, as of ``--set``; they come after the file.
    registry : Registry, optional
        Plugins; by default all that are installed.
    environ : mapping, optional
        Variables for ``${NAME}`` and ``${NAME:-default}``; by default the environment.

    Returns
    -------
    SurveyDescription
        With the settings of all plugins that it names, and cuts whose columns exist.

    Raises
    ------
    ConfigError
        With one line ``file:line:column: key message`` for each thing that is wrong.

    Warns
    -----
    FutureWarning
        For each key that has another name now, with its line.
    """
    variables = os.environ if environ is None else environ
    plugins = load_registry() if registry is None else registry
    text = read_text(Path(path))
    try:
        document = parse_yaml(text, str(path), variables)
    except ConfigError:  # perhaps of ${band}, which is no variable of the environment
        _refuse_several(text, str(path), {**variables, BAND: BAND})
        raise
    _refuse_several(text, str(path), variables)
    return from_document(document, overrides, plugins, variables)


def _refuse_several(text: str, source: str, variables: Mapping[str, str]) -> None:
    """Refuse a description of several surveys or bands."""
    document = parse_yaml(text, source, variables)
    one = "; give the description of one of them"
    for key, what, hint in ((MEMBERS, "surveys", one), (BANDS, "bands", "")):
        if isinstance(document.data, dict) and key in document.data:
            raise ConfigError(
                f"{document.origin((key,), of_key=True)}: describes several {what}, which only"
                f" calibrate and validate take{hint}"
            )


def from_document(
    document: Document, overrides: Sequence[str], plugins: Registry, variables: Mapping[str, str]
) -> SurveyDescription:
    """Validate a description that is read; arguments and errors are those of `load_survey`."""
    path = document.source
    if document.data is None:
        raise ConfigError(f"{path}: is empty; a survey description is a mapping of keys")
    if not isinstance(document.data, dict):
        raise ConfigError(f"{document.origin(())}: is not a mapping of keys")
    renamed = rename_keys(document, SurveyDescription, plugins)
    _apply_overrides(document, overrides, SurveyDescription, variables)
    renamed += rename_keys(document, SurveyDescription, plugins, options=True)
    for text in renamed:
        warnings.warn(text, FutureWarning, stacklevel=2)
    _default_root(document, variables)
    try:
        description = SurveyDescription.model_validate(document.data, context={"registry": plugins})
    except ValidationError as error:
        raise ConfigError("\n".join(lines(error, SurveyDescription, document))) from None
    wrong = check_columns(description, document, plugins)
    if wrong:
        raise ConfigError("\n".join(wrong))
    description._source = Path(path)
    return description


def locate(description: SurveyDescription, path: KeyPath, message: str) -> str:
    """Return ``file:line:column: key message`` for a key of a description that was loaded.

    What `--set` has changed is found where the file has it, or what holds it; a description
    that no file tells goes without a place.
    """
    document = Document(description.canonical(), description.name)
    if description.source is not None:
        try:
            document = parse_yaml(
                read_text(description.source), str(description.source), os.environ
            )
        except ConfigError:  # no longer there, or with other variables
            document.source = str(description.source)
    return line(document, path, message)


def read_text(path: Path) -> str:
    """Return the text of a description.

    Raises ConfigError if the file cannot be read, or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None


def _default_root(document: Document, environ: Mapping[str, str]) -> None:
    data = document.data.setdefault("data", {})
    if data is None:
        data = document.data["data"] = {}
    if isinstance(data, dict) and "root" not in data:
        data["root"] = parse_value(f'"{DEFAULT_ROOT}"', "SCRFRAME_DATA", environ)


def _apply_overrides(
    document: Document, overrides: Sequence[str], model: type[BaseModel], environ: Mapping[str, str]
) -> None:
    """Apply ``key.path=value`` texts, in order; values are YAML.

    Items of a list are reached by their ``name``, or by their number from 0. Whether a
    key exists is left to the validation that follows, whose errors then name the option. The
    model knows the defaults, so that ``offsets.levels.pixel.size`` reaches a default level.
    """
    for text in overrides:
        key, equals, value = text.partition("=")
        option = f"--set {printable(text, 120)}"
        steps = key.strip().split(".")
        if not equals or not all(steps):
            raise ConfigError(f"{option}: expected key.path=value")
        _set(document, steps, parse_value(value, option, environ), option, model)


def _set(
    document: Document, steps: list[str], value: Any, option: str, model: type[BaseModel]
) -> None:
    if not isinstance(document.data, dict):
        raise ConfigError(f"{document.source}: is not a mapping of keys")
    holder: Any = document.data
    path: KeyPath = ()
    for depth, text in enumerate(steps):
        step = _step(holder, text, option, steps[:depth])
        path = (*path, step)
        if depth == len(steps) - 1:
            document.forget(path)
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
        said = printable(text, 60)
        raise ConfigError(f'{option}: {where} holds no keys, so there is no "{said}" in it')
    names = [item.get("name") if isinstance(item, dict) else None for item in holder]
    if text in names:
        return names.index(text)
    if text.isdecimal() and int(text) < len(holder):
        return int(text)
    known = [name for name in names if isinstance(name, str)]
    items = ", ".join(known) if known else f"0 to {len(holder) - 1}" if holder else "none"
    said = f'"{printable(text, 60)}"{did_you_mean(text, known)}'
    raise ConfigError(f"{option}: {where} has no item {said} (items: {items})")


def _default(model: type[BaseModel], steps: list[str]) -> Any:
    """Return the default at a path as data that can be changed: a list, or no keys yet."""
    for step in steps[:-1]:
        kind = model.model_fields[step].annotation if step in model.model_fields else None
        if not isinstance(kind, type) or not issubclass(kind, BaseModel):
            return {}
        model = kind
    field = model.model_fields.get(steps[-1])
    default = None if field is None else field.default
    return list(copy.deepcopy(default)) if isinstance(default, tuple) else {}


@dataclass(frozen=True)
class DataRoot:
    """Where a run reads.

    Attributes
    ----------
    is_sample : bool
        Whether it is the built-in sample survey.
    path : Path or None
        The directory, absolute; None for the sample, which lies in the cache.
    """

    is_sample: bool
    path: Path | None


def resolve_data_root(description: SurveyDescription, cli_value: str | None = None) -> DataRoot:
    """Return the data root of a run; a value from the command line comes first.

    Raises DataError if the directory does not exist.
    """
    value = description.data.root if cli_value is None else cli_value
    if value == SAMPLE:
        return DataRoot(True, None)
    path = Path(value).expanduser().absolute()
    if not value or not path.is_dir():
        what = "is not a directory" if value and path.exists() else "does not exist"
        hint = " (the built-in sample is called by the one word sample)" if not value else ""
        raise DataError(
            f'data root "{value}" {what}; give one by --data, data.root or SCRFRAME_DATA{hint}'
        )
    return DataRoot(False, path)
