"""Corrections of Gaia's magnitudes and spectra from what the user supplies."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from scrframe.arrays import BoolArray, FloatArray
from scrframe.errors import DataError
from scrframe.io import read_table
from scrframe.plugin import ChosenCorrection, Correction, PluginConfig
from scrframe.tables import Column, ReferenceStars

if TYPE_CHECKING:
    from scipy.interpolate import RegularGridInterpolator

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

    Raises DataError if the function cannot be imported or fails.
    """
    function = _function(config.function, str(root / config.folder) if config.folder else None)
    call = _one_by_one if config.interface == "huang2024" else _all_at_once
    try:
        corrected, outside = call(function, flux, stars)
    except Exception as error:  # any failure of the user's code
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"correction {config.function} failed: {reason}") from error
    magnitude = np.asarray(stars["g_mag"], dtype=np.float64)
    colour = np.asarray(stars["bp_mag"] - stars["rp_mag"], dtype=np.float64)
    beyond = np.zeros(len(magnitude), dtype=bool)
    for values, least, greatest in (
        (magnitude, config.g_min, config.g_max),
        (colour, config.bp_rp_min, config.bp_rp_max),
    ):
        # Written so that a missing value is out of any range.
        if least is not None:
            beyond |= ~(values >= least)
        if greatest is not None:
            beyond |= ~(values <= greatest)
    return corrected, np.asarray(outside | beyond)


def _all_at_once(
    function: Callable[..., Any], flux: FloatArray, stars: Mapping[str, Any]
) -> tuple[FloatArray, BoolArray]:
    result = function(stars["wavelength_nm"], flux, stars)
    corrected, outside = result if isinstance(result, tuple) else (result, False)
    beyond = np.zeros(len(flux), dtype=bool)
    beyond[:] = outside
    return np.asarray(corrected, dtype=np.float64), beyond


class _Whole(int):
    """Whole numbers as before numpy 2.4: also of an array of one element."""

    def __new__(cls, value: Any = 0, *base: Any) -> Any:
        one = isinstance(value, np.ndarray) and value.size == 1
        return int(value.item() if one else value, *base)


def _one_by_one(
    function: Callable[..., Any], flux: FloatArray, stars: Mapping[str, Any]
) -> tuple[FloatArray, BoolArray]:
    # The package takes a single spectrum; there is no faster way to call it. It asks int() of
    # arrays of one element, which numpy refuses since 2.4.
    scope: dict[str, Any] = getattr(function, "__globals__", {})
    scope.setdefault("int", _Whole)
    answers = [
        function(spectrum.copy(), float(magnitude), error.copy())
        for spectrum, magnitude, error in zip(
            flux, stars["g_mag"], stars["flux_error"], strict=True
        )
    ]
    none = np.full(flux.shape[1], np.nan), NORMAL_CAUTION  # it answers so at a limit of its range
    answers = [none if answer is None else answer for answer in answers]
    corrected = np.array([answer[0] for answer in answers], dtype=np.float64)
    stated = [np.asarray(answer[1], dtype=np.int64)[:3] for answer in answers]
    caution = np.array(stated, dtype=np.int64).reshape(-1, 3)
    unreliable: BoolArray = np.any(caution > NORMAL_CAUTION, axis=1)
    return corrected.reshape(flux.shape), unreliable


