"""The cache of simulated surveys: filled once, atomically, and keyed by what they hold."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from scrframe.config.simulation import SimulationSettings
from scrframe.errors import DataError

#: To be raised whenever the same settings give other data.
GENERATOR_VERSION = 2


def cache_folder() -> Path:
    """Return ``$SCRFRAME_CACHE``, else the platform's folder for caches."""
    chosen = os.environ.get("SCRFRAME_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_cache_path  # noqa: PLC0415 - only here

    return user_cache_path("scrframe")


def sample_key(settings: SimulationSettings, loader: str, *others: str) -> str:
    """Return the name of a survey's folder: generator version, seed and a digest.

    Parameters
    ----------
    loader : str
        Name of the survey loader.
    *others : str
        What else the files depend on: names of the reference and extinction catalogues, of
        the extinction curve, and of the band.
    """
    text = json.dumps(settings.model_dump(mode="json"), sort_keys=True)
    digest = hashlib.sha256("\n".join([loader, *others, text]).encode()).hexdigest()[:12]
    return f"sample-{loader}-v{GENERATOR_VERSION}-s{settings.seed}-{digest}"


def sample_tree(
    settings: SimulationSettings, loader: str, fill: Callable[[Path], None], *others: str
) -> Path:
    """Return the folder of a simulated survey, filled at its first use.

    Processes that ask for it at the same time each fill a folder of their own; the first to
    be done moves it into place and the others take that one.

    Parameters
    ----------
    loader : str
        Name of the survey loader whose format it is in.
    fill : callable (folder)
        Writes the survey into an existing, empty folder.
    *others : str
        What else the files depend on, see `sample_key`.

    Raises
    ------
    DataError
        If the cache cannot be written.
    """
    folder = cache_folder()
    target = folder / sample_key(settings, loader, *others)
    if target.is_dir():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=folder))
    except OSError as error:
        raise DataError(
            f"{folder}: cannot keep the sample survey here ({error.strerror});"
            " set SCRFRAME_CACHE to a folder that can be written"
        ) from None
    try:
        fill(scratch)
        scratch.chmod(0o755)
        try:
            scratch.replace(target)
        except OSError:
            # Another process was first: a folder that is not empty cannot be replaced.
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target
