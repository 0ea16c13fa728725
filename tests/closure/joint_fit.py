"""Hand a drawn sample to the joint solver as a run would, and bring back its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from scrframe.builtin.offset_levels.keys import GroupConfig, prepare_group
from scrframe.builtin.offset_levels.maps import BinConfig, prepare_bin
from scrframe.builtin.offset_levels.sky import SkyCellConfig, prepare_sky_cell
from scrframe.builtin.offset_levels.slope import SlopeConfig, prepare_slope
from scrframe.builtin.offset_levels.time import RandomWalkConfig, prepare_random_walk
from scrframe.offsets.joint.fit import fit_joint
from scrframe.offsets.joint.problem import JointFit, JointProblem, JointSolverSettings
from scrframe.offsets.joint.results import JointResults
from scrframe.offsets.noise.model import covariates
from scrframe.offsets.sequential import OffsetProblem, solve_sequential
from scrframe.tables import Detections, FittedLevel, MatchedStars, OffsetTable

from . import blup
from .drawn import Drawn, Sample, Spread

#: Of the visits, in turn.
AIRMASS = np.linspace(1.0, 1.6, 7)
#: Terms of the joint solution by the level that they are compared with.
TERMS = {"visit": ("visit",), "ccd": ("static", "drift", "jitter"), "pixel": ("pixel",)}


@dataclass(frozen=True)
class Offsets:
    """Offsets and their errors in the gauge, by detection, shape (n,), in mag."""

    offset: Mapping[str, np.ndarray]
    error: Mapping[str, np.ndarray]

    @property
    def total(self) -> np.ndarray:
        """Sum of all levels."""
        return sum(self.offset.values())


class Answer:
    """What the joint solution says of a drawn sample; errors are worked out when asked for."""

    def __init__(self, problem: JointProblem, sample: Sample) -> None:
        self.sample, self._problem = sample, problem
        self.fit: JointFit = fit_joint(problem)

    @cached_property
    def _results(self) -> JointResults:
        return JointResults(self.fit)

    @cached_property
    def _pixel(self) -> OffsetTable:
        return self._results.table("pixel")

    @cached_property
    def terms(self) -> dict[str, np.ndarray]:
        """Constant and offsets by level of the detections of the solve, as fitted, (n,)."""
        model, found = self.fit.design.model, {}
        for level, names in {"constant": ("constant",), **TERMS}.items():
            kept = np.zeros(model.width)
            for name in names:
                columns = self.fit.design.term(name).columns
                kept[columns] = self.fit.estimate.parameters[columns]
            found[level] = model.values(kept)
        return found

    def at(self, sample: Sample) -> Offsets:
        """Return offsets of detections, in the solve or not, whose exposures are in it."""
        exposures, of = self._results.exposures, self._exposure(sample)
        visit = self.fit.design.exposures.visit[of]
        level = next(level for level in self._problem.levels if level.name == "pixel")
        column = level.design(table_of(sample)).partition()
        pixel_error = self._pixel.err_mag[column]
        return Offsets(
            {
                "visit": exposures.visit_mag[visit],
                "ccd": exposures.ccd_mag[of],
                "pixel": self._pixel.offset_mag[column],
            },
            {
                "visit": exposures.visit_err_mag[visit],
                "ccd": exposures.ccd_err_mag[of],
                "pixel": pixel_error,
                "total": np.hypot(exposures.err_mag[of], pixel_error),
            },
        )

    @cached_property
    def own(self) -> Offsets:
        """Offsets of the detections of the solve."""
        return self.at(self.sample)

    def errors(self, truth: Drawn) -> blup.Errors:
        """Return estimated less true offsets of the detections of the solve, in gauge."""
        offsets = {level: self.terms[level] for level in TERMS}
        return blup.errors(self.sample, truth, **offsets)

    def noise_mag(self, sample: Sample) -> np.ndarray:
        """Return the estimated standard deviation of detections' noise, shape (n,)."""
        return np.sqrt(self.fit.estimate.noise.variance(sample.error_mag))

    @property
    def correction_mag(self) -> np.ndarray:
        """Constant and corrections of the detections of the solve, shape (n,)."""
        return sum(self.terms.values())

    @property
    def sd(self) -> dict[str, tuple[float, float]]:
        """Standard deviation by component and its stated error; scale and floor are two."""
        noise, errors = self.fit.estimate.noise, self.fit.noise_errors
        found = {part.name: (part.sd_mag, part.err_mag) for part in self.fit.components}
        variance = noise.star_variance(self._problem.covariates)
        star = float(np.sqrt(np.mean(variance)))
        # The first coefficient is of the logarithm of every star's standard deviation.
        found["star"] = (star, star * float(errors[2]))
        found["scale"] = (noise.scale, float(errors[0]))
        found["floor"] = (noise.floor_mag, float(errors[1]))
        return found

    def shift(self, delta_mag: np.ndarray) -> np.ndarray:
        """Return by how much exposures move if the differences of the solve do, shape (x,)."""
        return self._results.shift(delta_mag)

    def _exposure(self, sample: Sample) -> np.ndarray:
        exposures = self.fit.design.exposures
        # Keys of visits ascend with their numbers; CCDs are numbered from 1 in tables.
        number = np.array([int(key.split("_")[1]) for key in exposures.visits])[exposures.visit]
        place = np.full(sample.visits * sample.ccds, -1)
        place[(exposures.ccd - 1) * sample.visits + number] = np.arange(len(exposures))
        return place[sample.exposure]


