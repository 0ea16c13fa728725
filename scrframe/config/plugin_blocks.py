"""The blocks of a survey description, one for each kind of plugin that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationError, ValidationInfo, model_validator
from pydantic_core import InitErrorDetails

from scrframe import plugin
from scrframe.config.base import Settings, as_written, problem, reword, unknown_key
from scrframe.config.blocks import Context, FlatBlock, PluginBlock
from scrframe.errors import PluginError, did_you_mean
from scrframe.units import InUnit, Real, Switch, Whole

#: Values of one setting, as they are written in YAML.
Values = Annotated[tuple[Any, ...], Field(min_length=1)]


class SearchSettings(Settings):
    """A search for the backend's settings, by successive halving.

    Candidates are trained on few stars and tested on stars left out; the best go on with
    more stars, until all are used. The settings of the description compete too.
    """

    over: Mapping[str, Mapping[str, Values]]
    """Values to try, by backend and by the backend's own keys: `{name: {key: [value, ...]}}`. A
    backend that is not named keeps its settings."""
    candidates: Whole = Field(default=9, ge=1)
    """Combinations that are tried at first, drawn at random; all if there are no more."""
    folds: Whole = Field(default=3, ge=2, description="Number of folds, by star.")
    factor: Whole = Field(default=3, ge=2)
    """By how much the stars grow from round to round, and the candidates shrink."""
    min_stars: Whole = Field(default=500, ge=10)
    """Fewest training stars of the first round."""
    seed: Whole = Field(default=1, ge=0, description="Seed of the draws and of the folds.")

    @model_validator(mode="after")
    def _known(self, info: ValidationInfo) -> SearchSettings:
        registry = (info.context or {}).get("registry")
        problems = list(_problems(self.over, registry)) if registry is not None else []
        if problems:
            raise ValidationError.from_exception_data(type(self).__name__, problems)
        return self


def _problems(
    over: Mapping[str, Mapping[str, Sequence[Any]]], registry: plugin.Registry
) -> Iterator[InitErrorDetails]:
    """Yield what the backends refuse of the values."""
    if not over:
        yield problem(("over",), "names no backend; expected `{backend: {key: [values]}}`")
    for name, settings in over.items():
        try:
            backend = registry.get(plugin.ColourModel, name)
        except PluginError as error:
            yield problem(("over", name), f"is an unknown key: {error}")
            continue
        known = list(backend.config.model_fields)
        if not settings:
            yield problem(("over", name), "names no key to vary")
        for key, values in settings.items():
            path = ("over", name, key)
            if key not in known:
                yield problem(path, unknown_key(key, known))
                continue
            if any(value in values[:place] for place, value in enumerate(values)):
                yield problem(path, "has the same value twice")
            for place, value in enumerate(values):
                yield from _refused(backend, key, value, (*path, place))


def _refused(
    backend: plugin.ColourModel, key: str, value: Any, path: tuple[str | int, ...]
) -> Iterator[InitErrorDetails]:
    """Yield what the backend says of one value; other settings are validated elsewhere."""
    try:
        backend.config.model_validate({key: value})
    except ValidationError as error:
        for each in reword(error, backend.config):
            where = tuple(each.get("loc", ()))
            if where[:1] == (key,):
                yield problem(path + where[1:], str(each["type"]), value)


class CorrectionBlock(PluginBlock):
    """A correction of a reference catalogue, by a name that the catalogue knows."""

    descriptor: ClassVar[type[plugin.Descriptor]] = plugin.Correction

    @classmethod
    def choices(cls, context: Context) -> dict[str, plugin.Descriptor]:
        """Return the corrections that the chosen catalogue understands."""
        catalogue: plugin.ReferenceCatalogue | None = context.get("catalogue")
        return {} if catalogue is None else {each.name: each for each in catalogue.corrections}

    @classmethod
    def unknown_kind(cls, kind: str, context: Context) -> str:
        """Return the message for a correction that the catalogue does not know."""
        known = ", ".join(cls.choices(context)) or "none"
        near = did_you_mean(kind, cls.choices(context))
        return f'names no correction of the reference catalogue: "{kind}"{near} (known: {known})'


class ReferenceBlock(PluginBlock):
    """Where reference stars and their spectra come from, and how they are matched."""

    descriptor: ClassVar[type[plugin.Descriptor]] = plugin.ReferenceCatalogue

    match_radius: Annotated[float, InUnit("arcsec")] = as_written("1 arcsec")
    """Largest distance of a match, at the epoch of the visit."""
    corrections: tuple[CorrectionBlock, ...] = ()
    """Corrections of the catalogue, in the order in which they act."""

    @classmethod
    def enter(cls, data: dict[str, Any], context: Context) -> None:
        """Note the chosen catalogue, whose corrections the block may name."""
        kind, known = data.get("kind"), cls.choices(context)
        context["catalogue"] = known.get(kind) if isinstance(kind, str) else None


class LoaderBlock(PluginBlock):
    """How the survey's catalogues are read."""

    descriptor: ClassVar[type[plugin.Descriptor]] = plugin.SurveyLoader


