"""Many bands of one survey in one description: `bands`, and ``${band}`` where they differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field, ValidationError, field_validator

from scrframe.config.base import Label, Settings, as_written, lines
from scrframe.config.document import Document, KeyPath, parse_yaml
from scrframe.config.loading import BAND, BANDS, from_document
from scrframe.config.survey import SurveyDescription
from scrframe.errors import ConfigError
from scrframe.plugin import Registry
from scrframe.units import Switch

#: Key of what is shared.
SHARE = "share"


class ShareSettings(Settings):
    """What the surveys have in common."""

    stars: Switch = True
    """Whether deviations of the same star from the models may be correlated."""
    terms: tuple[str, ...] = ()
    """Levels that are one and the same in all, but for their standard deviation."""


class BandsSettings(Settings):
    """What a description of many bands has besides that of each."""

    name: Label = Field(description="Name of the run, also of its directory of results.")
    bands: Mapping[Label, Mapping[str, Any]] = Field(
        min_length=2, description="The bands: a list, or a mapping to changes as of `--set`."
    )
    share: ShareSettings = as_written({})

    @field_validator("bands", mode="before")
    @classmethod
    def _list(cls, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            twice = next((band for band in value if value.count(band) > 1), None)
            if twice is not None:
                raise ValueError(f'has the band "{twice}" twice')
            if not all(isinstance(band, str) for band in value):
                raise ValueError("is no list of names; numbers are written in quotes")
            return {band: {} for band in value}
        if isinstance(value, Mapping):
            return {band: changes or {} for band, changes in value.items()}
        return value


@dataclass(frozen=True)
class Bands:
    """The bands of a description, each a survey of its own."""

    settings: BandsSettings
    members: tuple[SurveyDescription, ...]


def load_bands(
    text: str,
    source: str,
    overrides: Sequence[str],
    registry: Registry,
    environ: Mapping[str, str],
) -> Bands:
    """Read a description of many bands: its text once for each, with the band for ``${band}``.

    Raises ConfigError with a line for each thing that is wrong, also where nothing tells the
    bands' detections apart.
    """
    document = parse_yaml(text, source, {**environ, BAND: BAND})
    whole = dict(document.data)
    if "band" in whole:
        where = document.origin(("band",), of_key=True)
        raise ConfigError(f"{where}: band: stands beside bands, which name them all; remove it")
    own = {key: whole[key] for key in BandsSettings.model_fields if key in whole}
    try:
        settings = BandsSettings.model_validate(own)
    except ValidationError as error:
        raise ConfigError("\n".join(lines(error, BandsSettings, document))) from None
    members = tuple(
        _member(text, source, settings, band, overrides, registry, environ)
        for band in settings.bands
    )
    read = [
        json.dumps([each.loader.model_dump(mode="json"), each.data.root], sort_keys=True)
        for each in members
    ]
    for number, band in enumerate(settings.bands):
        if read[number] in read[:number]:
            other = list(settings.bands)[read.index(read[number])]
            raise ConfigError(
                f"{document.origin((BANDS,), of_key=True)}: bands: {other} and {band} would read"
                " the same detections; name the band by ${band} in the loader's block, in rows:"
                ' ["filter == \'${band}\'"] or files: "${band}/*.fits"'
            )
    return Bands(settings, members)


def _member(
    text: str,
    source: str,
    settings: BandsSettings,
    band: str,
    overrides: Sequence[str],
    registry: Registry,
    environ: Mapping[str, str],
) -> SurveyDescription:
    """Return the description of one band; what is wrong with a change names its line."""
    document = parse_yaml(text, source, {**environ, BAND: band})
    for key in (BANDS, SHARE):
        document.data.pop(key, None)
    document.data["name"] = f"{settings.name}_{band}"
    document.data["band"] = band
    changes, origins = changes_of(document, settings.bands[band], (BANDS, band))
    try:
        return from_document(document, [*changes, *overrides], registry, environ)
    except ConfigError as error:
        said = str(error)
        for change, origin in origins.items():
            said = said.replace(f"--set {change}", origin)
        raise ConfigError(said) from None


def changes_of(
    document: Document, changes: Mapping[str, Any], path: KeyPath
) -> tuple[list[str], dict[str, str]]:
    """Return changes as texts of `--set`, and where each stands."""
    origins = {
        f"{key}={json.dumps(value)}": document.origin((*path, key), of_key=True)
        for key, value in changes.items()
    }
    return list(origins), origins
