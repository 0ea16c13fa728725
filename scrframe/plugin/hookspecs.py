"""The hooks. A plugin implements those that it needs and yields descriptors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pluggy

from scrframe.plugin.archive import Archive
from scrframe.plugin.descriptors import (
    ColourModel,
    Diagnostic,
    ExtinctionCatalogue,
    ExtinctionCurve,
    OffsetLevel,
    ReferenceCatalogue,
    SurveyLoader,
    Writer,
)

PROJECT = "scrframe"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def scrframe_survey_loaders() -> Iterable[SurveyLoader]:  # type: ignore[empty-body]
    """Yield loaders that read a survey's catalogues."""


@hookspec
def scrframe_reference_catalogues() -> Iterable[ReferenceCatalogue]:  # type: ignore[empty-body]
    """Yield catalogues of reference stars."""


@hookspec
def scrframe_extinction_catalogues() -> Iterable[ExtinctionCatalogue]:  # type: ignore[empty-body]
    """Yield catalogues of the extinction of stars."""


@hookspec
def scrframe_extinction_curves() -> Iterable[ExtinctionCurve]:  # type: ignore[empty-body]
    """Yield extinction curves."""


@hookspec
def scrframe_colour_models() -> Iterable[ColourModel]:  # type: ignore[empty-body]
    """Yield backends that learn intrinsic colours."""


@hookspec
def scrframe_offset_levels() -> Iterable[OffsetLevel]:  # type: ignore[empty-body]
    """Yield kinds of offset levels."""


@hookspec
def scrframe_diagnostics() -> Iterable[Diagnostic]:  # type: ignore[empty-body]
    """Yield figures of merit of a finished calibration."""


@hookspec
def scrframe_writers() -> Iterable[Writer]:  # type: ignore[empty-body]
    """Yield writers of corrected catalogues."""


@hookspec
def scrframe_archives() -> Iterable[Archive]:  # type: ignore[empty-body]
    """Yield ways to fetch reference data from archives."""


@hookspec
def scrframe_step_done(step: str, result: Any) -> None:
    """Observe a finished step; what it returns is ignored and `result` must not be changed."""
