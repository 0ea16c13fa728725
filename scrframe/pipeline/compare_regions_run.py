"""The ranking of control regions as a whole run: one sample, one fit, every region."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scrframe.compare.regions import RegionComparison, RegionResult
from scrframe.config import SurveyDescription
from scrframe.pipeline.compare_files import REGIONS, write_regions
from scrframe.pipeline.compare_regions import compare_regions
from scrframe.pipeline.compare_start import choose_for, require_training, stage_for
from scrframe.pipeline.compare_truth import true_offsets
from scrframe.pipeline.observer import Observer
from scrframe.pipeline.provenance import versions
from scrframe.pipeline.workspace import write_text
from scrframe.plugin import Registry, load_registry

__all__ = ["RegionComparison", "RegionResult", "RegionsRun", "default_out", "rank_control_regions"]


@dataclass(frozen=True)
class RegionsRun:
    """A finished ranking of control regions.

    Attributes
    ----------
    path : Path
        Its directory.
    regions : RegionComparison
        The content of ``regions.json``.
    """

    path: Path
    regions: RegionComparison


def default_out(survey: SurveyDescription) -> Path:
    """Return where a ranking goes if nothing else is said."""
    return Path("runs") / f"{survey.name}_regions"


def rank_control_regions(
    survey: SurveyDescription,
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    observer: Observer | None = None,
    registry: Registry | None = None,
) -> RegionsRun:
    """Rank candidate control regions by the zero points that they lead to.

    Parameters
    ----------
    survey : SurveyDescription
        From `scrframe.load_survey`; its ``selection.control`` is what others are compared with.
    data : path, optional
        Data root; by default the description's. ``sample`` is the built-in sample survey.
    out : path, optional
        By default ``runs/<survey>_regions``. An earlier ranking is replaced.
    workers : int, optional
        Number of processes and threads; by default as many as there are processors.
    observer : Observer, optional
        Is told of progress.
    registry : Registry, optional
        Plugins; by default all that are installed.

    Returns
    -------
    RegionsRun

    Raises
    ------
    ScrframeError
        If the description or the data do not allow it. Nothing is left behind.
    """
    observer = observer or Observer()
    chosen = choose_for(survey, data, registry or load_registry(), observer)
    require_training(chosen, "a comparison of colour models")
    target = Path(out) if out is not None else default_out(survey)
    with stage_for(chosen, target, REGIONS, workers, observer) as stage:
        sample, fitted = stage.fitted()
        with stage.monitor.step("compare control regions"):
            truth = true_offsets(stage.inputs.root, sample.detections)
            regions = compare_regions(
                chosen,
                sample,
                fitted,
                workers=stage.workers,
                observer=observer,
                truth=truth,
                seed=survey.colour_model.seed,
            )
        provenance = {
            "versions": versions(),
            "description_sha256": chosen.survey.digest(),
            "seed": survey.colour_model.seed,
        }
        write_text(stage.space.run / "description.yaml", chosen.survey.as_yaml())
        write_regions(stage.space.run, regions, stage.note, provenance)
    return RegionsRun(stage.space.out, regions)
