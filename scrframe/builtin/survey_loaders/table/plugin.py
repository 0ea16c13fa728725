"""The table loader and its writer, as scrframe finds them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa

from scrframe.builtin.survey_loaders.table import loader, simulate
from scrframe.builtin.survey_loaders.table.settings import MAPPED, TableConfig
from scrframe.builtin.writers import table_catalogue
from scrframe.plugin import SurveyLoader, Writer, hookimpl
from scrframe.tables import Camera, SimulatedVisit
from scrframe.version import __version__

_PER_CCD = 10


def tiny_visit(camera: Camera, number: int) -> SimulatedVisit:
    """Return a visit with ten detections on each detector, near the equator."""
    generator = np.random.default_rng(number)
    place = np.repeat(np.arange(len(camera.ccd)), _PER_CCD)
    x = generator.uniform(1, camera.nx, len(place))
    y = generator.uniform(1, camera.ny, len(place))
    east, north = camera.to_plane(place, x, y)
    mag = generator.uniform(14, 20, len(place))
    table = pa.table(
        {
            "ccd": camera.ccd[place],
            "x": x,
            "y": y,
            "ra": 108.0 + east,
            "dec": north,
            "mag": mag,
            "mag_err": 0.002 + 10 ** (0.4 * (mag - 23)),
            "classification": np.full(len(place), -1),
        }
    )
    return SimulatedVisit(
        "field_0001",
        number,
        number,
        108.0,
        0.0,
        56000.1 + number / 100,
        150.0,
        1.2,
        0.9,
        "u",
        table,
    )


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
        read_rows=loader.read_rows,
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
        write=table_catalogue.write,
        suffixes=table_catalogue.SUFFIXES,
        pieces=True,
    )
