"""The blocks of a survey description, one for each kind of plugin that it names."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from scrframe.config.base import as_written
from scrframe.config.blocks import Context, FlatBlock, PluginBlock
from scrframe.config.search import SearchSettings
from scrframe.plugin import (
    ColourModel,
    Correction,
    Descriptor,
    Diagnostic,
    ExtinctionCatalogue,
    ExtinctionCurve,
    OffsetLevel,
    ReferenceCatalogue,
    SurveyLoader,
    Writer,
)
from scrframe.tables.names import did_you_mean
from scrframe.units import InUnit, Real, Switch, Whole


class CorrectionBlock(PluginBlock):
    """A correction of a reference catalogue, by a name that the catalogue knows."""

    descriptor: ClassVar[type[Descriptor]] = Correction

    @classmethod
    def choices(cls, context: Context) -> dict[str, Descriptor]:
        """Return the corrections that the chosen catalogue understands."""
        catalogue: ReferenceCatalogue | None = context.get("catalogue")
        return {} if catalogue is None else {each.name: each for each in catalogue.corrections}

    @classmethod
    def unknown_kind(cls, kind: str, context: Context) -> str:
        """Return the message for a correction that the catalogue does not know."""
        known = ", ".join(cls.choices(context)) or "none"
        near = did_you_mean(kind, cls.choices(context))
        return f'names no correction of the reference catalogue: "{kind}"{near} (known: {known})'


class ReferenceBlock(PluginBlock):
    """Where reference stars and their spectra come from, and how they are matched."""

    descriptor: ClassVar[type[Descriptor]] = ReferenceCatalogue

    match_radius: Annotated[float, InUnit("arcsec")] = Field(
        default=as_written("1 arcsec"),
        description="Largest distance of a match, at the epoch of the visit.",
    )
    corrections: tuple[CorrectionBlock, ...] = Field(
        default=(), description="Corrections of the catalogue, in the order in which they act."
    )

    @classmethod
    def enter(cls, data: dict[str, Any], context: Context) -> None:
        """Note the chosen catalogue, whose corrections the block may name."""
        kind, known = data.get("kind"), cls.choices(context)
        context["catalogue"] = known.get(kind) if isinstance(kind, str) else None


class LoaderBlock(PluginBlock):
    """How the survey's catalogues are read."""

    descriptor: ClassVar[type[Descriptor]] = SurveyLoader


class ExtinctionBlock(PluginBlock):
    """Where the extinction of stars comes from."""

    descriptor: ClassVar[type[Descriptor]] = ExtinctionCatalogue


class CurveBlock(PluginBlock):
    """The extinction curve by which spectra are dereddened."""

    descriptor: ClassVar[type[Descriptor]] = ExtinctionCurve


class ColourModelBlock(PluginBlock):
    """What learns intrinsic colours, and how it is trained and judged."""

    descriptor: ClassVar[type[Descriptor]] = ColourModel

    test_fraction: Real = Field(
        default=0.25,
        gt=0,
        lt=1,
        description="Share of the control stars held back to judge the model.",
    )
    cross_fit: Switch = Field(
        default=True, description="Predict control stars by models that have not seen them."
    )
    folds: Whole = Field(default=5, ge=2, description="Number of folds of the cross-fit, by star.")
    seed: Whole = Field(
        default=1, ge=0, description="Seed of the split, the folds and the backend."
    )
    regrow_rounds: Whole = Field(
        default=2,
        ge=1,
        description="Rounds of visit offsets up to which a model is grown anew (with a trend the"
        " first round has the trend alone); after them a model that is linear in its labels"
        " keeps its structure.",
    )
    trend: Literal["linear", "quadratic", "none"] = Field(
        "none",
        description="A trend of colour with the features that is taken out before training;"
        " none is the paper's.",
    )
    trend_ridge: Real = Field(
        0.1, gt=0, description="Ridge of the trend, in standardised features."
    )
    trend_components: Whole = Field(
        8, ge=1, description="Principal components whose products a quadratic trend has."
    )
    standardise: Literal["per_star", "per_wavelength", "none"] = Field(
        default="per_star", description="Over what the mean and sd of spectra are taken."
    )
    search: SearchSettings | None = Field(
        default=None, description="A search for the backend's settings; by default none."
    )


class LevelBlock(FlatBlock):
    """One level of offsets; the keys of its kind stand beside these."""

    descriptor: ClassVar[type[Descriptor]] = OffsetLevel

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$", description="Name, also of the column offset_<name>."
    )
    parent: str | None = Field(
        default=None,
        description="Level that this one refines, one that stands before; noted in the tables of"
        " offsets, it changes no result.",
    )
    mode: Literal["joint", "sequential"] | None = Field(
        default=None, description="The only mode in which the level takes part; by default both."
    )
    sd: Annotated[float, InUnit("mag")] = Field(
        default=as_written("20 mmag"),
        validate_default=True,
        gt=0,
        description="Standard deviation of its offsets, from which mode joint starts, and which"
        " decides where the data do not.",
    )
    hold_sd: Switch = Field(
        default=False, description="Whether mode joint keeps `sd` instead of estimating it."
    )


class WriterBlock(PluginBlock):
    """A format in which corrected catalogues are written."""

    descriptor: ClassVar[type[Descriptor]] = Writer


class DiagnosticBlock(PluginBlock):
    """A figure of merit that goes into summary.json."""

    descriptor: ClassVar[type[Descriptor]] = Diagnostic


#: All of them.
BLOCKS: tuple[type[PluginBlock], ...] = (
    LoaderBlock,
    ReferenceBlock,
    CorrectionBlock,
    ExtinctionBlock,
    CurveBlock,
    ColourModelBlock,
    LevelBlock,
    WriterBlock,
    DiagnosticBlock,
)
