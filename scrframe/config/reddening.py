"""The `reddening` block: the reddening law and the rounds of fitting it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from scrframe.config.base import Real, Settings, Switch, Whole


def _reader(highest: int) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= highest
        if value == "auto" or whole:
            return value
        shown = f'"{value}"' if isinstance(value, str) else value
        raise ValueError(f"is {shown}; expected a whole number from 0 to {highest}, or auto")

    return read


def _schema(highest: int) -> dict[str, Any]:
    return {"anyOf": [{"type": "integer", "minimum": 0, "maximum": highest}, {"const": "auto"}]}


#: Powers of C0 and of E, or auto.
Order = Annotated[int | Literal["auto"], BeforeValidator(_reader(5)), WithJsonSchema(_schema(5))]
ExtinctionOrder = Annotated[
    int | Literal["auto"], BeforeValidator(_reader(2)), WithJsonSchema(_schema(2))
]


class ReddeningSettings(Settings):
    """The reddening law R(C0, E) and the rounds of fitting it (paper, Eq. 1 and 4)."""

    order: Order = Field(
        default=2,
        description="Highest power of C0 in R; auto: 0 to 3, by cross-validation over fields.",
    )
    extinction_order: ExtinctionOrder = Field(
        default=0, description="Highest power of E in R, 0 in the paper; auto: 0 or 1, likewise."
    )
    field_slopes: Switch = Field(
        default=False,
        description="Whether the slope on E varies from field to field, at random.",
    )
    start: Real = Field(default=1.39, description="R of the first round.")
    max_rounds: Whole = Field(default=5, ge=1, description="Largest number of rounds.")
    tolerance: Real = Field(
        default=0.005,
        gt=0,
        description="Largest change of R, over the range of C0, of a settled law.",
    )
    visit_constants: Switch = Field(
        default=True, description="One free constant a visit; false: one for all, as in the paper."
    )
    clip_sigma: Real = Field(
        default=3.0,
        gt=0,
        description="Residuals beyond this many standard deviations are left out.",
    )
    clip_rounds: Whole = Field(default=3, ge=1, description="Rounds of fitting and clipping.")
    colour_percentiles: tuple[
        Annotated[Real, Field(ge=0, le=100)], Annotated[Real, Field(ge=0, le=100)]
    ] = Field(
        default=(5.0, 95.0), description="Range of C0, in per cent, over which laws are compared."
    )

    @field_validator("colour_percentiles")
    @classmethod
    def _ascending(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] >= value[1]:
            raise ValueError("must ascend")
        return value

    @model_validator(mode="after")
    def _slopes_want_constants(self) -> ReddeningSettings:
        if self.field_slopes and not self.visit_constants:
            raise ValueError("has field_slopes: true, which needs visit_constants: true")
        return self
