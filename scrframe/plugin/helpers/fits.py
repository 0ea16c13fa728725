"""Reading FITS files, for plugins: what `scrframe.io.fits` offers."""

import warnings
from typing import Any

from scrframe.io.fits import *  # noqa: F403 - the same names

_DROPPED: dict[str, Any] = {
    "READER_VARIABLE": "SCRFRAME_FITS",
    "READERS": ("numpy",),
    "reader": lambda: "numpy",
}


def __getattr__(name: str) -> Any:
    """Return names of the switch of readers, of which one is left, with a warning."""
    if name not in _DROPPED:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    warnings.warn(
        f"{__name__}.{name} is no longer used: scrframe reads FITS by its own reader only",
        FutureWarning,
        stacklevel=2,
    )
    return _DROPPED[name]
