"""`SurveyDescription`: everything that a run does, with the paper's values as defaults."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, PrivateAttr, field_validator, model_validator

from scrframe.config import plugin_blocks as blocks
from scrframe.config.base import CutText, Label, Settings, as_written
from scrframe.config.document import escape, reads_as_text
from scrframe.config.results import (
    AbsoluteSettings,
    CheckSettings,
    MonteCarloSettings,
    ReportSettings,
)
from scrframe.config.simulation import SimulationSettings
from scrframe.errors import did_you_mean
from scrframe.tables.settings import DomainSettings, ReddeningSettings, RobustSettings, TermRules
from scrframe.units import InUnit, Real, Switch, Whole

DEFAULT_ROOT = "${SCRFRAME_DATA:-sample}"
#: The paper's three levels; in mode joint a smooth map of each detector instead of bins.
DEFAULT_LEVELS: tuple[dict[str, Any], ...] = tuple(
    yaml.safe_load("""
- {name: visit, kind: group, by: [visit], sd: 60 mmag}
- {name: ccd_static, kind: group, by: [ccd], mode: joint}
- {name: ccd, kind: group, by: [visit, ccd]}
- {name: map, kind: polynomial, by: [ccd], sd: 10 mmag, mode: joint}
- {name: pixel, kind: bin, by: [ccd], size: 256 pix, mode: sequential}
""")
)
#: Terms that the data may ask for, in the order of their trial.
DEFAULT_CANDIDATES: tuple[dict[str, Any], ...] = tuple(
    yaml.safe_load("""
- {name: fine_map, kind: polynomial, by: [ccd], lowest: 3, order: 4, sd: 3 mmag}
- {name: law_field, kind: sky_field, of: extinction, sd: 20 mmag,
   scale: [0.1 deg, 0.2 deg, 0.4 deg, 0.8 deg, 1.6 deg, 3.2 deg, 6.4 deg]}
- {name: r_v, kind: sky_field, of: r_v_slope, sd: 50 mmag,
   scale: [0.2 deg, 0.4 deg, 0.8 deg, 1.6 deg, 3.2 deg, 6.4 deg]}
- {name: gradient, kind: polynomial, over: focal_plane, by: [visit], order: 1, spread: each,
   sd: 3 mmag}
- {name: surface, kind: polynomial, over: focal_plane, by: [visit], lowest: 2, order: 4,
   spread: each, sd: 3 mmag}
- {name: ccd_colour, kind: colour, by: [ccd], sd: 3 mmag}
- {name: airmass_colour, kind: colour, by: [], of: airmass, sd: 10 mmag}
- {name: season_colour, kind: colour, by: [season], sd: 3 mmag}
- {name: season_map, kind: polynomial, by: [ccd, season], sd: 3 mmag}
- {name: sky, kind: sky_field, scale: [0.2 deg, 0.4 deg, 0.8 deg], sd: 10 mmag}
""")
)
#: The stars that fix u_ZP in the paper.
DEFAULT_ZERO_POINT = ("mag > 14", "mag < 17", "colour > 1", "colour < 2", "extinction < 1")

Magnitude = Annotated[float, InUnit("mag")]
#: Properties of stars that their scatter about the model may depend on.
ScatterProperty = Literal["magnitude", "extinction", "colour"]


class DataSettings(Settings):
    """Where the input lies."""

    root: str = Field(
        default="sample",
        min_length=1,
        description="Data root; `sample` is the built-in sample survey, a directory so called"
        " is ./sample. Relative paths start at the working directory. Default"
        f" {DEFAULT_ROOT}.",
    )
    on_bad_file: Literal["stop", "skip"] = "stop"
    """Whether a damaged catalogue stops the run or is left out and listed."""


class ExtinctionSettings(Settings):
    """The extinction of stars and the extinction curve."""

    values: blocks.ExtinctionBlock
    curve: blocks.CurveBlock
    second_values: blocks.ExtinctionBlock | None = None
    """Another extinction catalogue: the shift that it would cause enters mag_cal_sys of mode
    joint."""
    second_curve: blocks.CurveBlock | None = None
    """Another extinction curve, for the same purpose."""
    regress: Switch = True
    """Whether E is drawn to the mean of its field by the share that its errors have in the spread
    there, so that they flatten no slope on E and move no zero point."""


class SelectionSettings(Settings):
    """Which detections calibrate, and which of them train the colour model."""

    calibration: tuple[CutText, ...] = Field(min_length=1)
    """Cuts of the Calibration Sample, in the order of counting."""
    control: tuple[CutText, ...] = Field(min_length=1)
    """Further cuts of the Control Sample, which trains the model."""


class PhotometrySettings(Settings):
    """The true photometric error: (scale * catalogued)^2 + floor^2, from repeats."""

    estimate: Switch = True
    """Whether scale and floor are estimated where repeats allow it."""
    scale: Real = Field(default=1.0, gt=0)
    """True over catalogued error, where it is not estimated."""
    floor: Magnitude = Field(default=as_written("5 mmag"), ge=0)
    """Error of every magnitude, where it is not estimated."""


class SystematicSettings(Settings):
    """What mag_cal_sys includes: the shift that each alternative model would cause."""

    law: Switch = Field(default=True, description="Another order of the reddening law.")
    law_regions: Switch = True
    """The law fitted without one eighth of the sky, each in turn."""
    reference_region: Switch = True
    """Training without one quarter of the control stars' sky, each in turn."""
    colour_model: Switch = Field(default=True, description="The trend alone as colour model.")
    magnitude: Switch = True
    """What calibrated magnitudes still have in proportion to the magnitude, over the spread of
    magnitudes: the data do not tell a non-linear detector from errors of the model."""
    extinction: Switch = True
    """Extinctions of another scale and zero point."""
    extinction_scale: Real = Field(default=0.02, ge=0)
    """Relative uncertainty of the scale of extinctions."""
    extinction_zero: Magnitude = Field(default=as_written("10 mmag"), ge=0)
    """Uncertainty of their zero point."""
    coherent: Magnitude = Field(default=as_written("3 mmag"), ge=0)
    """What stars of a place may have in common that spectra do not show, before the data are asked
    how much that is; 0 leaves it out."""


