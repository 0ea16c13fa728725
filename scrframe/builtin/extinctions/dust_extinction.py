"""Extinction curves of any R_V, from the package dust_extinction (Gordon 2024, JOSS 9, 7023).

The package is imported where a curve is asked for; it is an extra, ``scrframe[dust]``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from pydantic import Field

from scrframe.arrays import FloatArray
from scrframe.errors import CalibrationError, PluginError
from scrframe.plugin import ExtinctionCurve, PluginConfig, hookimpl
from scrframe.units import Real

#: Curves that depend on R_V alone.
Model = Literal["CCM89", "O94", "F99", "F04", "GCC09", "VCG04", "M14", "F19", "D22", "G23"]


class DustExtinctionConfig(PluginConfig):
    """Which curve, at which R_V, and what the catalogue's E stands for."""

    model: Model = Field(
        "G23",
        description="Curve, by the name that dust_extinction gives it: CCM89 is Cardelli, Clayton"
        " & Mathis (1989), F99 and F19 are Fitzpatrick (1999) and Fitzpatrick et al. (2019), G23"
        " is Gordon et al. (2023).",
    )
    r_v: Real = Field(3.1, gt=0, description="Ratio A(V) / E(B-V).")
    extinction: Literal["E(B-V)", "A(V)"] = Field(
        "E(B-V)", description="What the values of extinction.values stand for."
    )
    scale: Real = Field(1.0, gt=0, description="Factor from these values to that quantity.")


def curve(config: DustExtinctionConfig, wavelength_nm: FloatArray) -> FloatArray:
    """Return A(wavelength) / E in mag per unit E, the shape of the wavelengths, in nm.

    Raises
    ------
    PluginError
        If dust_extinction is not installed.
    CalibrationError
        If R_V or a wavelength is outside the curve's range.
    """
    try:
        from dust_extinction import parameter_averages  # noqa: PLC0415 - an extra
    except ImportError:
        raise PluginError(
            "extinction.curve.kind: dust_extinction needs the package of that name: pip install"
            " 'scrframe[dust]'"
        ) from None
    from astropy import units  # noqa: PLC0415 - slow to import

    kind = getattr(parameter_averages, config.model)
    low, high = (float(each) for each in kind.Rv_range)
    if not low <= config.r_v <= high:
        raise CalibrationError(
            f"extinction.curve.dust_extinction.r_v: {config.model} is known for R_V from {low:g}"
            f" to {high:g}, not for {config.r_v:g}; choose another model"
        )
    wanted = np.asarray(wavelength_nm, dtype=np.float64)
    shortest, longest = (1000 / float(each) for each in reversed(kind.x_range))
    outside = ~((wanted >= shortest) & (wanted <= longest))
    if outside.any():
        raise CalibrationError(
            f"the extinction curve {config.model} goes from {shortest:.0f} to {longest:.0f} nm;"
            f" {wanted[outside].ravel()[0]:g} nm was asked for: narrow the wavelength grid or"
            " choose another model"
        )
    relative = kind(Rv=config.r_v)(wanted.ravel() * units.nm)
    per_unit = config.scale * (config.r_v if config.extinction == "E(B-V)" else 1.0)
    return np.asarray(relative, dtype=np.float64).reshape(wanted.shape) * per_unit


CURVE = ExtinctionCurve(
    name="dust_extinction",
    summary="Curves of any R_V, such as G23, F19 or CCM89; needs scrframe[dust]",
    version="1.0",
    config=DustExtinctionConfig,
    curve=curve,
)


@hookimpl
def scrframe_extinction_curves() -> Iterable[ExtinctionCurve]:
    """Yield the curve."""
    yield CURVE
