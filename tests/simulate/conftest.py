"""A small camera, the shipped extinction curve, and surveys built with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from scrframe.config import SimulationSettings
from scrframe.plugin import ExtinctionCurve, load_registry
from scrframe.simulate.stars import Spectroscope
from scrframe.simulate.survey import SimulatedSurvey, build_survey, make_spectroscope
from scrframe.tables import Camera

#: Settings under which a magnitude differs from the truth by its offsets only.
QUIET: dict[str, Any] = {
    "xp_noise": False,
    "extinction_noise": False,
    "reference_noise": False,
    "law_variation": 0.0,
    "hidden_scatter": 0.0,
    "outliers": 0.0,
    "variables": 0.0,
    "error_underestimate": 0.0,
    "photometric_floor": 0.0,
    "defective_column": False,
}


@pytest.fixture(scope="session")
def quiet_settings() -> dict[str, Any]:
    return dict(QUIET)


@pytest.fixture(scope="session")
def camera() -> Camera:
    """Return a camera of four detectors, not in order, with x to the west."""
    return Camera(
        ccd=np.array([11, 3, 7, 20]),
        xi_deg=np.array([0.13, -0.13, 0.13, -0.13]),
        eta_deg=np.array([0.13, 0.13, -0.13, -0.13]),
        nx=1024,
        ny=1000,
        pixel_scale_arcsec=0.84,
    )


@pytest.fixture(scope="session")
def curve() -> Callable[..., Any]:
    """Return the shipped extinction curve, 392-992 nm."""
    descriptor = load_registry().get(ExtinctionCurve, "zgr23")
    return lambda wavelength: descriptor.curve(descriptor.config(), wavelength)


@pytest.fixture(scope="session")
def spectroscope(curve: Callable[..., Any]) -> Spectroscope:
    return make_spectroscope(curve)


@pytest.fixture(scope="session")
def build(camera: Camera, curve: Callable[..., Any]) -> Callable[..., SimulatedSurvey]:
    """Return a function that builds a survey from settings, with this camera."""

    def make(**settings: Any) -> SimulatedSurvey:
        values = {"fields": 4, "density": 3000.0, "seed": 5, **settings}
        return build_survey(SimulationSettings(**values), camera, curve, band="u")

    return make


@pytest.fixture(scope="session")
def survey(build: Callable[..., SimulatedSurvey]) -> SimulatedSurvey:
    """Return a survey with every trait on."""
    return build()


@pytest.fixture(scope="session")
def quiet(build: Callable[..., SimulatedSurvey]) -> SimulatedSurvey:
    """Return the same survey with offsets only."""
    return build(**QUIET)
