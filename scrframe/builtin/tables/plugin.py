"""The table loader and its writer, as scrframe finds them."""

from __future__ import annotations

from collections.abc import Iterable

from scrframe import __version__
from scrframe.builtin.tables import loader
from scrframe.builtin.tables.settings import MAPPED, TableConfig
from scrframe.plugin import SurveyLoader, hookimpl
from scrframe.tables import Camera


def camera(config: TableConfig) -> Camera | None:
    """Return the camera that a description lays out, None if it lays out none."""
    return None if config.camera is None else config.camera.camera()


@hookimpl
def scrframe_survey_loaders() -> Iterable[SurveyLoader]:
    """Yield the loader of tables."""
    yield SurveyLoader(
        name="table",
        summary="any FITS, Parquet, CSV, ECSV or VOTable catalogues, their columns mapped in YAML",
        version=__version__,
        config=TableConfig,
        parts=loader.parts,
        read=loader.read,
        columns=MAPPED,
        provided=loader.provided,
        check=loader.check,
        visit_key="what the description maps as visit",
        visits_span_parts=True,
        camera=camera,
    )
