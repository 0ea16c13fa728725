"""Descriptors: what a plugin yields through the hooks.

A descriptor names a capability and carries its callables, all of them module-level
functions so that they can be sent to worker processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from scrframe.arrays import FloatArray
from scrframe.plugin.colour_model import FitFunction
from scrframe.tables import (
    Camera,
    Column,
    Corrections,
    Detections,
    Extinctions,
    FittedLevel,
    Footprint,
    MatchedStars,
    ReferenceStars,
    Role,
    SimulatedStars,
    SimulatedVisit,
    StarFeatures,
)


class PluginConfig(BaseModel):
    """Settings that a plugin owns: unknown keys are refused, values do not change.

    Attributes
    ----------
    renamed_keys : mapping of str to str
        Present names of keys that earlier versions called otherwise. The old ones are taken
        with a warning that says where they stand and what they are called now.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    renamed_keys: ClassVar[Mapping[str, str]] = {}


class NoConfig(PluginConfig):
    """Settings of a plugin that has none."""


@dataclass(frozen=True)
class Part:
    """A unit of input that can be read by itself: a file, a slice of one, a join.

    Attributes
    ----------
    key : str
        Stable and unique within its input, such as the path relative to the data root.
    path : Path
        The file, for messages and for writers.
    fingerprint : str
        Changes when the content does (size and modification time are enough).
    detail : mapping
        What the plugin itself needs to find the part again (row groups, a join); picklable.
    also : tuple of Path
        Further files that it is read from, such as tables to join; hashed as input.
    """

    key: str
    path: Path
    fingerprint: str
    detail: Mapping[str, Any]
    also: tuple[Path, ...] = ()


def file_part(path: Path, key: str) -> Part:
    """Return the part that is one whole file.

    Parameters
    ----------
    path : Path
        The file.
    key : str
        Its path relative to the data root, with forward slashes.
    """
    state = path.stat()
    return Part(key, path, f"{state.st_size}-{state.st_mtime_ns}", {})


@dataclass(frozen=True)
class Descriptor:
    """What every descriptor has.

    Attributes
    ----------
    name : str
        The `kind` by which a survey description names it.
    summary : str
        One line for lists.
    version : str
        Version of the plugin, for provenance.
    config : type of PluginConfig
        Its settings, the YAML block under its own name.
    """

    name: str
    summary: str
    version: str
    config: type[PluginConfig] = NoConfig


@dataclass(frozen=True, kw_only=True)
class SurveyLoader(Descriptor):
    """Reads a survey's catalogues.

    Attributes
    ----------
    parts : callable (config, root) -> list of Part
        Finds the input, without reading it; raises DataError when there is none.
    read : callable (part, config, columns) -> Detections
        Reads one part, also a `file_part` of a further catalogue; `columns` restricts the
        result to required columns plus these (None: all). Every detection is kept, in file
        order; one without a magnitude has NaN.
    columns : tuple of str
        Names of the vocabulary's columns that `read` provides.
    own_columns : tuple of Column
        Further columns, outside the vocabulary, that cuts may name.
    provided : callable (config) -> (columns, own_columns), optional
        Both for given settings, of a loader whose settings tell them.
    check : callable (part, config) -> Detections or None, optional
        A cheap check that a part is readable; raises DataError. Where it returns its first
        detections, those of all parts are compared too.
    visit_key : str
        How the key of a visit is made, for the documentation.
    visits_span_parts : bool
        Whether several parts may hold detections of one visit.
    camera : Camera or callable (config) -> Camera or None, optional
        Layout of the detectors, for simulations and figures of the focal plane.
    write_simulated : callable (visit, root, config) -> Path, optional
        Writes a simulated visit in the survey's own format, such that the settings read it,
        and returns its file; detections stay in their order.
    close_simulated : callable (root, config) -> None, optional
        Called when all visits are written, for formats that hold several in a file.
    example : callable (directory) -> config, optional
        Writes a tiny survey and returns settings that read it.
    read_rows : callable (table, config, columns, root) -> Detections, optional
        Reads rows of a catalogue that are in memory (an Arrow table) as `read` reads them in a
        file; ``row`` is the row of the table. Raises DataError where they are no such rows.
    """

    parts: Callable[[Any, Path], list[Part]]
    read: Callable[[Part, Any, Sequence[str] | None], Detections]
    columns: tuple[str, ...]
    own_columns: tuple[Column, ...] = ()
    provided: Callable[[Any], tuple[tuple[str, ...], tuple[Column, ...]]] | None = None
    check: Callable[[Part, Any], Detections | None] | None = None
    visit_key: str = ""
    visits_span_parts: bool = False
    camera: Camera | Callable[[Any], Camera | None] | None = None
    write_simulated: Callable[[SimulatedVisit, Path, Any], Path] | None = None
    close_simulated: Callable[[Path, Any], None] | None = None
    example: Callable[[Path], PluginConfig] | None = None
    read_rows: Callable[[pa.Table, Any, Sequence[str] | None, Path], Detections] | None = None

    def camera_for(self, config: Any) -> Camera | None:
        """Return the layout of the detectors with given settings."""
        return self.camera(config) if callable(self.camera) else self.camera

    def with_settings(self, config: Any) -> SurveyLoader:
        """Return the loader with the columns that it has with given settings."""
        if self.provided is None:
            return self
        columns, own_columns = self.provided(config)
        return replace(self, columns=columns, own_columns=own_columns)


