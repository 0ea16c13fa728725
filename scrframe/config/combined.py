"""Several surveys in one run, by a description that names theirs; descriptions that ship."""

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

from scrframe.config.bands import ShareSettings, changes_of, load_bands
from scrframe.config.base import Label, Settings, as_written, lines
from scrframe.config.blocks import rename_keys
from scrframe.config.document import Document, KeyPath, parse_yaml
from scrframe.config.loading import BANDS, MEMBERS, load_survey, read_text
from scrframe.config.survey import SurveyDescription
from scrframe.errors import ConfigError, did_you_mean
from scrframe.plugin import Registry, SurveyLoader, load_registry


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
    members : tuple of SurveyDescription
        In mode joint, each of another name.
    source : Path
        The file.
    bands : tuple of str
        Where the surveys are bands of one (key `bands`), their names; each is the `band` of a
        member. Empty for others.
    """

    name: str
    members: tuple[SurveyDescription, ...]
    share: ShareSettings
    source: Path
    bands: tuple[str, ...] = ()

    @property
    def report(self) -> bool:
        """Whether any of the surveys asks for a report."""
        return any(member.report.enabled for member in self.members)

    def with_data_root(self, root: str) -> CombinedDescription:
        """Return it with other data: the folders below `root` called as the surveys.

        Bands have one root, and ``sample`` is the built-in survey for all.
        """
        one = root == "sample" or bool(self.bands)
        members = tuple(
            member.with_data_root(root if one else str(Path(root) / member.name))
            for member in self.members
        )
        return replace(self, members=members)

    def digest(self) -> str:
        """Return the SHA-256 of what it says, with all that the surveys say."""
        content = [self.name, self.share.model_dump(mode="json")]
        text = json.dumps([content, [member.digest() for member in self.members]])
        return hashlib.sha256(text.encode()).hexdigest()


def is_combined(path: str | os.PathLike[str]) -> bool:
    """Return whether a file describes several surveys or bands; False if it cannot be read."""
    try:
        data = parse_yaml(read_text(Path(path)), str(path), _Nothing()).data
    except ConfigError:
        return False
    return isinstance(data, dict) and (MEMBERS in data or BANDS in data)


def member_files(path: Path) -> tuple[Path, ...]:
    """Return the files of the surveys that a description of several names, as far as it says."""
    data = parse_yaml(read_text(path), str(path), _Nothing()).data
    surveys = data.get(MEMBERS, ())
    named = [each["survey"] if isinstance(each, dict) else each for each in surveys]
    return tuple(dict.fromkeys(path.parent / str(name) for name in named))


def load_combined(
    path: str | os.PathLike[str],
    *,
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
    environ: Mapping[str, str] | None = None,
) -> CombinedDescription:
    """Load a description of several surveys, and theirs, or of several bands of one.

    Parameters
    ----------
    path : path
        The YAML file.
    overrides : sequence of str
        Changes ``key.path=value`` to the descriptions of all surveys, after those of `set`.
    registry, environ : optional
        As of `load_survey`.

    Raises
    ------
    ConfigError
        With a line for each thing that is wrong in this file or in one of the surveys', for
        surveys in mode sequential, and for terms that one of them does not have.
    """
    source = Path(path)
    variables = os.environ if environ is None else environ
    plugins = load_registry() if registry is None else registry
    text = read_text(source)
    if _has_bands(text, str(path)):
        return _of_bands(text, source, overrides, plugins, variables)
    document = parse_yaml(text, str(path), variables)
    for text in rename_keys(document, CombinedSettings, plugins):
        warnings.warn(text, FutureWarning, stacklevel=2)
    try:
        settings = CombinedSettings.model_validate(document.data)
    except ValidationError as error:
        raise ConfigError("\n".join(lines(error, CombinedSettings, document))) from None
    how = {"registry": plugins, "environ": variables}
    members = tuple(
        _member(block, document, (MEMBERS, number), source.parent, overrides, how)
        for number, block in enumerate(settings.members)
    )
    wrong = _wrong_members(members, document) or _wrong_terms(settings.share, members, document)
    if wrong:
        raise ConfigError("\n".join(wrong))
    return CombinedDescription(settings.name, members, settings.share, source)


def _has_bands(text: str, source: str) -> bool:
    data = parse_yaml(text, source, _Nothing()).data
    return isinstance(data, dict) and BANDS in data and MEMBERS not in data


def _of_bands(
    text: str,
    source: Path,
    overrides: Sequence[str],
    plugins: Registry,
    variables: Mapping[str, str],
) -> CombinedDescription:
    found = load_bands(text, str(source), overrides, plugins, variables)
    settings, document = found.settings, parse_yaml(text, str(source), _Nothing())
    wrong = _wrong_members(found.members, document, BANDS) or _wrong_terms(
        settings.share, found.members, document
    )
    if wrong:
        raise ConfigError("\n".join(wrong))
    bands = tuple(member.band for member in found.members)
    return CombinedDescription(settings.name, found.members, settings.share, source, bands)


def _member(
    block: MemberSettings,
    document: Document,
    path: KeyPath,
    folder: Path,
    overrides: Sequence[str],
    how: Mapping[str, Any],
) -> SurveyDescription:
    """Load one of the surveys; what is wrong with a change names the line of the change."""
    changes, origins = changes_of(document, block.set, (*path, "set"))
    try:
        return load_survey(folder / block.survey, overrides=[*changes, *overrides], **how)
    except ConfigError as error:
        text = str(error)
        for change, origin in origins.items():
            text = text.replace(f"--set {change}", origin)
        if not (folder / block.survey).is_file():
            text = f"{document.origin(path)}: {text}"
        raise ConfigError(text) from None


def _wrong_members(
    members: Sequence[SurveyDescription], document: Document, key: str = MEMBERS
) -> list[str]:
    wrong = []
    names: dict[str, str] = {}
    for number, member in enumerate(members):
        where = document.origin((key, number if key == MEMBERS else member.band))
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
            f"{document.origin((key,))}: the surveys have different reference catalogues"
            f" ({', '.join(sorted(kinds))}), so that stars of one cannot be found in the other"
        )
    return wrong


def _wrong_terms(
    share: ShareSettings, members: Sequence[SurveyDescription], document: Document
) -> list[str]:
    wrong = []
    for number, name in enumerate(share.terms):
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


PACKAGE = Path(__file__).parents[1]
#: Where a wheel holds the descriptions, and where a checkout does.
PLACES = (PACKAGE / "surveys", PACKAGE.parent / "surveys")


@dataclass(frozen=True)
class ShippedSurvey:
    """A description that ships.

    Attributes
    ----------
    name : str
        Of its file, without the ending.
    summary : str
        First sentence of the comment at its head; empty if it has none.
    loader : str
        Name of the survey loader that it asks for; of several surveys those of all.
    installed : bool
        Whether they are installed.
    """

    name: str
    path: Path
    summary: str
    loader: str
    installed: bool


def shipped_surveys(registry: Registry) -> tuple[ShippedSurvey, ...]:
    """Return the descriptions that ship, by name.

    Raises ConfigError if there are none, which only a damaged installation has.
    """
    found = [sorted(folder.glob("*.yaml")) for folder in PLACES]
    paths = found[0] or found[1]
    if not paths:
        raise ConfigError(f"{PLACES[0]}: holds no survey descriptions; install scrframe anew")
    return tuple(_shipped(path, registry) for path in paths)


def copy_survey(name: str, folder: Path, registry: Registry) -> Path:
    """Copy a shipped description into a folder, made if need be, and return the copy's path.

    Descriptions that one of several surveys names go along, unless they are there.

    Raises ConfigError if none is so called, the copy exists already, or it cannot be written.
    """
    wanted = name.removesuffix(".yaml")
    by_name = {survey.name: survey for survey in shipped_surveys(registry)}
    if wanted not in by_name:
        hint = did_you_mean(wanted, by_name) or f"; there are: {', '.join(by_name)}"
        raise ConfigError(f'no shipped survey description is called "{wanted}"{hint}')
    source = by_name[wanted].path
    target = folder / source.name
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is not a folder; choose another one by --to")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            file.write(source.read_bytes())
        for other in member_files(source) if is_combined(source) else ():
            if not (folder / other.name).exists():
                (folder / other.name).write_bytes(other.read_bytes())
    except FileExistsError:
        raise ConfigError(f"{target}: already exists; choose another folder by --to") from None
    except OSError as error:
        raise ConfigError(f"{target}: cannot be written: {error.strerror or error}") from None
    return target


def _shipped(path: Path, registry: Registry) -> ShippedSurvey:
    text = path.read_text(encoding="utf-8")
    parts = member_files(path) if is_combined(path) else (path,)
    loaders = list(dict.fromkeys(_loader(part) for part in parts or (path,)))
    head = text.partition("\n")[0]
    summary = head.removeprefix("#").strip().partition(". ")[0].removesuffix(".")
    return ShippedSurvey(
        path.stem,
        path,
        summary if head.startswith("#") else "",
        ", ".join(loaders),
        set(loaders) <= set(registry.names(SurveyLoader)),
    )


def _loader(path: Path) -> str:
    data = parse_yaml(path.read_text(encoding="utf-8"), str(path), {}).data
    return str(data["loader"]["kind"])
