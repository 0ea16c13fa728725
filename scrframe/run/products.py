"""What a run leaves: its record, of which ``summary.json`` is made, and its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from scrframe.config import SurveyDescription
from scrframe.offsets.apply import apply_solution
from scrframe.plugin import Diagnostic
from scrframe.products.files import write_json, write_parquet, write_text
from scrframe.products.solution import (
    seal_solution,
    write_solution,
    write_visits,
)
from scrframe.products.stars import (
    STAR_CATALOGUE,
    judged_by_reserved,
    law_summary,
    level_statistics,
    star_catalogue,
    star_table,
)
from scrframe.products.visit_covariance import write_visit_covariance
from scrframe.run.colour_model import FittedModel
from scrframe.run.correct import Corrected, PartCorrected
from scrframe.run.data import DataSource
from scrframe.run.keys import versions
from scrframe.run.offsets.solve import Solved
from scrframe.run.plugins import SelectedPlugins, application_record
from scrframe.run.sample.builder import CalibrationSample
from scrframe.run.sample.selection import depends_on_magnitude
from scrframe.run.session import Session, StepMonitor
from scrframe.scr.iteration import ModelMagnitudes
from scrframe.tables import Solution
from scrframe.tables.levels import COLOUR
from scrframe.tables.solution import OWN_SYSTEM, AbsoluteTie
from scrframe.version import __version__


@dataclass(frozen=True)
class RunRecord:
    """What the steps of a run have left to be said of them."""

    survey: SurveyDescription
    data: DataSource
    #: Hash of each input file.
    input_sha256: Mapping[str, str]
    #: Where those of them are from that were fetched from archives.
    fetched: tuple[Mapping[str, Any], ...]
    #: What ``summary.json`` says of these steps, as plain JSON.
    sample: Mapping[str, Any]
    model: Mapping[str, Any]
    solution: Mapping[str, Any]
    #: Set when they are corrected.
    catalogues: tuple[PartCorrected, ...] = ()
    #: Catalogues that were damaged after they had been read, and why they were left out.
    left_out: Mapping[str, str] = field(default_factory=dict)

    def with_catalogues(self, corrected: Corrected) -> RunRecord:
        """Return the record with what was corrected, and what was left out then."""
        return replace(self, catalogues=corrected.parts, left_out=corrected.left_out)

    def summary(self, monitor: StepMonitor) -> dict[str, Any]:
        """Return the content of ``summary.json``, with what the steps took so far."""
        survey = self.survey
        return {
            "scrframe_version": versions()["scrframe"],
            "survey": survey.name,
            "band": survey.band,
            "data_root": self.data.label,
            "data_note": self.data.note,
            **self.sample,
            "skipped_catalogues": {**self.sample["skipped_catalogues"], **self.left_out},
            **self.model,
            **self.solution,
            "catalogues": [asdict(part) for part in self.catalogues],
            "steps": monitor.steps,
            "seconds": monitor.seconds,
            "peak_memory_mb": monitor.peak_memory_mb,
            "seeds": {"colour_model": survey.colour_model.seed},
            "versions": versions(),
            "description_sha256": survey.digest(),
            "input_sha256": dict(self.input_sha256),
            "fetched": [dict(each) for each in self.fetched],
        }


def sample_record(sample: CalibrationSample, survey: SurveyDescription) -> dict[str, Any]:
    """Return what was read, what the cuts left of it, and which catalogues were left out."""
    matched = sample.matched
    counts = {
        "catalogues": len(sample.parts),
        "visits": len(sample.visits),
        "calibration_cuts": with_margins(sample.cut_flow, survey),
        "control_cuts": list(sample.control_cut_flow),
        "calibration": {"detections": len(matched.detections), "stars": len(matched.stars)},
        "control": {
            "detections": int(matched.in_control.sum()),
            "stars": len(np.unique(matched.star[matched.in_control])),
        },
    }
    return {"counts": counts, "skipped_catalogues": dict(sample.skipped)}


def model_record(fitted: FittedModel, survey: SurveyDescription) -> dict[str, Any]:
    """Return how the colour model was trained, and how well it predicts the test stars."""
    model = fitted.model
    colour_model = {
        "kind": survey.colour_model.kind,
        "training_stars": len(fitted.plan.train),
        "test": asdict(model.test),
        "rounds": [asdict(this) for this in model.rounds],
        "converged": model.converged,
        **({"search": dict(fitted.search)} if fitted.search else {}),
    }
    return {"colour_model": colour_model}


def solution_record(
    plugins: SelectedPlugins, solved: Solved, model: ModelMagnitudes, stars: pa.Table
) -> dict[str, Any]:
    """Return law, offsets, zero point and figures of merit of a solution and its stars."""
    solution, corrected = solved.solution, np.isfinite(stars.column("mag_cal").to_numpy())
    colour0, extinction = (stars.column(name).to_numpy() for name in ("colour0", "extinction"))
    joint = {**solved.record, "judged_by": judged_by_reserved(stars)} if solved.record else {}
    diagnostics = {
        block.kind: plugins.registry.get(Diagnostic, block.kind).compute(stars, block.settings)
        for block in plugins.survey.diagnostics
    }
    return {
        "reddening_law": law_summary(model, colour0, extinction),
        "offsets": {
            "mode": plugins.survey.offsets.mode,
            "levels": level_statistics(solution),
            "u_ZP_mag": solution.zero_point_mag,
            "uncorrected_fraction": float(1 - corrected.mean()),
            **({"colour": asdict(solution.colour)} if solution.colour else {}),
            **({"joint": joint} if joint else {}),
        },
        "magnitude_system": solution.system,
        **({"absolute": dict(solution.absolute)} if solution.absolute else {}),
        "diagnostics": diagnostics,
    }


def with_margins(
    rows: Sequence[Mapping[str, Any]], survey: SurveyDescription
) -> list[dict[str, Any]]:
    """Return counts at cuts, each with how far the sample reaches beyond the cut's limits."""
    offsets = survey.offsets
    margin = offsets.joint.margin if offsets.mode == "joint" else 0.0
    cuts = survey.selection.calibration
    reached = {cut.text: margin for cut in cuts if depends_on_magnitude(cut)}
    return [{**row, "margin_mag": reached.get(row["cut"], 0.0)} for row in rows]


