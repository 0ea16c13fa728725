"""The reddening law as open tables."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import Table

from scrframe.pipeline.ecsv import write_ecsv
from scrframe.tables import FieldSlopes, LawTerm, OrderScore, ReddeningLaw

LAW, SLOPES = "reddening_law.ecsv", "reddening_slopes.ecsv"


def write_law(folder: Path, law: ReddeningLaw, note: str) -> None:
    """Write a law's coefficients, and its slopes by field if it has any."""
    write_ecsv(_law_table(law, note), folder / LAW)
    if law.slopes is not None:
        write_ecsv(_slope_table(law.slopes, note), folder / SLOPES)


def read_law(folder: Path) -> ReddeningLaw:
    """Read a law back.

    Raises
    ------
    FileNotFoundError
        If the folder has none.
    KeyError, ValueError
        If it is damaged.
    """
    table = Table.read(folder / LAW, format="ascii.ecsv")
    powers = table["power"].tolist(), table["extinction_power"].tolist()
    slopes = folder / SLOPES
    return ReddeningLaw(
        np.array(table["value"], float),
        np.array(table.meta["covariance"], dtype=float),
        table.meta["dM_mag"],
        tuple(zip(*powers, strict=True)),
        tuple(OrderScore(**score) for score in table.meta["scores"]),
        _read_slopes(slopes) if slopes.exists() else None,
    )


def coefficient_names(terms: tuple[LawTerm, ...]) -> list[str]:
    """Return a0, a1, ... for powers of C0, the highest first, and b1, b2 for those of E."""
    of_colour = sum(1 for _, power in terms if not power)
    rest = [f"b{power}" for _, power in terms[of_colour:]]
    return [f"a{number}" for number in range(of_colour)] + rest


def _law_table(law: ReddeningLaw, note: str) -> Table:
    table = Table()
    table["coefficient"] = coefficient_names(law.terms)
    table["power"] = [power for power, _ in law.terms]
    table["extinction_power"] = [power for _, power in law.terms]
    table["value"] = law.coefficients
    table["error"] = np.sqrt(np.diag(law.covariance))
    table.meta = {
        "law": "R(C0, E) = sum of value * C0 ** power * E ** extinction_power, mag per unit E",
        "covariance": law.covariance.tolist(),
        "dM_mag": float(law.offset_mag),
        "scores": [asdict(score) for score in law.scores],
        "data_note": note,
    }
    return table


def _slope_table(slopes: FieldSlopes, note: str) -> Table:
    table = Table()
    table["field"] = list(slopes.field)
    for name, about in (
        ("slope", "departure of the field's slope on E from the law, shrunken"),
        ("err", "error of slope"),
        ("free", "the same without shrinkage"),
        ("free_err", "error of free"),
    ):
        table[name] = getattr(slopes, name) * u.mag
        table[name].description = f"{about}, per unit E"
    table.meta = {"sd_mag": slopes.sd, "data_note": note}
    return table


def _read_slopes(path: Path) -> FieldSlopes:
    table = Table.read(path, format="ascii.ecsv")
    slope, err, free, free_err = (
        np.array(table[name], float) for name in ("slope", "err", "free", "free_err")
    )
    names = tuple(str(name) for name in table["field"])
    return FieldSlopes(names, slope, err, free, free_err, table.meta["sd_mag"])