@dataclass(frozen=True, kw_only=True)
class Correction(Descriptor):
    """An optional correction of a reference catalogue, from what the user supplies.

    Attributes
    ----------
    of_sources : callable (stars, config, root) -> ReferenceStars, optional
        Corrects magnitudes.
    of_spectra : callable (flux, stars, config, root) -> (flux, outside), optional
        Corrects sampled spectra, shape (n, m) on the catalogue's own grid; `stars` is a
        mapping with ``source_id`` and magnitudes; `outside` flags rows outside its range.
    files : callable (config, root) -> list of Path, optional
        Checks what the user supplies, before any work, and returns its files, which are
        hashed as input; raises DataError where they cannot be used.
    """

    of_sources: Callable[[ReferenceStars, Any, Path], ReferenceStars] | None = None
    of_spectra: Callable[..., tuple[FloatArray, npt.NDArray[np.bool_]]] | None = None
    files: Callable[[Any, Path], list[Path]] | None = None


@dataclass(frozen=True)
class ChosenCorrection:
    """A correction with its settings, as the description asks for it."""

    correction: Correction
    config: PluginConfig
    root: Path


@dataclass(frozen=True, kw_only=True)
class ReferenceCatalogue(Descriptor):
    """Supplies reference stars and what their intrinsic colour is predicted from.

    Attributes
    ----------
    provides : {"spectra", "parameters", "colour"}
        Only spectra are dereddened and standardised; a colour needs no training.
    source_parts : callable (config, root) -> list of Part
    read_sources : callable (part, config, footprint, corrections) -> ReferenceStars
        Reads the stars of one part that lie in the footprint and have features.
    feature_parts : callable (config, root) -> list of Part
    read_features : callable (part, config, stars, corrections) -> Spectra or Quantities
        Reads one part; only the stars given, a ReferenceStars sorted by source_id. Spectra
        from a catalogue that provides these, else Quantities; of colours a single one, the
        observed colour band - reference magnitude.
    columns : tuple of str
        Names of the vocabulary's columns that `read_sources` provides; ``snr`` among them if
        Quantities have a S/N.
    own_columns : tuple of Column
        Further columns that cuts may name.
    corrections : tuple of Correction
        The corrections that it understands.
    band : str
        Label of ``reference_mag`` on the axes of figures, such as ``G_BP``.
    write_simulated : callable (stars, root, gaia_format) -> None, optional
        Writes simulated stars in its own formats, "parquet" or "csv".
    example : callable (directory) -> config, optional
        Writes a tiny catalogue and returns settings that read it; where there is
        `write_simulated`, only what else its files need, with settings that also read these.
    fetched : callable (config) -> mapping of str to str, optional
        What of it archives have ("sources", "spectra"), and the pattern of the files of each.
    """

    provides: Literal["spectra", "parameters", "colour"]
    source_parts: Callable[[Any, Path], list[Part]]
    read_sources: Callable[
        [Part, Any, Footprint | None, Sequence[ChosenCorrection]], ReferenceStars
    ]
    feature_parts: Callable[[Any, Path], list[Part]]
    read_features: Callable[[Part, Any, ReferenceStars, Sequence[ChosenCorrection]], StarFeatures]
    columns: tuple[str, ...]
    own_columns: tuple[Column, ...] = ()
    corrections: tuple[Correction, ...] = ()
    band: str = ""
    check: Callable[[Part, Any], None] | None = None
    write_simulated: Callable[[SimulatedStars, Path, str], None] | None = None
    example: Callable[[Path], PluginConfig] | None = None
    fetched: Callable[[Any], Mapping[str, str]] | None = None


