"""What the joint solution is set up with: settings, stars and levels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scrframe.offsets.joint import JointSettings
from scrframe.offsets.noise import NoiseSettings
from scrframe.offsets.robust import RobustSettings
from scrframe.pipeline.chosen import Chosen
from scrframe.pipeline.domain import domain_flags, star_domain
from scrframe.pipeline.selection import reserved_stars
from scrframe.tables import FittedLevel, MatchedStars

BoolArray = npt.NDArray[np.bool_]


def joint_settings(chosen: Chosen, threads: int) -> JointSettings:
    """Return the description's settings as the solver's, which may use some threads."""
    block = chosen.survey.offsets.joint
    levels = chosen.survey.offsets.active_levels()
    return JointSettings(
        robust=block.robust.enabled,
        max_rounds=block.max_rounds,
        tolerance=block.settled,
        start_mag={level.name: level.sd for level in levels},
        held=frozenset(level.name for level in levels if level.hold_sd),
        seed=block.seed,
        outliers=RobustSettings(span_mag=block.robust.span, min_kept=block.robust.min_kept),
        scale=None if block.photometry.estimate else block.photometry.scale,
        floor_mag=None if block.photometry.estimate else block.photometry.floor,
        noise=NoiseSettings(hold_photometry=not block.photometry.estimate),
        threads=max(threads, 1),
    )


@dataclass(frozen=True)
class StarsJudged:
    """Who of the stars may take part.

    Attributes
    ----------
    reserved : ndarray of bool, shape (s,)
        Neither train nor solve; they judge the result.
    outside : ndarray of int32, shape (s,)
        Flags of stars unlike any training star; 0 for those inside.
    distance : ndarray of float32, shape (s,), or None
        From the training stars; above 1 a star is outside. None where nobody asked.
    """

    reserved: BoolArray
    outside: npt.NDArray[np.int32]
    distance: npt.NDArray[np.float32] | None = None

    @property
    def eligible(self) -> BoolArray:
        """Return who may take part, shape (s,)."""
        return np.asarray(~self.reserved & (self.outside == 0))


def judge_stars(chosen: Chosen, sample: MatchedStars) -> StarsJudged:
    """Reserve stars, and find those that the control stars do not represent."""
    block = chosen.survey.offsets.joint
    reserved = reserved_stars(sample.stars["source_id"], block.reserved, block.seed)
    # Where nothing is trained, no star is unlike the training stars.
    if not block.domain.enabled or chosen.reference.provides == "colour":
        return StarsJudged(reserved, np.zeros(len(sample.stars), dtype=np.int32))
    domain = star_domain(sample, reserved, block.domain.quantile, block.seed)
    known = np.where(np.isfinite(domain.distance), domain.distance, np.nan)
    return StarsJudged(reserved, domain_flags(domain), known.astype(np.float32))


def prepare_levels(chosen: Chosen, matched: MatchedStars) -> tuple[FittedLevel, ...]:
    """Return the levels of the description's mode, prepared on a sample."""
    blocks = chosen.survey.offsets.active_levels()
    levels = tuple(
        descriptor.prepare(block.name, matched, block.settings)
        for descriptor, block in zip(chosen.levels, blocks, strict=True)
    )
    for level, block in zip(levels, blocks, strict=True):
        level.parent = block.parent
    return levels


def level_needs(chosen: Chosen) -> dict[str, tuple[str, ...]]:
    """Return the columns that each level of the description's mode reads, by its name."""
    blocks = chosen.survey.offsets.active_levels()
    return {
        block.name: tuple(descriptor.needs(block.settings))
        for descriptor, block in zip(chosen.levels, blocks, strict=True)
    }
