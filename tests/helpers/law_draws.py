"""Draws of the excess of reddened stars in fields, each of some visits, from a known law."""

import numpy as np

from scrframe.scr.law_design import Fields
from scrframe.tables import law_terms


def draw(
    seed,
    terms=((2, 0), (1, 0), (0, 0)),
    coefficients=(0.042, 0.027, 1.42),
    stars=6000,
    fields=24,
    noise=0.065,
    slope_sd=0.0,
):
    """Return a mapping of arrays by detection: the arguments of a fit, and the slopes drawn."""
    rng = np.random.default_rng(seed)
    home = rng.integers(0, fields, stars)
    colour0 = rng.uniform(0.5, 2.8, stars)
    extinction = np.clip(
        rng.uniform(0.3, 1.5, fields)[home] * rng.uniform(0.3, 1.8, stars), 0.02, 3
    )
    slope = rng.normal(0, slope_sd, fields)
    ratio = law_terms(colour0, extinction, terms) @ np.array(coefficients) + slope[home]
    visit = 3 * home + rng.integers(0, 3, stars)
    constant = rng.normal(0, 0.06, 3 * fields)
    return {
        "colour0_mag": colour0,
        "extinction": extinction,
        "excess_mag": ratio * extinction + constant[visit] + rng.normal(0, noise, stars),
        "visit": visit,
        "fields": Fields(home, tuple(f"field {number}" for number in range(fields))),
        "slope": slope,
    }


def fit_arguments(drawn):
    """Return what `fit_law` takes of a draw."""
    return {name: value for name, value in drawn.items() if name != "slope"}
