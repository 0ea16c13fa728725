#!/usr/bin/env python
"""How long the joint solve takes on a drawn survey, and how that grows with detections.

The survey: overlapping fields of one degree on a strip, two dithered visits of each, 32
detectors of 128 bins. Each run of a series goes in a process of its own, so that the peak
of memory is its own:

    python scripts/benchmark_joint.py --detections 3e6 10e6 30e6
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import linalg, sparse

from scrframe.offsets.joint.fit import fit_design
from scrframe.offsets.joint.mixed_model import Design, Exposures, MixedModel, Term, Weights
from scrframe.offsets.joint.normal_equations import StarOrder, normal_system
from scrframe.offsets.joint.problem import JointProblem, JointSolverSettings
from scrframe.offsets.joint.stars import weighted
from scrframe.offsets.joint.variance_components import is_diagonal, prior_matrix
from scrframe.offsets.linalg.factor import Factor, choose_dense

FIELDS, ROWS, SPACING_DEG, DITHER_DEG = 772, 10, 0.95, 0.08
CCDS_X, CCDS_Y, BINS_X, BINS_Y = 8, 4, 8, 16
CCDS, BINS = CCDS_X * CCDS_Y, BINS_X * BINS_Y
CELL_DEG, KNOT_YEARS, YEARS = 0.5, 0.5, 7.0
SD_MAG = {
    "visit": 0.06,
    "static": 0.015,
    "drift": 0.01,
    "jitter": 0.01,
    "bin": 0.009,
    "slope": 0.02,
    "cell": 0.02,
}
STAR_MAG, NOISE_MAG = 0.065, 0.015


@dataclass(frozen=True)
class Drawn:
    """Detections in the order of their exposures, as a survey is read.

    Attributes
    ----------
    exposure, bin, star, cell : ndarray of int, shape (n,)
    extinction : ndarray, shape (n,)
    """

    exposure: np.ndarray
    bin: np.ndarray
    star: np.ndarray
    cell: np.ndarray
    extinction: np.ndarray


def draw(detections: int, fields: int, rng: np.random.Generator) -> Drawn:
    """Draw stars on the strip, and find them in every visit that covers them."""
    columns = -(-fields // ROWS)
    per_tile = detections / (2 * fields) * SPACING_DEG**2
    counts = rng.poisson(per_tile, (columns + 2, ROWS + 2))
    first = np.concatenate([[0], np.cumsum(counts)])
    stars = int(first[-1])
    x = np.repeat(np.arange(columns + 2).repeat(ROWS + 2) - 1, counts.ravel())
    y = np.repeat(np.tile(np.arange(ROWS + 2) - 1, columns + 2), counts.ravel())
    x = ((x + rng.random(stars)) * SPACING_DEG).astype(np.float32)
    y = ((y + rng.random(stars)) * SPACING_DEG).astype(np.float32)
    extinction = (1 + 0.5 * np.sin(3 * x) * np.cos(2 * y) + 0.2 * rng.random(stars)).astype("f4")
    cells_y = int((ROWS + 2) * SPACING_DEG / CELL_DEG) + 1
    cell = (np.floor((x + SPACING_DEG) / CELL_DEG) * cells_y).astype(np.int32)
    cell += np.floor((y + SPACING_DEG) / CELL_DEG).astype(np.int32)
    parts = []
    for visit in range(2 * fields):
        column, row = divmod(visit // 2, ROWS)
        near = [
            np.arange(first[at], first[at + 3])
            for at in ((column + step) * (ROWS + 2) + row for step in range(3))
        ]
        rows = np.concatenate(near)
        shift = rng.uniform(-DITHER_DEG, DITHER_DEG, 2)
        u = x[rows] - (column + 0.5) * SPACING_DEG - shift[0] + 0.5
        v = y[rows] - (row + 0.5) * SPACING_DEG - shift[1] + 0.5
        inside = (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
        rows, u, v = rows[inside], u[inside] * CCDS_X, v[inside] * CCDS_Y
        ccd = (u.astype(int) * CCDS_Y + v.astype(int)).astype(np.int32)
        place = ((u % 1 * BINS_X).astype(int) * BINS_Y + (v % 1 * BINS_Y).astype(int)) % BINS
        order = np.argsort(ccd, kind="stable")
        rows, ccd, place = rows[order], ccd[order], place[order].astype(np.int32)
        parts.append((visit * CCDS + ccd, ccd * BINS + place, rows))
    exposure, bins, rows = (np.concatenate(part) for part in zip(*parts, strict=True))
    del parts
    star = _numbered(rows, rng.permutation(stars))
    cells = _numbered(cell[rows], np.arange(int(cell.max()) + 1))
    return Drawn(exposure, bins, star, cells, extinction[rows])


def _numbered(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return the values that occur numbered without gaps, in a given order."""
    seen = np.zeros(len(order), dtype=bool)
    seen[values] = True
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.cumsum(seen[order]) - 1
    return place[values]