@dataclass(frozen=True, kw_only=True)
class ExtinctionCatalogue(Descriptor):
    """Supplies the extinction of stars and its error.

    Attributes
    ----------
    parts : callable (config, root) -> list of Part
    read : callable (part, config, source_id) -> Extinctions
        Reads one part; only the stars given, an ascending array of int64.
    columns : tuple of str
        Names of the vocabulary's columns that `read` provides.
    example : callable (directory) -> config, optional
        Writes a tiny catalogue and returns settings that read it.
    fetched : callable (config) -> mapping of str to str, optional
        What of it archives have ("extinctions"), and the pattern of its files.
    """

    parts: Callable[[Any, Path], list[Part]]
    read: Callable[[Part, Any, npt.NDArray[np.int64]], Extinctions]
    columns: tuple[str, ...]
    own_columns: tuple[Column, ...] = ()
    check: Callable[[Part, Any], None] | None = None
    write_simulated: Callable[[SimulatedStars, Path], None] | None = None
    example: Callable[[Path], PluginConfig] | None = None
    fetched: Callable[[Any], Mapping[str, str]] | None = None


@dataclass(frozen=True, kw_only=True)
class ExtinctionCurve(Descriptor):
    """An extinction curve k(wavelength) = A / E in mag per unit E.

    Attributes
    ----------
    curve : callable (config, wavelength_nm) -> ndarray
        k at wavelengths in nm, same shape; raises CalibrationError outside its range.
    """

    curve: Callable[[Any, FloatArray], FloatArray]


@dataclass(frozen=True, kw_only=True)
class ColourModel(Descriptor):
    """A backend that learns intrinsic colours; heavy libraries load inside `fit`.

    Attributes
    ----------
    fit : callable (features, colour_mag, weights, config, seed, threads) -> FittedColourModel
    learns : bool
        False for the one that stands for no training at all, which goes with a reference
        catalogue that provides colours, and with no other.
    """

    fit: FitFunction
    learns: bool = True


def role_in_settings(config: Any) -> Role:
    """Return the role that a level's settings name, or that of a correction."""
    role: Role = getattr(config, "role", "correction")
    return role


@dataclass(frozen=True, kw_only=True)
class OffsetLevel(Descriptor):
    """A kind of offset level.

    Attributes
    ----------
    prepare : callable (name, matched, config) -> FittedLevel
        Finds groups, bins or knots in a calibration sample. For levels, `config` is the
        whole entry of the description less `name`, `kind` and `parent`.
    restore : callable (name, labels, state, config) -> FittedLevel
        The inverse of `FittedLevel.labels` and `FittedLevel.state`.
    needs : callable (config) -> tuple of str
        Names of the columns of detections that the level reads.
    role : callable (config) -> {"correction", "nuisance", "colour"}
        A nuisance term may read columns of stars; a correction only what catalogues hold.
    """

    prepare: Callable[[str, MatchedStars, Any], FittedLevel]
    restore: Callable[[str, pa.Table, Mapping[str, Any], Any], FittedLevel]
    needs: Callable[[Any], tuple[str, ...]]
    role: Callable[[Any], Role] = role_in_settings


@dataclass(frozen=True, kw_only=True)
class Diagnostic(Descriptor):
    """A figure of merit of a finished calibration.

    Attributes
    ----------
    compute : callable (stars, config) -> mapping
        From the columns of ``stars.parquet`` to numbers, which go into ``summary.json``.
    """

    compute: Callable[[pa.Table, Any], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Writer(Descriptor):
    """Writes a corrected catalogue.

    Attributes
    ----------
    write : callable (part, detections, corrections, root, out, config, note) -> list of Path
        Writes every detection of one part below the directory `out`, with the part's path
        relative to `root`; `note` is said on the product (simulated data). The framework
        renames what was written into place.
    suffixes : tuple of str
        The file names that it can write, by their ending.
    pieces : bool
        Whether parts of one file get files of their own; else parts must be whole files.
    """

    write: Callable[[Part, Detections, Corrections, Path, Path, Any, str], list[Path]]
    suffixes: tuple[str, ...] = ()
    pieces: bool = False