class ExtinctionBlock(PluginBlock):
    """Where the extinction of stars comes from."""

    descriptor: ClassVar[type[plugin.Descriptor]] = plugin.ExtinctionCatalogue


class CurveBlock(PluginBlock):
    """The extinction curve by which spectra are dereddened."""

    descriptor: ClassVar[type[plugin.Descriptor]] = plugin.ExtinctionCurve


class ColourModelBlock(PluginBlock):
    """The model of intrinsic colours, and how it is trained and tested."""

    descriptor: ClassVar[type[plugin.Descriptor]] = plugin.ColourModel

    test_fraction: Real = Field(default=0.25, gt=0, lt=1)
    """Share of the control stars held out to test the model."""
    cross_fit: Switch = True
    """Predict control stars by models trained without them."""
    folds: Whole = Field(default=5, ge=2, description="Number of folds of the cross-fit, by star.")
    seed: Whole = Field(default=1, ge=0)
    """Seed of the split, the folds and the backend."""
    regrow_rounds: Whole = Field(default=2, ge=1)
    """Rounds of visit offsets up to which a model is trained from scratch (with a trend the first
    round has the trend alone); after them a model that is linear in its labels keeps its
    structure."""
    trend: Literal["linear", "quadratic", "none"] = Field("none")
    """A trend of colour with the features that is taken out before training; none is the
    paper's."""
    trend_ridge: Real = Field(default=0.1, gt=0)
    """Ridge of the trend, in standardised features."""
    trend_components: Whole = Field(default=8, ge=1)
    """Principal components whose products a quadratic trend has."""
    standardise: Literal["per_star", "per_wavelength", "none"] = "per_star"
    """Over what the mean and sd of spectra are taken."""
    search: SearchSettings | None = None
    """A search for the backend's settings; by default none."""


class LevelBlock(FlatBlock):
    """One level of offsets; the keys of its kind stand beside these."""

    descriptor: ClassVar[type[plugin.Descriptor]] = plugin.OffsetLevel

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """Name, also of the column offset_<name>."""
    parent: str | None = None
    """Level that this one refines, one listed before it; recorded in the tables of offsets, it
    changes no result."""
    mode: Literal["joint", "sequential"] | None = None
    """The only mode in which the level takes part; by default both."""
    sd: Annotated[float, InUnit("mag")] = Field(
        default=as_written("20 mmag"), validate_default=True, gt=0
    )
    """Standard deviation of its offsets, from which mode joint starts, and which decides where the
    data do not."""
    hold_sd: Switch = False
    """Whether mode joint keeps `sd` instead of estimating it."""


class WriterBlock(PluginBlock):
    """A format in which corrected catalogues are written."""

    descriptor: ClassVar[type[plugin.Descriptor]] = plugin.Writer


class DiagnosticBlock(PluginBlock):
    """A figure of merit that goes into summary.json."""

    descriptor: ClassVar[type[plugin.Descriptor]] = plugin.Diagnostic


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