@dataclass(frozen=True)
class TiedSolution:
    """A solution on its magnitude system."""

    solved: Solved
    #: On the same system.
    model: ModelMagnitudes
    #: What moved both; None on the survey's own system.
    tie: AbsoluteTie | None = None

    @property
    def solution(self) -> Solution:
        """The solution itself."""
        return self.solved.solution


def stars_of(sample: CalibrationSample, fitted: FittedModel, tied: TiedSolution) -> pa.Table:
    """Return the table of calibration stars, a row for each detection of the sample."""
    matched, solved = sample.matched, tied.solved
    # Colours are of the survey's own system: a tie moves the model magnitudes later.
    colour = fitted.model.model_mag - matched.of_star("reference_mag")
    detections, terms = matched.detections, solved.solution.colour
    if terms is not None:
        detections = detections.with_columns({COLOUR: colour - terms.reference_mag})
    corrections = apply_solution(solved.solution, detections)
    in_test = np.isin(matched.star, fitted.plan.test)
    further = {**solved.columns, "in_test": in_test}
    return star_table(matched, tied.model, corrections, colour, further)


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
    write_visits(folder, sample.visits, solved.solution)
    if solved.solution.exposures is not None:
        write_json(folder / "design_report.json", {"data_note": note, **solved.findings})
    if solved.visit_covariance is not None:
        write_visit_covariance(
            folder / "visit_covariance.fits", solved.covered, solved.visit_covariance, note
        )
    write_text(folder / "description.yaml", session.plugins.survey.as_yaml())
    seal_solution(folder)


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
