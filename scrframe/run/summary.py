"""summary.json: the figures of merit of a run, and how it came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from scrframe.config import SurveyDescription
from scrframe.products.calibration_stars import judged_by_reserved, law_summary, level_statistics
from scrframe.run.correct.catalogues import PartCorrected
from scrframe.run.offsets.solve import Solved
from scrframe.run.progress import StepMonitor
from scrframe.run.sample.detections import PartRead
from scrframe.run.sample.selection import depends_on_magnitude
from scrframe.run.workspace import versions
from scrframe.scr.iteration import ModelMagnitudes
from scrframe.scr.training import TrainingPlan
from scrframe.tables import MatchedStars

if TYPE_CHECKING:
    from scrframe.run.sample.builder import SampleBuilder


@dataclass
class Story:
    """What a run has to tell, gathered as it goes.

    Parameters
    ----------
    survey : SurveyDescription
    root_label : str
        ``sample`` or the path of the data root.
    note : str
        What every product says of its data; empty for real data.
    monitor : StepMonitor
    """

    survey: SurveyDescription
    root_label: str
    note: str
    monitor: StepMonitor
    inputs: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[PartRead, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    model: ModelMagnitudes | None = None
    plan: TrainingPlan | None = None
    search: Mapping[str, Any] = field(default_factory=dict)
    solution: dict[str, Any] = field(default_factory=dict)
    corrected: list[PartCorrected] = field(default_factory=list)

    def headline(self) -> str:
        """Return the first line that a run prints."""
        text = f"scrframe: survey {self.survey.name}, data root {self.root_label}"
        return f"{text}: {self.note}" if self.note else text

    def take_sample(self, builder: SampleBuilder, sample: MatchedStars) -> None:
        """Note the counts of a sample."""
        self.parts, self.skipped = builder.first.parts, builder.first.skipped
        self.counts = {
            "catalogues": len(builder.first.parts),
            "visits": len(builder.first.visits),
            "calibration_cuts": with_margins(builder.ledger.rows, self.survey),
            "control_cuts": builder.control_ledger.rows,
            "calibration": {"detections": len(sample.detections), "stars": len(sample.stars)},
            "control": {
                "detections": int(sample.in_control.sum()),
                "stars": len(np.unique(sample.star[sample.in_control])),
            },
        }

    def take_solution(
        self, solved: Solved, stars: pa.Table, diagnostics: Mapping[str, Any]
    ) -> None:
        """Note the offsets, the zero point and the figures of merit."""
        assert self.model is not None
        solution = solved.solution
        corrected = np.isfinite(stars.column("mag_cal").to_numpy())
        self.solution = {
            "mode": self.survey.offsets.mode,
            "levels": level_statistics(solution),
            "u_ZP_mag": solution.zero_point_mag,
            "system": solution.system,
            "absolute": solution.absolute,
            "uncorrected_fraction": float(1 - corrected.mean()),
            "joint": _joint(solved, stars),
            "diagnostics": dict(diagnostics),
            "law": law_summary(
                self.model,
                stars.column("colour0").to_numpy(),
                stars.column("extinction").to_numpy(),
            ),
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


def _joint(solved: Solved, stars: pa.Table) -> dict[str, Any]:
    """Return what there is to say of the joint solution; nothing of mode sequential."""
    if not solved.record:
        return {}
    return {**solved.record, "judged_by": judged_by_reserved(stars)}


def summarise(story: Story) -> dict[str, Any]:
    """Return the content of summary.json."""
    survey, solution = story.survey, story.solution
    assert story.model is not None
    assert story.plan is not None
    return {
        "scrframe_version": versions()["scrframe"],
        "survey": survey.name,
        "band": survey.band,
        "data_root": story.root_label,
        "data_note": story.note,
        "counts": story.counts,
        "skipped_catalogues": dict(story.skipped),
        "colour_model": {
            "kind": survey.colour_model.kind,
            "training_stars": len(story.plan.train),
            "test": asdict(story.model.test),
            "rounds": [asdict(this) for this in story.model.rounds],
            "converged": story.model.converged,
            **({"search": dict(story.search)} if story.search else {}),
        },
        "reddening_law": solution["law"],
        "offsets": {
            "mode": solution["mode"],
            "levels": solution["levels"],
            "u_ZP_mag": solution["u_ZP_mag"],
            "uncorrected_fraction": solution["uncorrected_fraction"],
            **({"joint": solution["joint"]} if solution["joint"] else {}),
        },
        "magnitude_system": solution["system"],
        **({"absolute": dict(solution["absolute"])} if solution["absolute"] else {}),
        "diagnostics": solution["diagnostics"],
        "catalogues": [asdict(part) for part in story.corrected],
        "steps": story.monitor.steps,
        "seconds": story.monitor.seconds,
        "peak_memory_mb": story.monitor.peak_memory_mb,
        "seeds": {"colour_model": survey.colour_model.seed},
        "versions": versions(),
        "description_sha256": survey.digest(),
        "input_sha256": dict(story.inputs),
    }