def build(drawn: Drawn, fields: int, rng: np.random.Generator) -> MixedModel:
    """Build the design of all terms."""
    visits = 2 * fields
    exposures = visits * CCDS
    visit, ccd = np.divmod(np.arange(exposures), CCDS)
    epoch = np.repeat(rng.uniform(0, YEARS, fields), 2)[visit] / KNOT_YEARS
    knots = int(YEARS / KNOT_YEARS) + 1
    share = epoch % 1
    knot = ccd * knots + epoch.astype(int)
    widths = {"constant": 1, "visit": visits, "static": CCDS, "drift": CCDS * knots}
    starts = np.cumsum([0, *widths.values(), exposures])
    column = np.stack(
        [
            np.zeros(exposures, int),
            starts[1] + visit,
            starts[2] + ccd,
            starts[3] + knot,
            starts[3] + knot + 1,
            starts[4] + np.arange(exposures),
        ],
        axis=1,
    )
    one = np.ones(exposures)
    value = np.stack([one, one, one, 1 - share, share, one], axis=1)
    by_exposure = _rows(column, value, int(starts[-1]))
    cells = int(drawn.cell.max()) + 1
    at = np.cumsum([0, CCDS * BINS, fields, cells, 2])
    n = len(drawn.exposure)
    own = np.empty((n, 5), np.int32)
    own[:, 0] = drawn.bin
    own[:, 1] = at[1] + drawn.exposure // (2 * CCDS)
    own[:, 2] = at[2] + drawn.cell
    own[:, 3:] = at[3] + np.arange(2)
    data = np.ones((n, 5))
    data[:, 1] = drawn.extinction
    data[:, 3] = drawn.extinction * rng.standard_normal(n)
    data[:, 4] = drawn.extinction**2
    by_detection = _rows(own, data, int(at[-1]))
    columns = [*starts.tolist(), *(starts[-1] + at[1:]).tolist()]
    names = ["constant", "visit", "static", "drift", "jitter", "bin", "slope", "cell", "law"]
    terms = tuple(
        Term(
            name,
            "nuisance" if name in {"slope", "cell", "law"} else "correction",
            low,
            high,
            _precision(name, high - low, knots),
        )
        for name, low, high in zip(names, columns[:-1], columns[1:], strict=True)
    )
    return MixedModel(
        terms, by_exposure, by_detection, drawn.exposure, drawn.star, int(drawn.star.max()) + 1
    )


def _rows(column: np.ndarray, value: np.ndarray, width: int) -> sparse.csr_array:
    indptr = np.arange(0, column.size + 1, column.shape[1], dtype=np.int32)
    shape = (len(column), width)
    return sparse.csr_array((value.ravel(), column.ravel().astype(np.int32), indptr), shape=shape)


