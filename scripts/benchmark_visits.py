#!/usr/bin/env python
"""What very many visits of few stars each take: a drawn survey through fit, errors and products.

    python scripts/benchmark_visits.py --visits 50000 --detections 1e6

Two dithered visits of each of overlapping fields, with a camera of few detectors. After each step
stand its time and the peak of memory so far; `--json` keeps them.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from pathlib import Path

import benchmark_joint as joint
import numpy as np

from scrframe.offsets.joint.fit import fit_design
from scrframe.offsets.joint.mixed_model import Design, Exposures
from scrframe.offsets.joint.problem import JointProblem, JointSolverSettings
from scrframe.offsets.joint.results import JointResults
from scrframe.products.visit_covariance import (
    COVARIANCE,
    read_visit_covariance,
    write_visit_covariance,
)
from scrframe.statistics.covariance import variances

#: A camera of few detectors and few bins, on a square sky.
joint.CCDS_X, joint.CCDS_Y, joint.BINS_X, joint.BINS_Y = 2, 2, 2, 2
joint.CCDS, joint.BINS = 4, 4


def run(visits: int, detections: int, seed: int) -> dict[str, object]:
    """Fit a drawn survey, and write and read what grows with its visits."""
    fields, watch = visits // 2, joint.Stopwatch()
    joint.ROWS = max(int(fields**0.5), 1)
    rng = np.random.default_rng(seed)
    model = joint.build(joint.draw(detections, fields, rng), fields, rng)
    delta = joint.drawn_differences(model, rng)
    rows = model.by_exposure.shape[0]
    names = tuple(f"visit {number}" for number in range(2 * fields))
    first = np.zeros(rows, np.int64)
    exposures = Exposures(model.exposure, first, *np.divmod(np.arange(rows), joint.CCDS), names)
    error = np.full(len(delta), joint.NOISE_MAG)
    settings = JointSolverSettings(start_mag=dict.fromkeys(joint.SD_MAG, 0.02))
    problem = JointProblem((), None, delta, model.star, error, np.ones((model.stars, 1)), settings)
    watch.lap("draw")
    fitted = fit_design(Design(model, exposures), problem, None, lambda this: watch.lap("round"))
    watch.lap("last weights")
    found = JointResults(fitted).exposures
    watch.lap("errors")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / COVARIANCE
        write_visit_covariance(path, names, found.visit_covariance, "")
        size = path.stat().st_size
        again = read_visit_covariance(Path(folder))
    assert again is not None
    np.testing.assert_allclose(variances(again[1]), found.visit_err_mag**2)
    watch.lap("covariance file")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return {
        "visits": 2 * fields,
        "detections": len(delta),
        "parameters": model.width,
        "converged": fitted.converged,
        "median_visit_err_mmag": round(1000 * float(np.median(found.visit_err_mag)), 2),
        "covariance_mb": round(size / 1e6, 2),
        "peak_gb": round(peak, 2),
        "seconds": watch.seconds,
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--visits", type=float, default=50_000)
    parser.add_argument("--detections", type=float, default=1e6)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    found = run(int(options.visits), int(options.detections), options.seed)
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