def files(config: SpectrumPackageConfig, root: Path) -> list[Path]:
    """Import the function once and return its module's files below `folder`, if that is given.

    A package that is installed is no input of the survey.

    Raises DataError if the function cannot be imported.
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
OUTSIDE = Column(
    "reference_outside_correction",
    "",
    "int16",
    "1 where a correction of the reference magnitude was asked for but does not reach.",
    "reference",
)


def correct_sources(
    stars: ReferenceStars, corrections: Sequence[ChosenCorrection]
) -> ReferenceStars:
    """Return stars with corrected magnitudes and the column `reference_outside_correction`."""
    stars = stars.with_columns({OUTSIDE.name: np.zeros(len(stars), dtype=np.int16)})
    for chosen in corrections:
        if chosen.correction.of_sources is not None:
            stars = chosen.correction.of_sources(stars, chosen.config, chosen.root)
    return stars


def spectrum_corrections(corrections: Sequence[ChosenCorrection]) -> tuple[ChosenCorrection, ...]:
    """Return the corrections that act on spectra."""
    return tuple(item for item in corrections if item.correction.of_spectra is not None)


def correct_flux(
    flux: FloatArray,
    errors: FloatArray,
    wavelength_nm: FloatArray,
    stars: ReferenceStars,
    corrections: Sequence[ChosenCorrection],
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Apply corrections in turn to sampled spectra.

    Parameters
    ----------
    flux, errors : ndarray, shape (n, m)
        Spectra and their errors in W m^-2 nm^-1.
    wavelength_nm : ndarray, shape (m,)
        The samples.
    stars : ReferenceStars
        The n stars.
    corrections : sequence of ChosenCorrection
        Those of spectra.

    Returns
    -------
    flux : ndarray, shape (n, m)
        Corrected; what a correction cannot correct (a result that is not finite) stays.
    outside : ndarray of bool, shape (n,)
        Stars out of the range of a correction.

    Raises
    ------
    DataError
        If a correction returns another shape.
    """
    outside = np.zeros(len(flux), dtype=bool)
    about: Mapping[str, Any] = {
        "wavelength_nm": wavelength_nm,
        "flux_error": errors,
        **{name: stars[name] for name in ("source_id", "g_mag", "bp_mag", "rp_mag")},
    }
    for chosen in corrections:
        assert chosen.correction.of_spectra is not None
        result, beyond = chosen.correction.of_spectra(flux, about, chosen.config, chosen.root)
        result = np.asarray(result, dtype=np.float64)
        if result.shape != flux.shape:
            raise DataError(
                f"correction {chosen.correction.name} returned spectra of shape {result.shape};"
                f" expected {flux.shape}"
            )
        lost = np.asarray(~np.isfinite(result).all(axis=1) & np.isfinite(flux).all(axis=1))
        flux = np.where(lost[:, None], flux, result)
        outside |= np.asarray(beyond, dtype=bool) | lost
    return flux, outside


class MagnitudeTableConfig(PluginConfig):
    """A table of magnitude against the correction of G_BP."""

    file: str = Field(description="The table, below the data root; CSV, ECSV, FITS or Parquet.")
    magnitude: str = Field("G", description="Column of the magnitude.")
    correction: str = Field("dBP", description="Column of the correction in mag.")
    sign: Literal["add", "subtract"] = Field(
        "add", description="Whether the correction is added to G_BP or subtracted from it."
    )
    against: Literal["g_mag", "bp_mag"] = Field(
        "g_mag", description="The stars' magnitude that the table's magnitude means."
    )


def correct_magnitude(
    stars: ReferenceStars, config: MagnitudeTableConfig, root: Path
) -> ReferenceStars:
    """Correct the reference magnitude, linearly between the table's magnitudes.

    A star whose magnitude is missing or outside the table keeps its G_BP and gets 1 in the
    column ``reference_outside_correction``.
    """
    magnitude, correction = _magnitudes(root / config.file, config.magnitude, config.correction)
    at = stars[config.against]
    inside = (at >= magnitude[0]) & (at <= magnitude[-1])
    sign = 1.0 if config.sign == "add" else -1.0
    change = np.where(inside, sign * np.interp(at, magnitude, correction), 0.0)
    outside = stars["reference_outside_correction"] | ~inside
    return stars.with_columns(
        {
            "reference_mag": stars["reference_mag"] + change,
            "reference_outside_correction": outside.astype(np.int16),
        }
    )


def magnitude_files(config: MagnitudeTableConfig, root: Path) -> list[Path]:
    """Read the table once and return its file; raises DataError where it cannot be used."""
    _magnitudes(root / config.file, config.magnitude, config.correction)
    return [root / config.file]


@cache
def _magnitudes(
    path: Path, magnitude_column: str, correction_column: str
) -> tuple[FloatArray, ...]:
    magnitude, correction = _numbers(path, (magnitude_column, correction_column))
    order = np.argsort(magnitude, kind="stable")
    magnitude, correction = magnitude[order], correction[order]
    if (np.diff(magnitude) == 0).any():
        raise DataError(f"{path}: column {magnitude_column} names a magnitude twice")
    return magnitude, correction


