from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scrframe_vphas import loader
from scrframe_vphas.camera import omegacam
from scrframe_vphas.settings import VphasCasuConfig
from scrframe_vphas.simulate import write_simulated

from scrframe.plugin.helpers.fits import walk
from scrframe.tables import Detections, SimulatedVisit


def simulated(
    rows: int = 320, seed: int = 1, ra_deg: float = 108.0, ccds: int = 32
) -> SimulatedVisit:
    """Return a visit whose detections lie where the camera puts them; row 0 has no magnitude."""
    generator = np.random.default_rng(seed)
    camera = omegacam()
    ccd = np.sort(np.concatenate([camera.ccd[:ccds], generator.integers(1, ccds + 1, rows - ccds)]))
    x, y = generator.uniform(1, camera.nx, rows), generator.uniform(1, camera.ny, rows)
    scale_deg = camera.pixel_scale_arcsec / 3600
    east = camera.xi_deg[ccd - 1] - (x - 1024.5) * scale_deg
    north = camera.eta_deg[ccd - 1] + (y - 2050.5) * scale_deg
    dec = -1.0
    mag = generator.uniform(13, 22, rows)
    mag[0] = np.nan
    table = pa.table(
        {
            "ccd": ccd,
            "x": x,
            "y": y,
            "ra": (ra_deg + east / np.cos(np.deg2rad(dec))) % 360,
            "dec": dec + north,
            "mag": mag,
            "mag_err": generator.uniform(0.001, 0.3, rows),
            "classification": generator.choice([-1, -2, 1, -3, 0, -9], rows),
        }
    )
    return SimulatedVisit(
        "vphas_0127", 127, 1, ra_deg, dec, 55925.1234567, 150.0, 1.2, 0.9, "u", table
    )


#: Most tests look at a few CCDs only, which spares time.
FEW = 4


def cut(path: Path, ccds: int) -> None:
    """Cut a catalogue behind some of its extensions."""
    content = path.read_bytes()
    path.write_bytes(content[: walk(path, content)[ccds + 1].header_offset])


@pytest.fixture
def make_visit() -> Callable[..., SimulatedVisit]:
    return simulated


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a catalogue of 4 CCDs and 40 detections, which no test changes."""
    path = write_simulated(simulated(rows=40, ccds=FEW), tmp_path_factory.mktemp("small"))
    cut(path, FEW)
    return path


@pytest.fixture
def root(tmp_path: Path, small: Path) -> Path:
    """Return a data root with a copy of the small catalogue."""
    (tmp_path / "catalogues").mkdir()
    shutil.copy(small, tmp_path / "catalogues")
    return tmp_path


@pytest.fixture
def catalogue(root: Path) -> Path:
    return next((root / "catalogues").iterdir())


@pytest.fixture
def read_all(tmp_path: Path) -> Callable[..., Detections]:
    """Return a function that reads the catalogues below a root with the settings given."""

    def read(columns: list[str] | None = None, **settings: object) -> Detections:
        config = VphasCasuConfig.model_validate({"ccds": FEW, **settings})
        return Detections.concat(
            [loader.read(part, config, columns) for part in loader.parts(config, tmp_path)]
        )

    return read
