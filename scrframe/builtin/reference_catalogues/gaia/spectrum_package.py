"""Correction of XP spectra by a Python package of the user (Huang et al. 2024)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from scrframe.arrays import BoolArray, FloatArray
from scrframe.errors import DataError
from scrframe.plugin import Correction, PluginConfig

#: Worst reliability codes of the terms C2, C3 and G that the authors call normal.
NORMAL_CAUTION = (0, 0, 2)


class SpectrumPackageConfig(PluginConfig):
    """A function of the user's that corrects spectra of 343 samples."""

    function: str = Field(description='The function, "module:function".')
    folder: str | None = Field(
        None, description="Folder that holds the module, below the data root, if not installed."
    )
    interface: Literal["spectra", "huang2024"] = Field(
        "spectra",
        description=(
            "How it is called. spectra: f(wavelength_nm, flux, stars) of all spectra at once,"
            " returning flux or (flux, outside). huang2024: f(flux, G, error) of one spectrum,"
            " returning (flux, caution, ...), as the authors' package does."
        ),
    )
    g_min: float | None = Field(3.0, description="Brightest G of its range (Huang et al. 2024).")
    g_max: float | None = Field(17.5, description="Faintest G of its range.")
    bp_rp_min: float | None = Field(-0.5, description="Bluest G_BP - G_RP of its range.")
    bp_rp_max: float | None = Field(2.0, description="Reddest G_BP - G_RP of its range.")

    @field_validator("function")
    @classmethod
    def _named(cls, value: str) -> str:
        module, colon, name = value.partition(":")
        if not (module and colon and name):
            raise ValueError(f'is "{value}"; expected "module:function"')
        return value


def correct(
    flux: FloatArray, stars: Mapping[str, Any], config: SpectrumPackageConfig, root: Path
) -> tuple[FloatArray, BoolArray]:
    """Return corrected spectra, shape (n, 343), and which stars are out of range.

    Stars out of range are corrected as the function sees fit, and flagged.

    Raises
    ------
    DataError
        If the function cannot be imported or fails.
    """
    function = _function(config.function, str(root / config.folder) if config.folder else None)
    call = _one_by_one if config.interface == "huang2024" else _all_at_once
    try:
        corrected, outside = call(function, flux, stars)
    except Exception as error:  # any failure of the user's code
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"correction {config.function} failed: {reason}") from error
    return corrected, np.asarray(outside | _out_of_range(stars, config))


def _all_at_once(
    function: Callable[..., Any], flux: FloatArray, stars: Mapping[str, Any]
) -> tuple[FloatArray, BoolArray]:
    result = function(stars["wavelength_nm"], flux, stars)
    corrected, outside = result if isinstance(result, tuple) else (result, False)
    beyond = np.zeros(len(flux), dtype=bool)
    beyond[:] = outside
    return np.asarray(corrected, dtype=np.float64), beyond


def _one_by_one(
    function: Callable[..., Any], flux: FloatArray, stars: Mapping[str, Any]
) -> tuple[FloatArray, BoolArray]:
    # The package takes a single spectrum; there is no faster way to call it.
    answers = [
        function(spectrum.copy(), float(magnitude), error.copy())
        for spectrum, magnitude, error in zip(
            flux, stars["g_mag"], stars["flux_error"], strict=True
        )
    ]
    corrected = np.array([answer[0] for answer in answers], dtype=np.float64)
    caution = np.array([np.asarray(answer[1])[:3] for answer in answers]).reshape(-1, 3)
    unreliable: BoolArray = np.any(caution > NORMAL_CAUTION, axis=1)
    return corrected.reshape(flux.shape), unreliable


def _out_of_range(stars: Mapping[str, Any], config: SpectrumPackageConfig) -> BoolArray:
    magnitude = np.asarray(stars["g_mag"], dtype=np.float64)
    colour = np.asarray(stars["bp_mag"] - stars["rp_mag"], dtype=np.float64)
    outside = np.zeros(len(magnitude), dtype=bool)
    for values, least, greatest in (
        (magnitude, config.g_min, config.g_max),
        (colour, config.bp_rp_min, config.bp_rp_max),
    ):
        # Written so that a missing value is out of any range.
        if least is not None:
            outside |= ~(values >= least)
        if greatest is not None:
            outside |= ~(values <= greatest)
    return outside


def files(config: SpectrumPackageConfig, root: Path) -> list[Path]:
    """Import the function once and return its module's files below `folder`, if that is given.

    A package that is installed is no input of the survey.

    Raises
    ------
    DataError
        If the function cannot be imported.
    """
    _function(config.function, str(root / config.folder) if config.folder else None)
    if config.folder is None:
        return []
    top = config.function.partition(":")[0].partition(".")[0]
    package = root / config.folder / top
    found = package.rglob("*") if package.is_dir() else [package.with_suffix(".py")]
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


@cache
def _function(name: str, folder: str | None) -> Callable[..., Any]:
    module_name, _, attribute = name.partition(":")
    if folder is not None and folder not in sys.path:
        sys.path.insert(0, folder)
        importlib.invalidate_caches()
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except Exception as error:  # the module may fail as it likes
        where = f" (looked also in {folder})" if folder else ""
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"correction {name} cannot be imported{where}: {reason}") from None
    if not callable(found):
        raise DataError(f"correction {name} is no function")
    return found  # type: ignore[no-any-return]


SPECTRUM_PACKAGE = Correction(
    name="spectrum_package",
    summary="Corrects XP spectra with a function of the user's (Huang et al. 2024)",
    version="1.0",
    config=SpectrumPackageConfig,
    of_spectra=correct,
    files=files,
)