def _precision(name: str, width: int, knots: int) -> sparse.csr_array | None:
    if name in {"constant", "law"}:
        return None
    if name != "drift":
        return sparse.csr_array(sparse.identity(width, format="csr"))
    memory = np.exp(-KNOT_YEARS / 2.0)
    middle = np.full(knots, 1 + memory**2)
    middle[[0, -1]] = 1.0
    beside = np.full(knots - 1, -memory)
    walk = sparse.diags_array([beside, middle, beside], offsets=[-1, 0, 1]) / (1 - memory**2)
    return sparse.csr_array(sparse.kron(sparse.identity(width // knots), walk, format="csr"))


def total_rows(model: MixedModel) -> sparse.csr_array:
    """Return the offset of each exposure as a combination of parameters."""
    corrections = [term.columns for term in model.terms if term.role == "correction"]
    wanted = np.zeros(model.by_exposure.shape[1])
    for columns in corrections:
        wanted[columns] = 1.0
    rows = model.by_exposure.copy()
    rows.data = rows.data * wanted[rows.indices]
    rows.resize(rows.shape[0], model.width)
    return rows


class Stopwatch:
    """Seconds, of the clock and of all processors, and peak memory by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.start = time.perf_counter()
        self._last, self._busy = time.perf_counter(), time.process_time()

    def lap(self, name: str) -> None:
        """End a step."""
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 2)
        busy = time.process_time()
        spent, self._last, self._busy = busy - self._busy, now, busy
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        print(
            f"  {name:<20}{self.seconds[name]:9.2f} s   {spent:8.2f} s CPU   peak {peak:5.2f} GB",
            file=sys.stderr,
        )


def run(detections: int, fields: int, seed: int) -> dict[str, object]:
    """Time one problem."""
    rng = np.random.default_rng(seed)
    watch = Stopwatch()
    drawn = draw(detections, fields, rng)
    model = build(drawn, fields, rng)
    del drawn
    delta = rng.normal(0, 0.07, len(model.exposure))
    weights = Weights(
        np.full(len(model.exposure), NOISE_MAG**-2), np.full(model.stars, STAR_MAG**-2)
    )
    print(
        f"{len(model.exposure)} detections, {model.stars} stars, {model.width} parameters",
        file=sys.stderr,
    )
    watch.lap("draw")
    order = StarOrder.of(model)
    watch.lap("order")
    dense = choose_dense(model)
    print(f"  dense {int(dense.sum())}", file=sys.stderr)
    watch.lap("choose")
    matrix = normal_system(model, weights, order)
    watch.lap("normal")
    matrix = matrix.plus(prior_matrix(model, SD_MAG))
    watch.lap("prior")
    right = weighted(model, weights, delta)
    watch.lap("right side")
    factor = Factor(matrix, dense)
    watch.lap("factor")
    solution = factor.solve(right)
    watch.lap("solve")
    jitter = next(term for term in model.terms if term.name == "jitter")
    assert jitter.precision is not None
    probed = factor.trace(jitter.precision, jitter.columns, probes=16)
    watch.lap("trace by 16 probes")
    factor.diagonal()
    watch.lap("selected inverse")
    exact = factor.trace(jitter.precision, jitter.columns)
    watch.lap("exact trace")
    factor.row_variances(total_rows(model))
    watch.lap("variances")
    residual = float(np.max(np.abs(matrix @ solution - right)) / np.max(np.abs(right)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return {
        "detections": len(model.exposure),
        "parameters": model.width,
        "residual": residual,
        "trace_by_probes": probed / exact - 1,
        "peak_gb": round(peak, 2),
        "seconds": watch.seconds,
    }


def fit(detections: int, fields: int, seed: int) -> dict[str, object]:
    """Time a whole fit: rounds of weights and variances, and the errors of all exposures."""
    rng = np.random.default_rng(seed)
    watch = Stopwatch()
    model = build(draw(detections, fields, rng), fields, rng)
    delta = drawn_differences(model, rng)
    exposures = Exposures(
        model.exposure,
        np.zeros(model.by_exposure.shape[0], np.int64),
        *np.divmod(np.arange(model.by_exposure.shape[0]), CCDS),
        tuple(str(number) for number in range(2 * fields)),
    )
    settings = JointSolverSettings(start_mag=dict.fromkeys(SD_MAG, 0.02))
    error = np.full(len(delta), NOISE_MAG) * rng.uniform(0.5, 1.5, len(delta)).astype("f4")
    problem = JointProblem((), None, delta, model.star, error, np.ones((model.stars, 1)), settings)
    watch.lap("draw")
    done = fit_design(
        Design(model, exposures),
        problem,
        None,
        lambda this: watch.lap(f"round, {100 * this.change:.1f} per cent"),
    )
    watch.lap("last weights")
    done.factor.row_variances(total_rows(model))
    watch.lap("errors")
    for each in done.components:
        print(
            f"  {each.name:<8}{1000 * each.sd_mag:8.3f} mmag, drawn {1000 * SD_MAG[each.name]:.3f}",
            file=sys.stderr,
        )
    spent = time.perf_counter() - watch.start - watch.seconds["draw"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return {
        "detections": len(model.exposure),
        "parameters": model.width,
        "fit_seconds": round(spent, 1),
        "rounds": len(done.rounds),
        "peak_gb": round(peak, 2),
    }


def drawn_differences(model: MixedModel, rng: np.random.Generator) -> np.ndarray:
    """Draw differences from the model with the sizes in `SD_MAG`."""
    parameters = np.zeros(model.width)
    for term in model.terms:
        if term.precision is not None:
            drawn = rng.standard_normal(term.width)
            if not is_diagonal(term.precision):
                # With precision F F^T, the inverse of F^T gives a draw of the prior.
                root = np.linalg.cholesky(term.precision.toarray())
                drawn = linalg.solve_triangular(root, drawn, trans="T", lower=True)
            parameters[term.columns] = SD_MAG[term.name] * drawn
    own = STAR_MAG * rng.standard_normal(model.stars)
    values = model.values(parameters)
    values += own[model.star]
    values += NOISE_MAG * rng.standard_normal(len(values))
    return values


def main() -> None:
    """Run a series, each in its own process, and print the line through its times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--detections", type=float, nargs="+", default=[30e6])
    parser.add_argument("--fields", type=int, default=FIELDS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fit", action="store_true", help="time a whole fit instead of a solve")
    options = parser.parse_args()
    if options.fit:
        for detections in options.detections:
            print(json.dumps(fit(int(detections), options.fields, options.seed)), flush=True)
        return
    if len(options.detections) == 1:
        print(json.dumps(run(int(options.detections[0]), options.fields, options.seed)))
        return
    results = []
    for detections in options.detections:
        command = [sys.executable, str(Path(__file__)), "--detections", str(detections)]
        command += ["--fields", str(options.fields), "--seed", str(options.seed)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        print(done.stdout, end="", flush=True)
        results.append(json.loads(done.stdout))
    print_line(results)


#: One solve: assembly, factor, solution.
ONE_SOLVE = ("normal", "prior", "right side", "factor", "solve")


def print_line(results: list[dict]) -> None:
    """Fit seconds of one solve, and of its assembly alone, as a line in the detections."""
    count = np.array([result["detections"] for result in results]) / 1e6
    for name, steps in (("one solve", ONE_SOLVE), ("assembly", ("normal", "right side"))):
        seconds = np.array([sum(result["seconds"][step] for step in steps) for result in results])
        slope, base = np.polyfit(count, seconds, 1)
        off = np.max(np.abs(base + slope * count - seconds))
        print(f"{name}: {base:.1f} s + {slope:.2f} s per million detections, off by {off:.1f} s")


if __name__ == "__main__":
    main()
