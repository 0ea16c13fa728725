"""Survey descriptions that ship: listed, and copied out to be changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scrframe.config.combined import is_combined, member_files
from scrframe.config.document import parse_yaml
from scrframe.errors import ConfigError, did_you_mean
from scrframe.plugin import Registry, SurveyLoader

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
    path : Path
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

    Raises
    ------
    ConfigError
        If there are none, which only a damaged installation has.
    """
    found = [sorted(folder.glob("*.yaml")) for folder in PLACES]
    paths = found[0] or found[1]
    if not paths:
        raise ConfigError(f"{PLACES[0]}: holds no survey descriptions; install scrframe anew")
    return tuple(_shipped(path, registry) for path in paths)


def copy_survey(name: str, folder: Path, registry: Registry) -> Path:
    """Copy a shipped description into a folder, which is made if need be.

    Descriptions that one of several surveys names go along, unless they are there.

    Returns
    -------
    Path
        The copy.

    Raises
    ------
    ConfigError
        If none is so called, the copy exists already, or it cannot be written.
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
    loaders = list(dict.fromkeys(_loader(part) for part in parts))
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
