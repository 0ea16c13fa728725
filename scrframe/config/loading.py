"""`load_survey`: from a YAML file to a validated description."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from scrframe.config.available import check_columns
from scrframe.config.document import Document, parse_value, parse_yaml
from scrframe.config.overrides import apply_overrides
from scrframe.config.problems import lines
from scrframe.config.survey import DEFAULT_ROOT, SurveyDescription
from scrframe.errors import ConfigError
from scrframe.plugin import Registry, load_registry

#: A description that has this key at its top is one of several surveys.
MEMBERS = "members"


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
    """
    variables = os.environ if environ is None else environ
    plugins = load_registry() if registry is None else registry
    document = parse_yaml(read_text(Path(path)), str(path), variables)
    if document.data is None:
        raise ConfigError(f"{path}: is empty; a survey description is a mapping of keys")
    if not isinstance(document.data, dict):
        raise ConfigError(f"{document.origin(())}: is no mapping of keys")
    if MEMBERS in document.data:
        raise ConfigError(
            f"{document.origin((MEMBERS,), of_key=True)}: describes several surveys, which only"
            " calibrate and validate take; give the description of one of them"
        )
    apply_overrides(document, overrides, SurveyDescription, variables)
    _default_root(document, variables)
    description = _validated(document, plugins)
    wrong = check_columns(description, document, plugins)
    if wrong:
        raise ConfigError("\n".join(wrong))
    description._source = Path(path)
    return description


def read_text(path: Path) -> str:
    """Return the text of a description.

    Raises
    ------
    ConfigError
        If the file cannot be read, or is not UTF-8.
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


def _validated(document: Document, registry: Registry) -> SurveyDescription:
    try:
        return SurveyDescription.model_validate(document.data, context={"registry": registry})
    except ValidationError as error:
        raise ConfigError("\n".join(lines(error, SurveyDescription, document))) from None