def table_of(sample: Sample) -> Detections:
    """Return the detections with the columns that levels read."""
    star, n = sample.star, len(sample)

    def keys(prefix: str, code: np.ndarray) -> pa.Array:
        labels = [f"{prefix}_{number:04d}" for number in range(int(code.max()) + 1)]
        return pa.DictionaryArray.from_arrays(pa.array(code.astype(np.int32)), labels)

    columns = {
        "visit": keys("visit", sample.visit),
        "band": keys("band", np.zeros(n, int)),
        "file": keys("file", sample.visit),
        "field": keys("field", sample.field[sample.visit]),
        "ccd": sample.ccd + 1,
        "extension": sample.ccd + 1,
        "row": np.arange(n),
        "ra": sample.ra_deg[star],
        "dec": sample.dec_deg[star],
        "star_ra": sample.ra_deg[star],
        "star_dec": sample.dec_deg[star],
        "mjd": sample.mjd[sample.visit],
        "x": sample.x,
        "y": sample.y,
        "mag": sample.mag[star],
        "mag_err": sample.error_mag,
        "source_id": star,
        "extinction": sample.extinction[star],
        "colour0": sample.colour0[star],
        "relative_colour": (sample.colour0 + 1.42 * sample.extinction)[star] - 2.0,
        "airmass": AIRMASS[sample.visit % len(AIRMASS)],
    }
    return Detections.from_columns(columns)


def solve(sample: Sample, drawn: Drawn, spread: Spread, slopes: bool = True) -> Answer:
    """Solve with the settings that a run has by default.

    Parameters
    ----------
    slopes : bool
        Whether the slopes that the spread holds are in the model, too.
    """
    table = table_of(sample)
    properties = {
        "magnitude": sample.mag,
        "extinction": sample.extinction,
        "colour": sample.colour0,
    }
    problem = JointProblem(
        levels=tuple(_levels(table, spread, slopes)),
        table=table,
        delta_mag=drawn.delta,
        star=sample.star,
        error_mag=sample.error_mag,
        covariates=covariates(properties, 2),
        settings=JointSolverSettings(),
    )
    return Answer(problem, sample)


def sequential(sample: Sample, drawn: Drawn) -> blup.Errors:
    """Return the errors of the paper's means."""
    table = table_of(sample)
    matched = _matched(table)
    levels = (
        prepare_group("visit", matched, GroupConfig(by=("visit",))),
        prepare_group("ccd", matched, GroupConfig(by=("visit", "ccd"))),
        prepare_bin("pixel", matched, BinConfig()),
    )
    solved = solve_sequential(OffsetProblem(levels, table, drawn.delta, min_stars=20))
    parts = {}
    for level, offsets in zip(levels, solved.tables, strict=True):
        column = level.design(table).partition()
        # A bin of too few stars goes uncorrected, which is the best guess that is left.
        parts[level.name] = np.nan_to_num(offsets.offset_mag[column])
    return blup.errors(sample, drawn, **parts)


def _levels(table: Detections, spread: Spread, slopes: bool) -> list[FittedLevel]:
    """Return the levels of the joint solution that the spread asks for."""
    matched = _matched(table)
    memory = f"{spread.drift_days} d"
    levels: list[FittedLevel] = [
        prepare_group("visit", matched, GroupConfig(by=("visit",))),
        prepare_group("static", matched, GroupConfig(by=("ccd",))),
        prepare_random_walk("drift", matched, RandomWalkConfig(memory=memory)),
        prepare_group("jitter", matched, GroupConfig(by=("visit", "ccd"))),
        prepare_bin("pixel", matched, BinConfig()),
    ]
    if spread.slope and slopes:
        config = SlopeConfig(of=("extinction",), by=("field",))
        levels.append(prepare_slope("slope", matched, config))
    if spread.cell:
        levels.append(prepare_sky_cell("cell", matched, SkyCellConfig()))
    return levels


def _matched(table: Detections) -> MatchedStars:
    none = np.zeros(len(table), dtype=np.int64)
    return MatchedStars(table, table, none, np.zeros((1, 1), np.float32), none == 1)
