"""What a run of several surveys writes beside the runs of each: what they share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from astropy import units as u
from astropy.table import Table

from scrframe.analysis.combined.solve import Alone, Combined
from scrframe.config.combined import CombinedDescription
from scrframe.offsets.joint.results import ExposureOffsets
from scrframe.products.files import write_ecsv, write_json, write_text
from scrframe.run.session import StepMonitor
from scrframe.run.workspace import versions
from scrframe.version import __version__

#: Folder of what is shared, beside the runs of the surveys.
SHARED = "shared"


def write_shared(
    folder: Path, description: CombinedDescription, found: Combined, monitor: StepMonitor
) -> dict[str, Any]:
    """Write ``shared/`` below the folder of a run; return the content of its summary."""
    shared = folder / SHARED
    shared.mkdir(exist_ok=True)
    summary = shared_summary(description, found, monitor)
    write_ecsv(offset_table(found), shared / "offsets.ecsv")
    said = {
        "name": description.name,
        "members": [
            f"../{member.name}/solution/description.yaml" for member in description.members
        ],
        "share": description.share.model_dump(mode="json"),
    }
    write_text(shared / "description.yaml", yaml.safe_dump(said, sort_keys=False))
    write_json(shared / "summary.json", summary)
    return summary


def shared_summary(
    description: CombinedDescription, found: Combined, monitor: StepMonitor
) -> dict[str, Any]:
    """Return what the surveys share and what it is worth, as plain JSON."""
    names = found.names
    return {
        "scrframe_version": __version__,
        "name": description.name,
        "share": description.share.model_dump(mode="json"),
        "stars": [
            {
                "members": [names[i], names[j]],
                "common": each.common,
                "correlation": each.value,
                "error": each.error,
                "shared": float(found.follow[i] * found.follow[j]),
            }
            for (i, j), each in found.correlations.items()
        ],
        "terms": [
            {
                "name": term.name,
                "sd_mag": dict(zip(names, term.sd_mag, strict=True)),
                "columns": term.columns,
                "common": term.common,
                "correlation_alone": term.alike,
                "log_likelihood_ratio": term.odds,
                "shared": term.shared,
                "said": term.describe(),
            }
            for term in found.terms
        ],
        "members": {
            each.survey.name: _figures(each, alone, together)
            for each, alone, together in zip(
                found.surveys, found.alone, found.together, strict=True
            )
        },
        "steps": monitor.steps,
        "peak_memory_mb": monitor.peak_memory_mb,
        "versions": versions(),
        "description_sha256": description.digest(),
    }


def _figures(each: Alone, alone: ExposureOffsets, together: ExposureOffsets) -> dict[str, Any]:
    """Return errors alone and together, and by how much offsets differ.

    What both solves have of the truth, the solve of one survey alone has in full: the
    difference is expected to have the variance that the errors have lost.
    """
    lost = np.maximum(alone.err_mag**2 - together.err_mag**2, 0)
    moved = together.offset_mag - alone.offset_mag
    return {
        "band": each.survey.band,
        "visits": len(alone.visit_mag),
        "exposures": len(alone.offset_mag),
        "err_alone_mag": _rms(alone.err_mag),
        "err_together_mag": _rms(together.err_mag),
        "visit_err_alone_mag": _rms(alone.visit_err_mag),
        "visit_err_together_mag": _rms(together.visit_err_mag),
        "difference_mag": _rms(moved),
        "difference_expected_mag": float(np.sqrt(np.mean(lost))),
        "largest_difference_sigma": float(np.max(np.abs(moved) / alone.err_mag, initial=0.0)),
    }


def offset_table(found: Combined) -> Table:
    """Return a row for each exposure of each survey: its offset alone and together."""
    parts = []
    for each, alone, both in zip(found.surveys, found.alone, found.together, strict=True):
        exposures = each.fit.design.exposures
        parts.append(
            {
                "survey": np.full(len(exposures), each.survey.name),
                "visit": np.array(exposures.visits)[exposures.visit],
                "field": np.array(each.field),
                "ccd": exposures.ccd,
                "count": alone.count,
                "offset_alone": alone.offset_mag,
                "err_alone": alone.err_mag,
                "offset_together": both.offset_mag,
                "err_together": both.err_mag,
            }
        )
    table = Table({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    for name in table.colnames[5:]:
        table[name].unit = u.mag
    table.meta["description"] = "offsets of exposures, of each survey alone and of all together"
    return table


def _rms(values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float(np.sqrt(np.mean(values**2)))
