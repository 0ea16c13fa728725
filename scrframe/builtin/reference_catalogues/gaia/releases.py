"""What is known of Gaia's releases: all that differs between them stands here.

Addresses and names of tables, which may change, are presets of `scrframe fetch`
(``scrframe/fetch/services.yaml``, under the release's name).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scrframe.errors import DataError
from scrframe.spectra import XpOperator, load_operator, read_operator


@dataclass(frozen=True)
class Release:
    """A release of Gaia."""

    name: str
    #: Whether an operator from coefficients to fluxes ships.
    operator_ships: bool
    #: What is to be known besides.
    note: str


RELEASES: dict[str, Release] = {
    "dr3": Release(
        "dr3",
        True,
        "positions of 2016.0; mean spectra of 219,197,643 sources, as 55 coefficients a band with"
        " correlations or as 343 samples; they come by DataLink and in bulk files, and are in no"
        " table of the archive itself",
    ),
    "dr4": Release(
        "dr4",
        False,
        "announced are positions of 2017.5 and epoch and mean spectra of all sources. Not known are"
        " names of tables and the number of coefficients: presets are those of dr3 with the name"
        " changed, none of them tried. Identifiers may differ from dr3's, to which ZGR23 belongs",
    ),
}


def operator_file(release: str, operator: str | None, root: Path) -> str:
    """Return the path of the operator that the user supplies, empty for one that ships.

    Raises DataError if none ships and none is supplied, or it is of another release.
    """
    known = RELEASES[release]
    if operator is None:
        if not known.operator_ships:
            ships = [each.name.upper() for each in RELEASES.values() if each.operator_ships]
            raise DataError(
                f"gaia_xp.release is {release.upper()}, but coefficients can be converted only for"
                f" {', '.join(ships)}; use the sampled spectra, or name an operator file by"
                " gaia_xp.operator"
            )
        return ""
    path = root / operator
    found = read_operator(path)
    stated = str(found.provenance.get("release", "")).lower()
    if stated != release:
        raise DataError(f"{path}: is the operator of {stated or 'no release'}, not of {release}")
    return str(path)


def sampled_operator(file: str) -> XpOperator:
    """Return the operator to the 343 samples: that of a file, or the one that ships."""
    return read_operator(Path(file)) if file else load_operator("sampled")
