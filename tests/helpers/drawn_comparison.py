"""A made-up comparison: residuals drawn with known scatter, and figures that follow from them."""

from __future__ import annotations

import numpy as np

from scrframe.analysis.compare.behaviour import Costs
from scrframe.analysis.compare.result import (
    BackendResult,
    BackendScores,
    Comparison,
    Difference,
    OffsetError,
    ResidualTable,
)
from scrframe.analysis.compare.scores import Coverage, ResidualTrend, disperse

#: Extra scatter of each backend in mag, its slope with colour, and its verdict.
BACKENDS = {
    "random_forest": (0.030, 0.020),
    "lightgbm": (0.026, 0.012),
    "extra_trees": (0.031, 0.020),
    "ridge": (0.055, 0.060),
    "few_components": (0.027, 0.015),
}
REFERENCE = "random_forest"
STARS = 6000
SHARES = np.linspace(0.0, 1.0, 41)


def residual_tables(seed: int = 5, stars: int = STARS) -> dict[str, ResidualTable]:
    """Return control stars of a field on both sides of RA 0, with errors that hold."""
    rng = np.random.default_rng(seed)
    colour = 0.4 + rng.gamma(4, 0.25, stars)
    magnitude = 18 - rng.gamma(2, 1.0, stars)
    noise = 0.02 + 0.05 * 10 ** (0.4 * (magnitude - 18))
    ra, dec = (359.0 + rng.uniform(0, 3, stars)) % 360, rng.uniform(-2, 2, stars)
    extinction = rng.gamma(3, 0.12, stars)
    label = colour + noise * rng.normal(size=stars)
    tables = {}
    for name, (extra, slope) in BACKENDS.items():
        err = np.hypot(noise, extra)
        predicted = colour + extra * rng.normal(size=stars) + slope * (colour - colour.mean()) / 2
        tables[name] = ResidualTable(
            label, predicted, err, magnitude, extinction, predicted, ra, dec
        )
    return tables


def trend(table: ResidualTable, variable: str, value: np.ndarray) -> ResidualTrend:
    """Return mean residuals in twelve bins."""
    order = np.array_split(np.argsort(value, kind="stable"), 12)
    residual = table.residual_mag
    return ResidualTrend(
        variable,
        np.array([np.median(value[rows]) for rows in order]),
        np.array([residual[rows].mean() for rows in order]),
        np.array([residual[rows].std() / np.sqrt(len(rows)) for rows in order]),
        np.array([len(rows) for rows in order]),
    )


def figures_of(table: ResidualTable) -> BackendScores:
    """Return the figures of a backend."""
    pull = np.abs(table.residual_mag / table.err_mag)
    normal = np.quantile(np.abs(np.random.default_rng(1).normal(size=20_000)), SHARES)
    found = np.array([(pull <= width).mean() for width in normal])
    variables = {
        "predicted_colour": table.colour,
        "reference_mag": table.reference_mag,
        "extinction": table.extinction,
        "ra": (table.ra + 180) % 360 - 180,
        "dec": table.dec,
        "xp_snr": 10 ** (0.2 * (20 - table.reference_mag)) * 20,
    }
    whole = disperse(table.predicted_mag, table.observed_mag)
    halves = [disperse(table.predicted_mag[one::2], table.observed_mag[one::2]) for one in (0, 1)]
    return BackendScores(
        whole,
        tuple(halves),
        {name: trend(table, name, value) for name, value in variables.items()},
        Coverage(
            float((pull < 1).mean()),
            float((pull < 2).mean()),
            0.6827,
            0.9545,
            float((table.residual_mag / table.err_mag).std()),
            float(np.median(table.err_mag)),
            len(pull),
            SHARES,
            found,
        ),
    )


def difference(value: float, err: float) -> Difference:
    """Return a difference and what its interval says."""
    low, high = value - 2 * err, value + 2 * err
    verdict = "better" if high < 0 else "worse" if low > 0 else "not told apart"
    return Difference(value, low, high, verdict)


def comparison(tables: dict[str, ResidualTable]) -> Comparison:
    """Return the comparison of all backends of the tables, and of one with a fault."""
    results = []
    own = figures_of(tables[REFERENCE]).dispersion
    for number, (name, table) in enumerate(tables.items()):
        figures = figures_of(table)
        gap = figures.dispersion.sd_mag - own.sd_mag
        gaps = {}
        if name != REFERENCE:
            gaps = {
                "blocked_sd": difference(gap, 0.0004),
                "blocked_mad": difference(figures.dispersion.mad_mag - own.mad_mag, 0.0006),
                "random_sd": difference(0.9 * gap, 0.0004),
                "random_mad": difference(0.9 * gap, 0.0006),
                "offset_visit": difference(0.3 * gap, 0.0008),
                "offset_total": difference(0.3 * gap, 0.0008),
            }
        levels = {"visit": 0.004, "ccd": 0.008, "pixel": 0.005, "total": 0.011}
        offsets = {
            level: OffsetError(level, rms * (1 + 0.1 * number), 40) for level, rms in levels.items()
        }
        results.append(
            BackendResult(
                name,
                summary="Drawn for a test.",
                version="1.0",
                settings={"trees": 100, "depth": None, "shape": "linear"},
                chosen={"trees": 300} if number == 1 else None,
                folds={"random": figures, "blocked": figures},
                offsets=offsets,
                against_reference=gaps,
            )
        )
    results.append(
        BackendResult("leaky", fault="it remembers rows of an earlier training (9.1 sigma)")
    )
    order = sorted(tables, key=lambda name: np.std(tables[name].residual_mag))
    return Comparison(
        "made-up",
        "u",
        REFERENCE,
        (1, 2),
        5,
        STARS,
        True,
        "Simulated data: drawn numbers, not observed ones.",
        tuple(results),
        (tuple(order[:2]), *((name,) for name in order[2:])),
    )


def costs() -> list[Costs]:
    """Return made-up costs."""
    return [
        Costs(name, 4.0 / (1 + number), 180_000.0 * 2**number, 900 + 50 * number, 300 / 3**number)
        for number, name in enumerate(BACKENDS)
    ]
