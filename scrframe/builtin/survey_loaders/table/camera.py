"""A camera as a description lays it out."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import numpy as np
from pydantic import Field, Strict, field_validator, model_validator

from scrframe.plugin import PluginConfig
from scrframe.tables import Camera
from scrframe.units import InUnit

Whole = Annotated[int, Strict()]
Angle = Annotated[float, InUnit("deg", positive=False)]
Pixels = Annotated[float, InUnit("pix", positive=False)]
Positive = Annotated[int, Strict(), Field(ge=1)]


class Detector(PluginConfig):
    """One detector that stands where the description says."""

    ccd: Whole = Field(description="Its number.")
    east: Angle = Field(description="Its centre, east of the pointing.")
    north: Angle = Field(description="Its centre, north of the pointing.")


class CameraSettings(PluginConfig):
    """Detectors, by rows or one by one."""

    pixels: tuple[Positive, Positive] = Field(description="Size of a detector along x and y.")
    pixel_scale: Annotated[float, InUnit("arcsec")] = Field(
        description="Size of a pixel on the sky."
    )
    rows: tuple[tuple[Whole | None, ...], ...] = Field(
        default=(),
        description="Numbers of the detectors, row by row from north to south, each from east to"
        " west; null leaves a place empty. Rows are centred on the pointing.",
    )
    gaps: tuple[Pixels, Pixels] = Field(
        default=("0 pix", "0 pix"),  # type: ignore[assignment]
        description="Gaps between the detectors of a row, and between rows.",
    )
    detectors: tuple[Detector, ...] = Field(
        default=(), description="Detectors one by one, in place of rows."
    )
    x_runs: str = Field(
        default="west", pattern="^(east|west)$", description="Direction in which x grows."
    )
    y_runs: str = Field(
        default="north", pattern="^(north|south)$", description="Direction in which y grows."
    )

    @field_validator("rows")
    @classmethod
    def _not_empty(
        cls, value: tuple[tuple[int | None, ...], ...]
    ) -> tuple[tuple[int | None, ...], ...]:
        if any(not row for row in value):
            raise ValueError("has an empty row")
        return value

    @model_validator(mode="after")
    def _each_once(self) -> CameraSettings:
        if bool(self.rows) == bool(self.detectors):
            raise ValueError("needs rows or detectors, and not both")
        numbers = sorted(self._numbers())
        if not numbers:
            raise ValueError("has no detector")
        twice = next((a for a, b in pairwise(numbers) if a == b), None)
        if twice is not None:
            raise ValueError(f"has detector {twice} twice")
        if numbers[0] < 0 or numbers[-1] > 32767:
            raise ValueError("has a detector outside 0 to 32767")
        return self

    def _numbers(self) -> list[int]:
        if self.detectors:
            return [detector.ccd for detector in self.detectors]
        return [number for row in self.rows for number in row if number is not None]

    def camera(self) -> Camera:
        """Return the layout, with detectors in the order of their numbers."""
        ccd = np.array(self._numbers(), dtype=np.int64)
        if self.detectors:
            east = np.array([detector.east for detector in self.detectors], dtype=np.float64)
            north = np.array([detector.north for detector in self.detectors], dtype=np.float64)
        else:
            east, north = self._places()
        order = np.argsort(ccd)
        return Camera(
            ccd=ccd[order],
            xi_deg=east[order],
            eta_deg=north[order],
            nx=self.pixels[0],
            ny=self.pixels[1],
            pixel_scale_arcsec=float(self.pixel_scale),
            x_sign=-1 if self.x_runs == "west" else 1,
            y_sign=1 if self.y_runs == "north" else -1,
        )

    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        step = [
            (size + gap) * self.pixel_scale / 3600
            for size, gap in zip(self.pixels, self.gaps, strict=True)
        ]
        east, north = [], []
        for number, row in enumerate(self.rows):
            for place, detector in enumerate(row):
                if detector is not None:
                    east.append(((len(row) - 1) / 2 - place) * step[0])
                    north.append(((len(self.rows) - 1) / 2 - number) * step[1])
        return np.array(east, dtype=np.float64), np.array(north, dtype=np.float64)
