"""The table loader and its writer, as scrframe finds them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from scrframe.builtin.survey_loaders.table import loader, simulate
from scrframe.builtin.survey_loaders.table.example import tiny_visit
from scrframe.builtin.survey_loaders.table.settings import MAPPED, TableConfig
from scrframe.builtin.writers.table import writer
from scrframe.plugin import SurveyLoader, Writer, hookimpl
from scrframe.tables import Camera
from scrframe.version import __version__


def camera(config: TableConfig) -> Camera | None:
    """Return the camera that a description lays out, None if it lays out none."""
    return None if config.camera is None else config.camera.camera()


def example(directory: Path) -> TableConfig:
    """Write a tiny survey as Parquet, and return settings that read it."""
    detector = {"pixels": [1000, 1000], "pixel_scale": "0.5 arcsec", "rows": [[1, 2]]}
    config = TableConfig.model_validate(
        {
            "files": "catalogues/*.parquet",
            "columns": {
                "visit": "exposure",
                "mag": {"column": "flux", "unit": "nJy"},
                "mag_err": {"column": "flux_err", "unit": "nJy"},
                "field": "field",
            },
            "flags": [{"column": "flags", "bits": [0, 2]}],
            "camera": detector,
        }
    )
    layout = camera(config)
    assert layout is not None
    for number in (1, 2):
        simulate.write_simulated(tiny_visit(layout, number), directory, config)
    simulate.close_simulated(directory, config)
    return config


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
        write_simulated=simulate.write_simulated,
        close_simulated=simulate.close_simulated,
        example=example,
    )


@hookimpl
def scrframe_writers() -> Iterable[Writer]:
    """Yield the writer of corrected tables."""
    yield Writer(
        name="table_catalogue",
        summary="the input table, in its own format, with corrected magnitudes appended",
        version=__version__,
        write=writer.write,
        suffixes=writer.SUFFIXES,
        pieces=True,
    )
