"""Settings of the table loader, the `table` block of a survey description, with its camera."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, Strict, field_validator, model_validator

from scrframe.builtin.survey_loaders.table.reading import check_unit
from scrframe.builtin.survey_loaders.table.source import KINDS, OrText, SimulatedValue, Source
from scrframe.errors import ConfigError, did_you_mean
from scrframe.plugin import PluginConfig
from scrframe.tables import Camera
from scrframe.tables.columns import BY_NAME, Column, columns_of
from scrframe.tables.cuts import Cut
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


Format = Literal["auto", "fits", "ldac", "parquet", "csv", "ecsv", "votable"]
Switch = Annotated[bool, Strict()]
Mag = Annotated[float, InUnit("mag")]
Real = Annotated[float, Strict()]
#: Names of columns, or of those of one table by those of another.
Names = Mapping[str, str] | tuple[str, ...] | str
#: What the loader itself makes.
MADE = ("file", "extension", "row")
#: Columns that a description maps, of the vocabulary; `usable` follows from `flags`.
MAPPED = tuple(
    column.name
    for column in columns_of("detection")
    if not column.derived and column.name not in (*MADE, "usable")
)
#: Those without which nothing can be calibrated; where they are not mapped, the table's
#: column of the same name is taken.
NEEDED = ("visit", "ccd", "ra", "dec", "mjd", "x", "y", "mag", "mag_err")


def _pattern(value: str) -> str:
    path = PurePosixPath(value)
    if not value.strip() or path.is_absolute() or ".." in path.parts:
        raise ValueError(f'is "{value}", not a pattern of files below the data root')
    return value


class Join(PluginConfig):
    """A further table, whose columns are added by key."""

    files: str = Field(description="Pattern of its files, below the data root.")
    format: Format = Field(default="auto", description="As of the catalogues.")
    hdu: Whole | str | None = Field(
        default=None, description="FITS extension; by default the first table."
    )
    on: Mapping[str, str] = Field(
        min_length=1, description="Columns that must agree: name so far: name in this table."
    )
    columns: Mapping[str, str] = Field(
        min_length=1,
        description="Columns to add: a list, or a mapping of new names to names in this table.",
    )
    required: Switch = Field(
        default=True, description="Whether a row without a partner is an error."
    )

    _files = field_validator("files")(_pattern)

    @field_validator("on", "columns", mode="before", json_schema_input_type=Names)
    @classmethod
    def _same_names(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {value: value}
        if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            return {item: item for item in value}
        return value


class Flag(OrText):
    """A column that says which detections must not calibrate; a text alone is its name."""

    column: str = Field(min_length=1, description="Column of the table.")
    bits: tuple[Whole, ...] | None = Field(
        default=None, min_length=1, description="Bits that are bad, the lowest being 0."
    )
    mask: Whole | None = Field(
        default=None, gt=0, lt=2**64, description="The same as a number, such as 0x13."
    )
    good: Switch | None = Field(
        default=None, description="true: detections without the flag are the bad ones."
    )

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, data: Any) -> Any:
        return {"column": data} if isinstance(data, str) else data

    @field_validator("mask", mode="before", json_schema_input_type=Whole | str | None)
    @classmethod
    def _hexadecimal(cls, value: Any) -> Any:
        if isinstance(value, str):
            try:
                return int(value, 0)
            except ValueError:
                raise ValueError(f'is "{value}"; expected a number such as 19 or 0x13') from None
        return value

    @field_validator("bits")
    @classmethod
    def _in_range(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and not all(0 <= bit < 64 for bit in value):
            raise ValueError(f"is {list(value)}; bits are 0 to 63")
        return value

    @model_validator(mode="after")
    def _bits_or_mask(self) -> Flag:
        if self.bits is not None and self.mask is not None:
            raise ValueError("needs bits or mask, not both")
        return self

    @property
    def bad_bits(self) -> int | None:
        """The bits as one number; None where any value but zero is bad."""
        if self.bits is not None:
            return sum(1 << bit for bit in set(self.bits))
        return self.mask


class TableConfig(PluginConfig):
    """Where the catalogues are, and what their columns mean."""

    files: str = Field(
        default="catalogues/*",
        description="Pattern of the catalogues, below the data root; of a directory all files"
        " in it are taken.",
    )
    format: Format = Field(
        default="auto", description="Format of the files; auto goes by their content."
    )
    hdu: Whole | str | None = Field(
        default=None,
        description="FITS extension with the table, a number or a name, or `all` for one"
        " detector an extension; by default the first table.",
    )
    columns: Mapping[str, Source] = Field(
        default_factory=dict,
        description="What each column of the vocabulary is made from. Names outside the"
        " vocabulary are further columns, which cuts may use.",
    )
    join: tuple[Join, ...] = Field(default=(), description="Further tables, joined in turn.")
    flags: tuple[Flag, ...] = Field(
        default=(),
        description="Detections with any of these do not calibrate; they are corrected all the"
        " same.",
    )
    rows: tuple[str, ...] = Field(
        default=(),
        description="Cuts on the tables' own columns; rows that fail are not read, and stay"
        " uncorrected.",
    )
    missing: tuple[Real | Whole, ...] = Field(
        default=(), description="Numbers that stand for no value, such as 99.99."
    )
    simulated: Mapping[str, SimulatedValue] = Field(
        default_factory=dict,
        description="Values in simulated catalogues of the tables' columns that nothing else fills,"
        " such as those that only cuts of `rows` name.",
    )
    min_error: Mag = Field(  # type: ignore[assignment]
        default="1 mmag", description="Errors of magnitudes are at least this."
    )
    rows_per_part: Whole = Field(
        default=2_000_000,
        ge=1,
        description="Larger Parquet files are read, and written, in parts of about so many rows.",
    )
    camera: CameraSettings | None = Field(
        default=None, description="Layout of the detectors, for simulations and figures."
    )

    _files = field_validator("files")(_pattern)

    @field_validator("columns")
    @classmethod
    def _known(cls, value: Mapping[str, Source]) -> Mapping[str, Source]:
        for name, source in value.items():
            _check_entry(name, source)
        mag, err = value.get("mag"), value.get("mag_err")
        flux_error = err is not None and err.unit is not None and not check_unit("mag_err", err)
        if flux_error and (mag is None or check_unit("mag", mag)):
            raise ValueError("has mag_err in a unit of flux, but mag is no flux")
        return value

    @field_validator("rows")
    @classmethod
    def _cuts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                Cut.parse(text)
            except ConfigError as error:
                raise ValueError(f"has a {error}") from None
        return value

    @property
    def own_columns(self) -> tuple[Column, ...]:
        """Columns outside the vocabulary, as the description declares them."""
        return tuple(
            Column(
                name,
                source.unit or "",
                KINDS[source.dtype or "number"],
                source.doc or f"Column of the table loader: {name}.",
                "detection",
            )
            for name, source in self.columns.items()
            if name not in BY_NAME
        )

    def source(self, name: str) -> Source:
        """Return where a column of the vocabulary comes from."""
        if name in self.columns:
            return self.columns[name]
        return Source(value="") if name == "band" else Source(column=name)


def _check_entry(name: str, source: Source) -> None:
    if name in BY_NAME:
        if name not in MAPPED:
            raise ValueError(
                f'maps "{name}", which scrframe makes itself; it maps {", ".join(MAPPED)},'
                " and names of your own"
            )
        for key in ("dtype", "doc"):
            if getattr(source, key) is not None:
                raise ValueError(f'gives "{name}" a {key}, which only columns of your own have')
        if source.zero_point is not None and name != "mag":
            raise ValueError(f'gives "{name}" a zero_point, which only mag has')
    elif not name.isidentifier():
        near = did_you_mean(name, MAPPED)
        raise ValueError(f'has a column "{name}", a name that cuts cannot use{near}')
    elif source.zero_point is not None:
        raise ValueError(f'gives "{name}" a zero_point, which only mag has')
    check_unit(name, source)
