"""Settings of the part of the sky and the dates of a simulated survey."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from scrframe.config.base import Settings
from scrframe.units import InUnit

Degrees = Annotated[float, InUnit("deg", positive=False)]
Days = Annotated[float, InUnit("d")]


class RegionSettings(Settings):
    """Where a simulated survey's fields lie, and when they are observed.

    A range of right ascension across 0 is written with a negative or a large number:
    ``[-10 deg, 10 deg]``.
    """

    control_ra: tuple[Degrees, Degrees] = Field(
        description="Right ascension of the control region; control fields lie wholly in it."
    )
    control_dec: tuple[Degrees, Degrees] = Field(description="Its declination.")
    other_ra: tuple[Degrees, Degrees] = Field(
        description="Right ascension of the centres of the other fields."
    )
    other_dec: tuple[Degrees, Degrees] = Field(description="Their declination.")
    dates: tuple[Days, Days] = Field(description="First and last night, Modified Julian dates.")

    @model_validator(mode="after")
    def _ranges(self) -> RegionSettings:
        for name in ("control_ra", "control_dec", "other_ra", "other_dec", "dates"):
            low, high = getattr(self, name)
            if low >= high:
                raise ValueError(f"has {name} from {low:g} to {high:g}; the first must be smaller")
        for name in ("control_dec", "other_dec"):
            if max(map(abs, getattr(self, name))) > 85:
                raise ValueError(f"has {name} beyond 85 deg")
        return self