MAGNITUDE_TABLE = Correction(
    name="magnitude_table",
    summary="Corrects G_BP by a table of magnitude against correction (Yang et al. 2021)",
    version="1.0",
    config=MagnitudeTableConfig,
    of_sources=correct_magnitude,
    files=magnitude_files,
)


class SpectrumTableConfig(PluginConfig):
    """A table of factors by which fluxes are multiplied."""

    file: str = Field(description="The table, below the data root; CSV, ECSV, FITS or Parquet.")
    wavelength: str = Field("wavelength_nm", description="Column of the wavelength in nm.")
    factor: str = Field("factor", description="Column of the factor.")
    g_mag: str | None = Field(None, description="Column of G, if the factor depends on it.")
    bp_rp: str | None = Field(None, description="Column of G_BP - G_RP, if it depends on it.")


def correct_spectra(
    flux: FloatArray, stars: Mapping[str, Any], config: SpectrumTableConfig, root: Path
) -> tuple[FloatArray, BoolArray]:
    """Multiply spectra, shape (n, m), by the factors, linearly between the table's points.

    A star outside the table's magnitudes or colours is left as it is and said to be outside;
    so is every wavelength outside the table's, without a word.
    """
    interpolator = _factors(config, root)
    values = [
        np.asarray(column, dtype=np.float64)
        for column, name in (
            (stars["g_mag"], config.g_mag),
            (stars["bp_mag"] - stars["rp_mag"], config.bp_rp),
        )
        if name is not None
    ]
    wavelength = np.asarray(stars["wavelength_nm"], dtype=np.float64)
    outside = np.zeros(len(flux), dtype=bool)
    for axis, value in zip(interpolator.grid, values, strict=False):
        outside |= ~((value >= axis[0]) & (value <= axis[-1]))
    at = np.stack(
        [
            *(np.broadcast_to(value[:, None], flux.shape) for value in values),
            np.broadcast_to(wavelength, flux.shape),
        ],
        axis=-1,
    )
    factor = interpolator(np.nan_to_num(at))
    factor[outside] = 1.0
    return flux * np.where(np.isfinite(factor), factor, 1.0), outside


def spectrum_files(config: SpectrumTableConfig, root: Path) -> list[Path]:
    """Read the table once and return its file; raises DataError where it cannot be used."""
    _factors(config, root)
    return [root / config.file]


def _factors(config: SpectrumTableConfig, root: Path) -> RegularGridInterpolator:
    axes = tuple(name for name in (config.g_mag, config.bp_rp) if name is not None)
    return _interpolator(root / config.file, (*axes, config.wavelength), config.factor)


def _numbers(path: Path, names: Sequence[str]) -> list[FloatArray]:
    """Return columns of numbers of a table, none of which is missing."""
    block = read_table(path, names)
    found = [block.numbers(name) for name in names]
    for name, values in zip(names, found, strict=True):
        block.refuse(~np.isfinite(values), f"column {name} has no value")
    return found


@cache
def _interpolator(path: Path, axes: tuple[str, ...], factor: str) -> RegularGridInterpolator:
    *columns, factors = _numbers(path, (*axes, factor))
    points = [np.unique(column) for column in columns]
    shape = tuple(len(axis) for axis in points)
    order = np.lexsort(tuple(reversed(columns)))
    mesh = np.stack([item.ravel() for item in np.meshgrid(*points, indexing="ij")])
    if len(factors) != np.prod(shape) or not np.array_equal(mesh, np.stack(columns)[:, order]):
        raise DataError(f"{path}: {', '.join(axes)} are no complete grid, each point once")
    from scipy.interpolate import RegularGridInterpolator  # noqa: PLC0415 - slow to import

    return RegularGridInterpolator(
        points, factors[order].reshape(shape), bounds_error=False, fill_value=np.nan
    )


SPECTRUM_TABLE = Correction(
    name="spectrum_table",
    summary="Multiplies XP spectra by a table of factors, by wavelength, G and colour",
    version="1.0",
    config=SpectrumTableConfig,
    of_spectra=correct_spectra,
    files=spectrum_files,
)
#: All corrections that the catalogue understands.
CORRECTIONS: tuple[Correction, ...] = (MAGNITUDE_TABLE, SPECTRUM_PACKAGE, SPECTRUM_TABLE)
