"""Reference stars, extinctions and features: read in parallel, only what is wanted.

Spectra and quantities become the features of a colour model here, star by star.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from scrframe.arrays import FloatArray, give_memory_back
from scrframe.errors import DataError, number_of
from scrframe.plugin import (
    ChosenCorrection,
    ExtinctionCatalogue,
    Part,
    PluginConfig,
    ReferenceCatalogue,
)
from scrframe.products.files import load_arrow, save_arrow, seal, sealed
from scrframe.run.engines.engine import Shared
from scrframe.run.inputs import FileState, unchanged
from scrframe.run.plugins import SelectedPlugins
from scrframe.run.session import Session
from scrframe.run.workers import run_tasks
from scrframe.scr.features import ColumnScale, intrinsic_features
from scrframe.tables import (
    Extinctions,
    Footprint,
    Quantities,
    ReferenceStars,
    Spectra,
    StarFeatures,
)
from scrframe.tables.table import plausible

#: What a catalogue provides, in words: what is read, and what a star has.
READ = {"spectra": "spectra", "parameters": "stellar parameters", "colour": "colours"}
HAS = {"spectra": "a spectrum", "parameters": "parameters", "colour": "a colour"}


@dataclass(frozen=True)
class ReferenceTask:
    """Reference data of one part, to be read in a worker."""

    #: Returns an Arrow table and its metadata from a part; travels once to each worker.
    read: Shared[Callable[[Part], tuple[pa.Table, Mapping[str, Any]]]]
    part: Part
    #: Arrow file, which stays if it is whole.
    target: Path
    #: The files of the part as they were found.
    known: tuple[FileState, ...]


def read_reference(task: ReferenceTask) -> Path:
    """Read the reference data of one part into an Arrow file."""
    if sealed(task.target) is None:
        with unchanged(task.part, task.known):
            save_arrow(task.target, *task.read.get()(task.part))
        seal(task.target)
        give_memory_back()  # spectra pass through, and few of them stay
    return task.target


def _read_all(
    session: Session,
    step: str,
    title: str,
    parts: Sequence[Part],
    read: Callable[[Part], tuple[pa.Table, Mapping[str, Any]]],
    wanted: Sequence[npt.NDArray[Any]],
) -> list[Path]:
    """Read all parts in parallel and return their Arrow files.

    What is `wanted` of each part is told by arrays; files of other wishes are not taken.
    """
    wish = hashlib.sha256(b"".join(np.ascontiguousarray(each).tobytes() for each in wanted))
    shared = Shared(read, session.workspace.shared)
    tasks = [
        ReferenceTask(
            shared,
            part,
            session.workspace.target(step, f"{part.key}|{part.fingerprint}|{wish.hexdigest()}"),
            session.known(part),
        )
        for part in parts
    ]
    with session.observer.step(title, len(tasks)) as done:
        return run_tasks(session.executor, read_reference, tasks, done)


def _discs(footprint: Footprint) -> tuple[FloatArray, ...]:
    return footprint.ra_deg, footprint.dec_deg, np.array([footprint.radius_deg])


def _read_sources(
    catalogue: ReferenceCatalogue,
    settings: PluginConfig,
    footprint: Footprint,
    corrections: tuple[ChosenCorrection, ...],
    part: Part,
) -> tuple[pa.Table, Mapping[str, Any]]:
    stars = catalogue.read_sources(part, settings, footprint, corrections)
    return plausible(stars, str(part.path)).arrow, {}


def _read_extinctions(
    catalogue: ExtinctionCatalogue, settings: PluginConfig, wanted: Path, part: Part
) -> tuple[pa.Table, Mapping[str, Any]]:
    """Read extinctions of the stars listed in an Arrow file."""
    sources = load_arrow(wanted)[0].column("source_id").to_numpy()
    return plausible(catalogue.read(part, settings, sources), str(part.path)).arrow, {}


def _read_features(
    catalogue: ReferenceCatalogue,
    settings: PluginConfig,
    corrections: tuple[ChosenCorrection, ...],
    wanted: Path,
    part: Part,
) -> tuple[pa.Table, Mapping[str, Any]]:
    """Read spectra or quantities of the stars in an Arrow file."""
    stars = ReferenceStars(load_arrow(wanted)[0])
    return features_to_arrow(catalogue.read_features(part, settings, stars, corrections))


def features_to_arrow(features: StarFeatures) -> tuple[pa.Table, Mapping[str, Any]]:
    """Return spectra or quantities as an Arrow table, and what `load_features` needs besides."""
    columns = {"source_id": features.source_id, "snr": features.snr, "flags": features.flags}
    if isinstance(features, Spectra):
        columns["flux"] = _lists(features.flux)
        return pa.table(columns), {"wavelength_nm": features.wavelength_nm.tolist()}
    columns |= {"values": _lists(features.values), "errors": _lists(features.errors)}
    return pa.table(columns), {"names": list(features.names)}


def load_features(path: Path) -> StarFeatures:
    """Read spectra or quantities back."""
    table, meta = load_arrow(path)
    table = table.combine_chunks()
    source_id, snr, flags = (
        table.column(name).to_numpy() for name in ("source_id", "snr", "flags")
    )
    if "wavelength_nm" in meta:
        grid = np.array(meta["wavelength_nm"])
        return Spectra(source_id, grid, _matrix(table, "flux", len(grid)), snr, flags)
    names = tuple(meta["names"])
    values, errors = (_matrix(table, name, len(names)) for name in ("values", "errors"))
    return Quantities(source_id, names, values, errors, snr, flags)


def _lists(values: npt.NDArray[np.floating]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _matrix(table: pa.Table, name: str, width: int) -> npt.NDArray[Any]:
    column = table.column(name).combine_chunks()
    values = column.flatten() if isinstance(column, pa.Array) else column.chunk(0).flatten()
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(-1, width)


def all_sources(session: Session, footprint: Footprint) -> ReferenceStars:
    """Return the reference stars in the footprint, ordered by ``source_id``, each once.

    Raises DataError if there is none.
    """
    catalogue, parts = session.plugins.reference, session.inputs.sources
    settings = session.plugins.survey.reference.settings
    corrections = session.plugins.corrections(session.inputs.root)
    read = partial(_read_sources, catalogue, settings, footprint, corrections)
    files = _read_all(session, "sources", "Reading reference stars", parts, read, _discs(footprint))
    stars = ReferenceStars.concat(ReferenceStars(load_arrow(file)[0]) for file in files)
    _, first = np.unique(stars["source_id"], return_index=True)
    if not len(first):
        raise DataError(
            f"reference.{catalogue.name}: no reference star lies where the catalogues are;"
            f" searched {number_of(len(parts), 'part')}, the first being"
            f" {parts[0].path}{_likely(footprint)}"
        )
    return stars.take(first)


def _likely(footprint: Footprint) -> str:
    """Return a question about the unit of positions, if they fit into another."""
    if footprint.ra_deg.max() <= 2 * np.pi and np.abs(footprint.dec_deg).max() <= np.pi / 2:
        return "; are the positions of the catalogues in radians?"
    if footprint.ra_deg.max() <= 24:
        return "; are the right ascensions of the catalogues in hours?"
    return ""


def all_extinctions(
    session: Session, wanted: npt.NDArray[np.int64], *, second: bool = False
) -> Extinctions:
    """Return the extinctions of the stars wanted, ordered by ``source_id``, each once.

    `wanted`, shape (s,), are their identifiers; the `second` catalogue is one that the description
    must name. Raises DataError if none of the stars has one.
    """
    plugins, block = session.plugins, session.plugins.survey.extinction.values
    catalogue, parts = plugins.extinctions, session.inputs.extinctions
    if second:
        assert plugins.second_extinctions is not None
        assert plugins.survey.extinction.second_values is not None
        catalogue, block = plugins.second_extinctions, plugins.survey.extinction.second_values
        parts = session.inputs.second_extinctions
    listed = session.workspace.target("wanted", "extinctions")
    save_arrow(listed, pa.table({"source_id": wanted}))
    read = partial(_read_extinctions, catalogue, block.settings, listed)
    files = _read_all(session, "extinctions", "Reading extinctions", parts, read, (wanted,))
    found = Extinctions.concat(Extinctions(load_arrow(file)[0]) for file in files)
    _, first = np.unique(found["source_id"], return_index=True)
    if not len(first):
        raise DataError(
            f"extinction.values: none of {len(wanted)} matched stars is in {catalogue.name}"
            f" ({number_of(len(parts), 'file')}, the first being {parts[0].path})"
        )
    return found.take(first)


def all_features(session: Session, wanted: ReferenceStars) -> StarFeatures:
    """Return spectra or quantities of the stars wanted, ordered by ``source_id``, each once.

    Raises DataError if none of them has any.
    """
    catalogue, parts = session.plugins.reference, session.inputs.features
    settings = session.plugins.survey.reference.settings
    corrections = session.plugins.corrections(session.inputs.root)
    listed = session.workspace.target("wanted", "spectra")
    save_arrow(listed, wanted.arrow)
    read = partial(_read_features, catalogue, settings, corrections, listed)
    title = f"Reading {READ[catalogue.provides]}"
    files = _read_all(session, "spectra", title, parts, read, (wanted["source_id"],))
    read_parts = [load_features(file) for file in files]
    # A catalogue has either spectra or quantities.
    spectra = [part for part in read_parts if isinstance(part, Spectra)]
    quantities = [part for part in read_parts if isinstance(part, Quantities)]
    features = Spectra.concat(spectra) if not quantities else Quantities.concat(quantities)
    _, first = np.unique(features.source_id, return_index=True)
    if not len(first):
        raise DataError(
            f"reference.{catalogue.name}: none of {len(wanted)} matched stars has"
            f" {HAS[catalogue.provides]} in {number_of(len(parts), 'part')}, the first"
            f" being {parts[0].path}"
        )
    return features.take(first)


#: Column of the sample's stars: the colour that the catalogue predicts.
CATALOGUE_COLOUR = "catalogue_colour"
#: Makes features, shape (s, m), of the rows of what a catalogue tells and of extinctions.
MakeFeatures = Callable[[npt.NDArray[np.floating], FloatArray], npt.NDArray[np.float32]]


def feature_maker(plugins: SelectedPlugins, features: StarFeatures) -> MakeFeatures:
    """Return how features follow: spectra are dereddened and standardised, star by star.

    Quantities are brought to one scale, that of these stars, whatever the extinction.
    """
    if isinstance(features, Spectra):
        k_mag = own_curve(plugins, features)
        standardise = plugins.survey.colour_model.standardise
        return lambda flux, extinction: intrinsic_features(flux, k_mag, extinction, standardise)
    scale = ColumnScale.on(features.values)
    return lambda values, extinction: scale(values)


def own_curve(plugins: SelectedPlugins, spectra: Spectra) -> FloatArray:
    """Return the run's extinction curve on the grid of spectra, mag per unit E, shape (m,)."""
    settings = plugins.survey.extinction.curve.settings
    return plugins.curve.curve(settings, spectra.wavelength_nm)


def noise_of(features: StarFeatures) -> FloatArray:
    """Return each star's own errors.

    Of spectra the error at each wavelength as a share of the flux, shape (s,); of quantities
    the errors themselves, shape (s, m), the column's median where one is not known.
    """
    if isinstance(features, Spectra):
        return 1 / np.asarray(features.snr, dtype=np.float64)
    errors = np.array(features.errors)
    for column in errors.T:
        usable = np.isfinite(column) & (column >= 0)
        column[~usable] = np.median(column[usable]) if usable.any() else 0.0
    return errors


def without_errors(features: StarFeatures) -> list[str]:
    """Return which quantities have no error at any star."""
    if isinstance(features, Spectra):
        return []
    return [
        name
        for name, errors in zip(features.names, features.errors.T, strict=True)
        if not np.isfinite(errors).any()
    ]


def label_of(features: StarFeatures) -> str:
    """Return what the counts of a sample call the stars that have features."""
    if isinstance(features, Spectra):
        return "has a spectrum"
    return f"has {', '.join(features.names)}"


def snr_name(features: StarFeatures) -> str:
    """Return the vocabulary's name of the S/N."""
    return "snr" if isinstance(features, Quantities) else "xp_snr"
