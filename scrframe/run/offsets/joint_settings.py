"""What a description asks of the joint solver, and how its rounds and levels are told."""

from __future__ import annotations

from typing import Any

from scrframe.offsets.joint.problem import JointRound, JointSolverSettings
from scrframe.offsets.noise.update import NoiseSettings
from scrframe.offsets.outliers.weights import OutlierSettings
from scrframe.run.plugins import SelectedPlugins
from scrframe.tables import FittedLevel


def describe_round(this: JointRound) -> str:
    """Return one line about a round of weights and variances."""
    return (
        f"    all levels: moved by {1000 * this.moved_mag:.2f} mmag (rms), standard deviations"
        f" by at most {100 * this.change:.1f} per cent, {100 * this.kept:.1f} per cent kept"
    )


def level_labels(level: FittedLevel) -> list[str]:
    """Return what each column of a level stands for, in words."""
    rows = level.labels().to_pylist()

    def said(value: Any) -> str:
        return f"{value:.7g}" if isinstance(value, float) else str(value)

    return [", ".join(f"{name} {said(value)}" for name, value in row.items()) for row in rows]


def joint_settings(plugins: SelectedPlugins, threads: int) -> JointSolverSettings:
    """Return the description's settings as the solver's, which may use some threads."""
    block = plugins.survey.offsets.joint
    levels = plugins.survey.offsets.active_levels()
    return JointSolverSettings(
        max_rounds=block.max_rounds,
        tolerance=block.settled,
        start_mag={level.name: level.sd for level in levels},
        held=frozenset(level.name for level in levels if level.hold_sd),
        seed=block.seed,
        outliers=OutlierSettings(**vars(block.robust)),
        scale=None if block.photometry.estimate else block.photometry.scale,
        floor_mag=None if block.photometry.estimate else block.photometry.floor,
        noise=NoiseSettings(hold_photometry=not block.photometry.estimate),
        threads=max(threads, 1),
    )
