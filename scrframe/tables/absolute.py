"""The absolute tie: what puts a survey's zero point on the AB or Vega system."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

System = Literal["AB", "Vega"]
#: What products say of their magnitudes where nothing ties them to a true system.
OWN_SYSTEM = "survey's own"


@dataclass(frozen=True)
class AbsoluteTie:
    """The shift of u_ZP onto a true system, with its errors.

    Attributes
    ----------
    shift_mag : float
        Standard less calibrated magnitude, to be added to u_ZP; at the colour `pivot_mag`.
    err_mag : float
        Its statistical error.
    sys_mag : float
        Its systematic error: that of the standards, or of the passband and the spectra.
    scatter_mag : float
        Robust standard deviation of a star's difference from the shift and colour term.
    count : int
        Stars compared.
    outliers : int
        Those of them that count for nothing, being too far off.
    system : {"AB", "Vega"}
    kind : str
        "standards" or "passband".
    source : str
        Name of the file of standards or of the passband.
    colour_terms : tuple of float
        Coefficients of ``colour - pivot_mag``, lowest power first; none if none was fitted.
    colour_term_errs : tuple of float
        Their standard errors.
    colour : str
        Name of the column of colours; empty if no colour term was fitted.
    pivot_mag : float or None
        Colour at which the shift holds; None if no colour term was fitted.
    """

    shift_mag: float
    err_mag: float
    sys_mag: float
    scatter_mag: float
    count: int
    outliers: int
    system: System
    kind: str = ""
    source: str = ""
    colour_terms: tuple[float, ...] = ()
    colour_term_errs: tuple[float, ...] = ()
    colour: str = ""
    pivot_mag: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the tie as plain JSON data."""
        data = asdict(self)
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in data.items()
        }

    def metadata(self) -> dict[str, str]:
        """Return what the key-value metadata of products say of the tie, as text."""
        return {
            "magnitude_system": self.system,
            "absolute_tie": self.kind,
            "absolute_source": self.source,
            "absolute_shift_mag": f"{self.shift_mag:.6f}",
            "absolute_err_mag": f"{self.err_mag:.6f}",
            "absolute_sys_mag": f"{self.sys_mag:.6f}",
        }
