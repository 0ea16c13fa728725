"""Reference stars, extinctions and spectra: read in parallel, only what is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scrframe.errors import DataError
from scrframe.pipeline.executor import run_tasks
from scrframe.pipeline.observer import Observer
from scrframe.pipeline.workspace import Workspace, load_arrow, save_arrow
from scrframe.plugin import (
    ChosenCorrection,
    ExtinctionCatalogue,
    Part,
    PluginConfig,
    ReferenceCatalogue,
)
from scrframe.tables import Extinctions, Footprint, ReferenceStars, Spectra


@dataclass(frozen=True)
class SourceTask:
    """Reference stars of one part, within a footprint."""

    catalogue: ReferenceCatalogue
    settings: PluginConfig
    part: Part
    footprint: Footprint
    corrections: tuple[ChosenCorrection, ...]
    target: Path


@dataclass(frozen=True)
class ExtinctionTask:
    """Extinctions of one part, of the stars listed in an Arrow file."""

    catalogue: ExtinctionCatalogue
    settings: PluginConfig
    part: Part
    wanted: Path
    target: Path


@dataclass(frozen=True)
class FeatureTask:
    """Spectra of one part, of the stars in an Arrow file."""

    catalogue: ReferenceCatalogue
    settings: PluginConfig
    part: Part
    wanted: Path
    corrections: tuple[ChosenCorrection, ...]
    target: Path


def read_sources(task: SourceTask) -> Path:
    """Read one part's reference stars into an Arrow file."""
    if not task.target.exists():
        stars = task.catalogue.read_sources(
            task.part, task.settings, task.footprint, task.corrections
        )
        save_arrow(task.target, stars.arrow)
    return task.target


def read_extinctions(task: ExtinctionTask) -> Path:
    """Read one part's extinctions into an Arrow file."""
    if not task.target.exists():
        wanted = load_arrow(task.wanted)[0].column("source_id").to_numpy()
        found = task.catalogue.read(task.part, task.settings, wanted)
        save_arrow(task.target, found.arrow)
    return task.target


def read_features(task: FeatureTask) -> Path:
    """Read one part's spectra into an Arrow file."""
    if not task.target.exists():
        wanted = ReferenceStars(load_arrow(task.wanted)[0])
        spectra = task.catalogue.read_features(task.part, task.settings, wanted, task.corrections)
        save_spectra(task.target, spectra)
    return task.target


def save_spectra(path: Path, spectra: Spectra) -> None:
    """Write spectra as an Arrow file."""
    width = len(spectra.wavelength_nm)
    flux = pa.FixedSizeListArray.from_arrays(pa.array(spectra.flux.ravel()), width)
    table = pa.table(
        {
            "source_id": spectra.source_id,
            "flux": flux,
            "snr": spectra.snr,
            "flags": spectra.flags,
        }
    )
    save_arrow(path, table, {"wavelength_nm": spectra.wavelength_nm.tolist()})


def load_spectra(path: Path) -> Spectra:
    """Read spectra back."""
    table, meta = load_arrow(path)
    grid = np.array(meta["wavelength_nm"])
    table = table.combine_chunks()
    flux = table.column("flux").combine_chunks()
    values = flux.flatten() if isinstance(flux, pa.Array) else flux.chunk(0).flatten()
    return Spectra(
        table.column("source_id").to_numpy(),
        grid,
        values.to_numpy(zero_copy_only=False).reshape(-1, len(grid)),
        table.column("snr").to_numpy(),
        table.column("flags").to_numpy(),
    )


def all_sources(
    executor: Executor,
    space: Workspace,
    catalogue: ReferenceCatalogue,
    settings: PluginConfig,
    parts: Sequence[Part],
    footprint: Footprint,
    corrections: tuple[ChosenCorrection, ...],
    observer: Observer,
) -> ReferenceStars:
    """Return the reference stars in the footprint, ordered by ``source_id``, each once.

    Raises
    ------
    DataError
        If there is none.
    """
    tasks = [
        SourceTask(
            catalogue, settings, part, footprint, corrections,
            space.target("sources", f"{part.key}|{part.fingerprint}"),
        )
        for part in parts
    ]  # fmt: skip
    with observer.step("Reading reference stars", len(tasks)) as done:
        files = run_tasks(executor, read_sources, tasks, done)
    stars = ReferenceStars.concat(ReferenceStars(load_arrow(file)[0]) for file in files)
    _, first = np.unique(stars["source_id"], return_index=True)
    if not len(first):
        raise DataError(
            f"reference.{catalogue.name}: no reference star lies where the catalogues are;"
            f" looked into {len(parts)} part(s), the first being {parts[0].path}"
        )
    return stars.take(first)


def all_extinctions(
    executor: Executor,
    space: Workspace,
    catalogue: ExtinctionCatalogue,
    settings: PluginConfig,
    parts: Sequence[Part],
    wanted: npt.NDArray[np.int64],
    observer: Observer,
) -> Extinctions:
    """Return the extinctions of the stars wanted, ordered by ``source_id``, each once.

    Raises
    ------
    DataError
        If none of the stars has one.
    """
    listed = space.target("wanted", "extinctions")
    save_arrow(listed, pa.table({"source_id": wanted}))
    tasks = [
        ExtinctionTask(
            catalogue, settings, part, listed,
            space.target("extinctions", f"{part.key}|{part.fingerprint}"),
        )
        for part in parts
    ]  # fmt: skip
    with observer.step("Reading extinctions", len(tasks)) as done:
        files = run_tasks(executor, read_extinctions, tasks, done)
    found = Extinctions.concat(Extinctions(load_arrow(file)[0]) for file in files)
    _, first = np.unique(found["source_id"], return_index=True)
    if not len(first):
        raise DataError(
            f"extinction.values: none of {len(wanted)} matched stars is in {catalogue.name}"
            f" ({len(parts)} file(s), the first being {parts[0].path})"
        )
    return found.take(first)


def all_spectra(
    executor: Executor,
    space: Workspace,
    catalogue: ReferenceCatalogue,
    settings: PluginConfig,
    parts: Sequence[Part],
    wanted: ReferenceStars,
    corrections: tuple[ChosenCorrection, ...],
    observer: Observer,
) -> Spectra:
    """Return the spectra of the stars wanted, ordered by ``source_id``, each once.

    Raises
    ------
    DataError
        If none of the stars has one.
    """
    listed = space.target("wanted", "spectra")
    save_arrow(listed, wanted.arrow)
    tasks = [
        FeatureTask(
            catalogue, settings, part, listed, corrections,
            space.target("spectra", f"{part.key}|{part.fingerprint}"),
        )
        for part in parts
    ]  # fmt: skip
    with observer.step("Reading spectra", len(tasks)) as done:
        files = run_tasks(executor, read_features, tasks, done)
    spectra = Spectra.concat([load_spectra(file) for file in files])
    _, first = np.unique(spectra.source_id, return_index=True)
    if not len(first):
        raise DataError(
            f"reference.{catalogue.name}: none of {len(wanted)} matched stars has a spectrum in"
            f" {len(parts)} part(s), the first being {parts[0].path}"
        )
    return spectra.take(first)