class JointSettings(Settings):
    """How all levels are solved at once; read in mode joint only."""

    margin: Magnitude = Field(default=as_written("0.3 mag"), ge=0)
    """The solve selects on predicted magnitudes, this far inside the limits of
    selection.calibration; the sample reaches as far beyond them."""
    reserved: Real = Field(default=0.03, ge=0, lt=0.5)
    """Share of the stars held out of training and solving, to test the result."""
    scatter: tuple[ScatterProperty, ...] = as_written(("magnitude", "extinction", "colour"))
    """What the stars' scatter about the model depends on."""
    scatter_degree: Whole = Field(default=2, ge=1, le=3)
    """Degree of that dependence, in the logarithm."""
    max_rounds: Whole = Field(default=15, ge=2)
    """Largest number of rounds of weights and variances."""
    settled: Real = Field(default=0.01, gt=0)
    """Relative change of a standard deviation below which it has converged."""
    seed: Whole = Field(default=1, ge=0, description="Seed of the reserved stars and of draws.")
    photometry: PhotometrySettings = Field(default_factory=PhotometrySettings)
    robust: RobustSettings = Field(default_factory=RobustSettings)
    domain: DomainSettings = Field(default_factory=DomainSettings)
    systematics: SystematicSettings = Field(default_factory=SystematicSettings)


class TermSettings(Settings):
    """Which terms mode joint tries beside the levels, and what each must show to be kept."""

    candidates: tuple[blocks.LevelBlock, ...] = as_written(DEFAULT_CANDIDATES)
    """Terms in the order of their trial; one whose columns a survey does not have, or whose name
    a level has, is left out."""
    without: tuple[str, ...] = ()
    """Names of candidates that are not tried."""
    rules: TermRules = Field(default_factory=TermRules)

    @model_validator(mode="after")
    def _known(self) -> Self:
        names = [level.name for level in self.candidates]
        for name in self.without:
            if name not in names:
                near = did_you_mean(name, names)
                raise ValueError(f'is told to leave out "{name}", which is no candidate{near}')
        return self


