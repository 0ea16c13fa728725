"""Settings that survey descriptions and the method share, each declared once.

A block of a description is one of these dataclasses as it stands: pydantic validates it by its
annotations, which also hold its documentation. The method takes the same object, or a dataclass
that extends it by what no description sets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from scrframe.units import InUnit, Real, Switch, Whole, parse_quantity


def _whole_or_auto(highest: int) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= highest
        if value == "auto" or whole:
            return value
        shown = f'"{value}"' if isinstance(value, str) else value
        raise ValueError(f"is {shown}; expected a whole number from 0 to {highest}, or auto")

    return read


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] >= value[1]:
        raise ValueError("must ascend")
    return value


def _schema(highest: int) -> dict[str, Any]:
    return {"anyOf": [{"type": "integer", "minimum": 0, "maximum": highest}, {"const": "auto"}]}


#: Powers of C0 and of E, or auto.
Order = Annotated[
    int | Literal["auto"], BeforeValidator(_whole_or_auto(5)), WithJsonSchema(_schema(5))
]
ExtinctionOrder = Annotated[
    int | Literal["auto"], BeforeValidator(_whole_or_auto(2)), WithJsonSchema(_schema(2))
]
_SPAN = "0.5 mag"
_Percentile = Annotated[Real, Field(ge=0, le=100)]


@dataclass(frozen=True)
class ReddeningSettings:
    """The reddening law R(C0, E) and the rounds of fitting it (paper, Eq. 1 and 4)."""

    order: Annotated[
        Order,
        Field(
            description="Highest power of C0 in R; auto: 0 to 3, by cross-validation over fields."
        ),
    ] = 2
    extinction_order: Annotated[
        ExtinctionOrder,
        Field(description="Highest power of E in R, 0 in the paper; auto: 0 or 1, likewise."),
    ] = 0
    field_slopes: Annotated[
        Switch, Field(description="Whether the slope on E varies from field to field, at random.")
    ] = False
    start: Annotated[Real, Field(description="R of the first round.")] = 1.39
    max_rounds: Annotated[Whole, Field(ge=1, description="Largest number of rounds.")] = 5
    tolerance: Annotated[
        Real, Field(gt=0, description="Largest change of R, over the range of C0, at convergence.")
    ] = 0.005
    visit_constants: Annotated[
        Switch, Field(description="One free constant a visit; false: one for all, as in the paper.")
    ] = True
    clip_sigma: Annotated[
        Real,
        Field(gt=0, description="Residuals beyond this many standard deviations are left out."),
    ] = 3.0
    clip_rounds: Annotated[Whole, Field(ge=1, description="Rounds of fitting and clipping.")] = 3
    colour_percentiles: Annotated[
        tuple[_Percentile, _Percentile],
        AfterValidator(_ascending),
        Field(description="Range of C0, in per cent, over which laws are compared."),
    ] = (5.0, 95.0)

    @property
    def automatic(self) -> bool:
        """Whether an order is to be chosen."""
        return "auto" in (self.order, self.extinction_order)


@dataclass(frozen=True)
class RobustSettings:
    """Outliers, blends and variables lose their weight."""

    enabled: Annotated[Switch, Field(description="Whether outliers are down-weighted.")] = True
    span: Annotated[
        float,
        InUnit("mag"),
        Field(
            gt=0,
            description="Half-width of the uniform distribution assumed for outliers; what lies"
            " beyond has no weight either.",
            json_schema_extra={"default": _SPAN},
        ),
    ] = field(default_factory=lambda: parse_quantity(_SPAN, "mag"))
    min_kept: Annotated[
        Real,
        Field(
            gt=0,
            lt=1,
            description="Mean weight of the detections below which a run stops: so many outliers"
            " have another cause.",
        ),
    ] = 0.7


@dataclass(frozen=True)
class DomainSettings:
    """Stars unlike any training star are flagged and left out of the solve."""

    enabled: Annotated[Switch, Field(description="Whether stars outside are left out.")] = True
    quantile: Annotated[
        Real,
        Field(
            gt=0.5,
            lt=1,
            description="Share of the training stars that count as inside, by each criterion.",
        ),
    ] = 0.995


@dataclass(frozen=True)
class TermRules:
    """What a candidate term must show to be kept."""

    gain: Annotated[
        Real,
        Field(
            gt=0,
            description="Least gain in twice the restricted log likelihood; more is asked of a"
            " candidate with several scales, as the best of many tries gains more by chance.",
        ),
    ] = 9.0
    detections: Annotated[
        Whole,
        Field(
            ge=1000,
            description="Of a survey of more detections compact patches of the sky of about so"
            " many in all decide.",
        ),
    ] = 150_000
