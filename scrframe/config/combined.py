"""Several surveys in one run: a description that names descriptions, and what they share."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from scrframe.config.base import Label, Settings, as_written, lines
from scrframe.config.blocks import rename_keys
from scrframe.config.document import Document, parse_yaml
from scrframe.config.loading import MEMBERS, load_survey, read_text
from scrframe.config.survey import SurveyDescription
from scrframe.errors import ConfigError
from scrframe.plugin import Registry, load_registry
from scrframe.units import Switch


class MemberSettings(Settings):
    """One of the surveys: a file alone, or with changes."""

    survey: str = Field(min_length=1)
    """Its description; a relative path starts at this file's folder."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Changes to it, `key.path: value` as of `--set`."""

    @model_validator(mode="before")
    @classmethod
    def _file_alone(cls, value: Any) -> Any:
        return {"survey": value} if isinstance(value, str) else value


class ShareSettings(Settings):
    """What the surveys have in common."""

    stars: Switch = True
    """Whether deviations of the same star from the models may be correlated."""
    terms: tuple[str, ...] = ()
    """Levels that are one and the same in all, but for their standard deviation."""


class CombinedSettings(Settings):
    """The file of several surveys."""

    name: Label = Field(description="Name of the run, also of its directory of results.")
    members: tuple[MemberSettings, ...] = Field(min_length=2, description="The surveys.")
    share: ShareSettings = as_written({})


@dataclass(frozen=True)
class CombinedDescription:
    """Several surveys that are solved together; `load_combined` makes one from YAML.

    Attributes
    ----------
    name : str
    members : tuple of SurveyDescription
        In mode joint, each of another name.
    share : ShareSettings
    source : Path
        The file.
    """

    name: str
    members: tuple[SurveyDescription, ...]
    share: ShareSettings
    source: Path

    @property
    def report(self) -> bool:
        """Whether any of the surveys asks for a report."""
        return any(member.report.enabled for member in self.members)

    def with_data_root(self, root: str) -> CombinedDescription:
        """Return it with other data: the folders below `root` called as the surveys.

        ``sample`` is the built-in survey for all.
        """
        members = tuple(
            member.with_data_root(root if root == "sample" else str(Path(root) / member.name))
            for member in self.members
        )
        return replace(self, members=members)

    def digest(self) -> str:
        """Return the SHA-256 of what it says, with all that the surveys say."""
        content = [self.name, self.share.model_dump(mode="json")]
        text = json.dumps([content, [member.digest() for member in self.members]])
        return hashlib.sha256(text.encode()).hexdigest()


def is_combined(path: str | os.PathLike[str]) -> bool:
    """Return whether a file describes several surveys; False if it cannot be read."""
    try:
        data = parse_yaml(read_text(Path(path)), str(path), _Nothing()).data
    except ConfigError:
        return False
    return isinstance(data, dict) and MEMBERS in data


def member_files(path: Path) -> tuple[Path, ...]:
    """Return the files of the surveys that a description of several names, as far as it says."""
    data = parse_yaml(read_text(path), str(path), _Nothing()).data
    named = [each["survey"] if isinstance(each, dict) else each for each in data[MEMBERS]]
    return tuple(dict.fromkeys(path.parent / str(name) for name in named))


def load_combined(
    path: str | os.PathLike[str],
    *,
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
    environ: Mapping[str, str] | None = None,
) -> CombinedDescription:
    """Load a description of several surveys, and theirs.

    Parameters
    ----------
    path : path
        The YAML file.
    overrides : sequence of str
        Changes ``key.path=value`` to the descriptions of all surveys, after those of `set`.
    registry : Registry, optional
        Plugins; by default all that are installed.
    environ : mapping, optional
        Variables for ``${NAME}`` and ``${NAME:-default}``; by default the environment.

    Raises
    ------
    ConfigError
        With a line for each thing that is wrong in this file or in one of the surveys', for
        surveys in mode sequential, and for terms that one of them does not have.
    """
    source = Path(path)
    variables = os.environ if environ is None else environ
    plugins = load_registry() if registry is None else registry
    document = parse_yaml(read_text(source), str(path), variables)
    for text in rename_keys(document, CombinedSettings, plugins):
        warnings.warn(text, FutureWarning, stacklevel=2)
    try:
        settings = CombinedSettings.model_validate(document.data)
    except ValidationError as error:
        raise ConfigError("\n".join(lines(error, CombinedSettings, document))) from None
    members = tuple(
        _member(block, document, number, source.parent, overrides, plugins, variables)
        for number, block in enumerate(settings.members)
    )
    wrong = _wrong_members(members, document) or _wrong_terms(settings, members, document)
    if wrong:
        raise ConfigError("\n".join(wrong))
    return CombinedDescription(settings.name, members, settings.share, source)


def _member(
    block: MemberSettings,
    document: Document,
    number: int,
    folder: Path,
    overrides: Sequence[str],
    registry: Registry,
    environ: Mapping[str, str],
) -> SurveyDescription:
    """Load one of the surveys; what is wrong with a change names the line of the change."""
    changes = {
        f"{key}={json.dumps(value)}": document.origin((MEMBERS, number, "set", key), of_key=True)
        for key, value in block.set.items()
    }
    try:
        return load_survey(
            folder / block.survey,
            overrides=[*changes, *overrides],
            registry=registry,
            environ=environ,
        )
    except ConfigError as error:
        text = str(error)
        for change, origin in changes.items():
            text = text.replace(f"--set {change}", origin)
        where = document.origin((MEMBERS, number))
        if not (folder / block.survey).is_file():
            text = f"{where}: {text}"
        raise ConfigError(text) from None


def _wrong_members(members: Sequence[SurveyDescription], document: Document) -> list[str]:
    wrong = []
    names: dict[str, str] = {}
    for number, member in enumerate(members):
        where = document.origin((MEMBERS, number))
        if member.offsets.mode != "joint":
            wrong.append(
                f"{where}: survey {member.name!r} has offsets.mode {member.offsets.mode}; several"
                " surveys can only be solved together in mode joint"
            )
        if member.name in names:
            wrong.append(
                f"{where}: survey {member.name!r} is there already (at {names[member.name]}); give"
                " one of them another name, by set: {name: ...}"
            )
        elif member.name == "shared":
            wrong.append(f'{where}: a survey called "shared" has no directory of its own')
        names.setdefault(member.name, where)
    kinds = {member.reference.kind for member in members}
    if len(kinds) > 1:
        wrong.append(
            f"{document.origin((MEMBERS,))}: the surveys have different reference catalogues"
            f" ({', '.join(sorted(kinds))}), so that stars of one cannot be found in the other"
        )
    return wrong


def _wrong_terms(
    settings: CombinedSettings, members: Sequence[SurveyDescription], document: Document
) -> list[str]:
    wrong = []
    for number, name in enumerate(settings.share.terms):
        without = [
            member.name
            for member in members
            if name not in {level.name for level in member.offsets.active_levels()}
        ]
        if without:
            where = document.origin(("share", "terms", number))
            wrong.append(
                f"{where}: share.terms names {name!r}, which is not a level of {', '.join(without)}"
                " in mode joint"
            )
    return wrong


class _Nothing(dict[str, str]):
    """Variables that are all empty: of no matter to which files are named."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return nothing, whatever is asked for."""
        return ""
