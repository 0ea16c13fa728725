"""Derive the XP operators that scrframe ships, and GaiaXPy's answers for the tests.

GaiaXPy's calibration is linear in the coefficients, so that passing it unit vectors yields
its operator. Development only; needs GaiaXPy. From the root of the repository::

    python scripts/derive_xp_operator.py
"""

from __future__ import annotations

import contextlib
import datetime
import io
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from gaiaxpy import calibrate

ROOT = Path(__file__).resolve().parent.parent
OPERATORS = ROOT / "scrframe" / "spectra" / "data"
FIXTURES = ROOT / "tests" / "fixtures" / "gaia"
BASES = 55
#: What each operator passes as GaiaXPy's `sampling`; None is the grid of the DR3 product.
GRIDS: dict[str, np.ndarray[Any, Any] | None] = {
    "paper": np.arange(392, 1002, 10),
    "sampled": None,
}


def run(frame: pd.DataFrame, grid: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return wavelengths, fluxes and errors from `gaiaxpy.calibrate`."""
    with contextlib.redirect_stdout(io.StringIO()):
        spectra, wavelength = calibrate(
            frame, sampling=GRIDS[grid], truncation=False, save_file=False
        )
    return (
        np.asarray(wavelength, dtype=np.float64),
        np.stack(spectra["flux"].to_list()),
        np.stack(spectra["flux_error"].to_list()),
    )


def unit_vectors() -> pd.DataFrame:
    """Return sources whose coefficients are the unit vectors, BP first."""
    unit, count = np.eye(2 * BASES), 2 * BASES
    columns: dict[str, Any] = {"source_id": np.arange(1, count + 1)}
    for band, part in (("bp", unit[:, :BASES]), ("rp", unit[:, BASES:])):
        columns[f"{band}_n_parameters"] = np.full(count, BASES)
        columns[f"{band}_standard_deviation"] = np.ones(count)
        columns[f"{band}_coefficients"] = list(part)
        columns[f"{band}_coefficient_errors"] = list(np.ones((count, BASES)))
        columns[f"{band}_coefficient_correlations"] = list(
            np.zeros((count, BASES * (BASES - 1) // 2))
        )
    return pd.DataFrame(columns)


def derive(grid: str) -> None:
    """Write one operator with its provenance."""
    wavelength, flux, _ = run(unit_vectors(), grid)
    provenance = {
        "derived_from": f"GaiaXPy {version('gaiaxpy')}",
        "call": "gaiaxpy.calibrate of unit vectors, truncation=False",
        "sampling": "default" if GRIDS[grid] is None else "np.arange(392, 1002, 10)",
        "models": "bp v375wi, rp v142r",
        "release": "DR3",
        "flux_unit": "W m-2 nm-1 per unit coefficient",
        "date": datetime.date.today().isoformat(),
    }
    np.savez_compressed(
        OPERATORS / f"xp_operator_{grid}.npz",
        wavelength_nm=wavelength,
        bp=flux[:BASES],
        rp=flux[BASES:],
        provenance=np.array(json.dumps(provenance)),
    )


def freeze_answers() -> None:
    """Write GaiaXPy's fluxes and errors of the fixture's real sources."""
    frame = pd.read_csv(FIXTURES / "xp_continuous_raw.csv")
    answers: dict[str, Any] = {"source_id": frame["source_id"].to_numpy()}
    for grid in GRIDS:
        _, answers[f"{grid}_flux"], answers[f"{grid}_flux_error"] = run(frame, grid)
    np.savez_compressed(FIXTURES / "gaiaxpy_answers.npz", **answers)


if __name__ == "__main__":
    OPERATORS.mkdir(parents=True, exist_ok=True)
    for name in GRIDS:
        derive(name)
    freeze_answers()