def _or_a_word(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [*schema["anyOf"], {"enum": ["auto", "none"]}]


class OffsetSettings(Settings):
    """The hierarchy of offsets."""

    mode: Literal["joint", "sequential"] = "joint"
    """How the levels are solved: all at once, or the paper's means one after the other."""
    min_stars: Whole = Field(default=20, ge=1)
    """Detections of the Calibration Sample that a group needs for an offset of its own in mode
    sequential."""
    max_rounds: Whole = Field(default=20, ge=1)
    """Largest number of rounds of colour model and visit offsets; they end sooner when the offsets
    have settled, or no longer come closer to it."""
    tolerance: Annotated[float, InUnit("mag")] = as_written("0.5 mmag")
    """Largest change of the visit offsets when they have converged."""
    reference_colour: Magnitude | None = None
    """Observed colour, band less reference magnitude, at which offsets hold where colour terms
    differ; what another colour adds is a column of its own. By default 2.0 mag, or the median of
    the sample where it hardly reaches that."""
    levels: tuple[blocks.LevelBlock, ...] = Field(default=as_written(DEFAULT_LEVELS), min_length=1)
    """Levels, in the order in which they are solved."""
    terms: Annotated[TermSettings | None, Field(json_schema_extra=_or_a_word)] = None
    """auto, or a block of candidates and rules: mode joint tries further terms, and keeps those
    that the data ask for; none: the levels are all there is. By default auto where no levels
    are named, else none."""
    joint: JointSettings = as_written({})

    @model_validator(mode="before")
    @classmethod
    def _terms(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        words: dict[str, Any] = {"auto": {}, "none": None}
        terms = data.get("terms", "none" if "levels" in data else "auto")
        if isinstance(terms, str):
            if terms not in words:
                raise ValueError(f'has terms: "{terms}"; expected auto, none or a block')
            terms = words[terms]
        return {**data, "terms": terms}

    def candidates(self) -> tuple[blocks.LevelBlock, ...]:
        """Return the terms that are tried in the chosen mode, beside the levels."""
        if self.terms is None or self.mode != "joint":
            return ()
        out = {*self.terms.without, *(level.name for level in self.active_levels())}
        return tuple(each for each in self.terms.candidates if each.name not in out)

    def with_terms(self, kept: Iterable[blocks.LevelBlock]) -> OffsetSettings:
        """Return the settings with terms among the levels, and nothing left to try."""
        return self.model_copy(update={"levels": (*self.levels, *kept), "terms": None})

    def active_levels(self) -> tuple[blocks.LevelBlock, ...]:
        """Return the levels that take part in the chosen mode."""
        return tuple(level for level in self.levels if level.mode in (None, self.mode))

    @field_validator("levels")
    @classmethod
    def _tree(cls, levels: tuple[blocks.LevelBlock, ...]) -> tuple[blocks.LevelBlock, ...]:
        before: list[str] = []
        for level in levels:
            if level.name in before:
                raise ValueError(f'has two levels called "{level.name}"')
            if level.name in ("total", "total_err", "level", "none", "constant", "colour"):
                raise ValueError(f'has a level called "{level.name}", a reserved word')
            if level.parent is not None and level.parent not in before:
                raise ValueError(
                    f'has level "{level.name}" with parent "{level.parent}", which is not a level'
                    f" before it ({', '.join(before) or 'none'})"
                )
            before.append(level.name)
        return levels


class SurveyDescription(Settings):
    """A survey and its calibration; `load_survey` makes one from YAML."""

    name: Label = Field(description="Name of the survey, also of its directory of results.")
    band: str = Field(min_length=1, description="Band to be calibrated, as the survey names it.")
    data: DataSettings = Field(default_factory=DataSettings)
    loader: blocks.LoaderBlock
    reference: blocks.ReferenceBlock
    extinction: ExtinctionSettings
    selection: SelectionSettings
    colour_model: blocks.ColourModelBlock
    reddening: ReddeningSettings = Field(default_factory=ReddeningSettings)
    offsets: OffsetSettings = as_written({})
    zero_point: tuple[CutText, ...] = as_written(DEFAULT_ZERO_POINT)
    """Cuts of the detections whose mean difference is u_ZP."""
    absolute: AbsoluteSettings | None = None
    """Ties the zero point to AB or Vega, by standards or synthetic photometry; by default
    magnitudes are on the survey's own system."""
    writers: tuple[blocks.WriterBlock, ...] = as_written(({"kind": "fits_catalogue"},))
    """Formats of the corrected catalogues."""
    diagnostics: tuple[blocks.DiagnosticBlock, ...] = as_written(({"kind": "spread"},))
    """Figures of merit that go into summary.json."""
    montecarlo: MonteCarloSettings = as_written({})
    checks: CheckSettings = as_written({})
    report: ReportSettings = Field(default_factory=ReportSettings)
    simulation: SimulationSettings = Field(default_factory=SimulationSettings)

    _source: Path | None = PrivateAttr(None)

    @field_validator("reddening")
    @classmethod
    def _slopes_need_constants(cls, block: ReddeningSettings) -> ReddeningSettings:
        if block.field_slopes and not block.visit_constants:
            raise ValueError("has field_slopes: true, which needs visit_constants: true")
        return block

    @property
    def source(self) -> Path | None:
        """The file that the description was loaded from."""
        return self._source

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SurveyDescription) and self.canonical() == other.canonical()

    def __hash__(self) -> int:
        return hash(self.digest())

    def canonical(self) -> dict[str, Any]:
        """Return the description as plain data: text, numbers, lists and mappings."""
        return self.model_dump(mode="json")

    def with_data_root(self, root: str) -> SurveyDescription:
        """Return the description with another data root, as an option of a command gives it."""
        data = self.data.model_copy(update={"root": root})
        return self.model_copy(update={"data": data})

    def as_yaml(self) -> str:
        """Return the description as used, every default included, as YAML."""
        data = escape(self.canonical())
        return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)

    def digest(self) -> str:
        """Return the SHA-256 of what the description says, wherever its file lies."""
        text = json.dumps(self.canonical(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class _Dumper(yaml.SafeDumper):
    """Quotes text that our own reader would take for something else."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if reads_as_text(text) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
