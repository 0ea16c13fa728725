"""The band of a simulated survey, by its passband."""

from __future__ import annotations

import itertools

from pydantic import Field, field_validator

from scrframe.config.base import Settings
from scrframe.units import Real

#: Wavelengths in nm that simulated spectra cover.
SPECTRA_NM = (336.0, 1020.0)


class BandSettings(Settings):
    """Another band than u: its magnitudes are those of the spectra through a passband."""

    passband: tuple[tuple[Real, Real], ...] = Field(
        min_length=2,
        description="Pairs of wavelength in nm and transmission per photon, linear in between;"
        " 0 beyond the first and the last. Magnitudes are AB.",
    )

    @field_validator("passband")
    @classmethod
    def _curve(cls, value: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        wavelengths, through = zip(*value, strict=True)
        if any(after <= before for before, after in itertools.pairwise(wavelengths)):
            raise ValueError("must have ascending wavelengths")
        low, high = SPECTRA_NM
        if wavelengths[0] < low or wavelengths[-1] > high:
            raise ValueError(f"must lie within the spectra, {low:g} to {high:g} nm")
        if min(through) < 0 or not max(through) > 0:
            raise ValueError("must have transmissions of 0 or more, not all of them 0")
        return value
