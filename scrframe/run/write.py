"""The products of a run but for its catalogues: stars, star catalogue, solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from scrframe.offsets.apply import apply_solution
from scrframe.products.calibration_stars import star_table
from scrframe.products.files import write_json, write_parquet, write_text
from scrframe.products.solution import write_solution, write_visit_covariance
from scrframe.products.star_catalogue import STAR_CATALOGUE, star_catalogue
from scrframe.products.visits import write_visits
from scrframe.run.offsets.solve import FittedModel, Solved
from scrframe.run.plugins import application_record
from scrframe.run.sample.builder import CalibrationSample
from scrframe.run.session import Session
from scrframe.run.workspace import versions
from scrframe.scr.iteration import ModelMagnitudes
from scrframe.tables import Solution
from scrframe.tables.solution import OWN_SYSTEM, AbsoluteTie
from scrframe.version import __version__


@dataclass(frozen=True)
class TiedSolution:
    """A solution on its magnitude system.

    Attributes
    ----------
    solved : Solved
    model : ModelMagnitudes
        On the same system.
    tie : AbsoluteTie or None
        What moved both; None on the survey's own system.
    """

    solved: Solved
    model: ModelMagnitudes
    tie: AbsoluteTie | None = None

    @property
    def solution(self) -> Solution:
        """The solution itself."""
        return self.solved.solution


def stars_of(sample: CalibrationSample, fitted: FittedModel, tied: TiedSolution) -> pa.Table:
    """Return the table of calibration stars, a row for each detection of the sample."""
    matched, solved = sample.matched, tied.solved
    corrections = apply_solution(solved.solution, matched.detections)
    in_test = np.isin(matched.star, fitted.plan.test)
    return star_table(matched, tied.model, corrections, {**solved.columns, "in_test": in_test})


def write_star_products(session: Session, tied: TiedSolution, stars: pa.Table) -> None:
    """Write ``stars.parquet`` and the star catalogue."""
    folder = session.workspace.run
    stamp = {
        "scrframe_version": __version__,
        "survey": session.plugins.survey.name,
        "data_root": session.data.label,
        "data_note": session.data.note,
        "magnitude_system": OWN_SYSTEM,
        **(tied.tie.metadata() if tied.tie is not None else {}),
    }
    write_parquet(folder / "stars.parquet", stars, stamp)
    write_parquet(folder / STAR_CATALOGUE, star_catalogue(stars), stamp)


def write_solution_folder(session: Session, sample: CalibrationSample, solved: Solved) -> None:
    """Write ``solution/``: all that applies and judges the offsets, as open tables."""
    folder, note = session.workspace.run / "solution", session.data.note
    levels = session.plugins.survey.offsets.active_levels()
    settings = {block.name: block.settings.model_dump(mode="json") for block in levels}
    write_solution(folder, solved.solution, settings)
    write_visits(folder, sample.visits, note)
    if solved.solution.exposures is not None:
        write_json(folder / "design_report.json", {"data_note": note, **solved.findings})
    if solved.visit_covariance is not None:
        write_visit_covariance(
            folder / "visit_covariance.fits", solved.covered, solved.visit_covariance, note
        )
    write_text(folder / "description.yaml", session.plugins.survey.as_yaml())


def provenance(session: Session, fitted: FittedModel) -> dict[str, Any]:
    """Return what a solution says of its origin, as plain JSON."""
    survey = session.plugins.survey
    return {
        "survey": survey.name,
        "band": survey.band,
        "magnitude_system": OWN_SYSTEM,
        "data_root": session.data.label,
        "data_note": session.data.note,
        "versions": versions(),
        "description_sha256": survey.digest(),
        "seed": survey.colour_model.seed,
        **({"search": fitted.search["chosen"]} if fitted.search else {}),
        "application": application_record(session.plugins),
    }
