"""`open_run`: all that a finished run has found, in one object."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Column

from scrframe.builtin.writers.columns import WHOLE, about
from scrframe.errors import CalibrationError, ConfigError
from scrframe.export.star_flats import StarFlat, StarFlats
from scrframe.export.write import Exported, export_run
from scrframe.export.zero_points import exposure_table, zero_point_table
from scrframe.handle.plot import RunPlots
from scrframe.handle.summary import RunSummary, short_facts, summary_html
from scrframe.handle.tables import (
    ProductTable,
    arrow_of,
    declared_table,
    ecsv_product,
    parquet_product,
    with_columns,
)
from scrframe.plugin import Registry
from scrframe.products.columns import ProductColumn
from scrframe.products.files import read_summary
from scrframe.products.finished_run import RunProducts
from scrframe.products.run_data import RunData
from scrframe.products.solution import LAW, SOLUTION, VISITS
from scrframe.products.stars import STAR_CATALOGUE
from scrframe.run.in_memory import CorrectedRows, Reading, correct_rows
from scrframe.tables import Camera, Solution

if TYPE_CHECKING:
    from scrframe.analysis.explain.opened_run import Explanation

#: What the table of visits tells beside ``visits.ecsv``.
_OF_VISITS = (
    ProductColumn("offset", "mag", "float64", "correction of the visit, to be added, without u_ZP"),
    ProductColumn("offset_err", "mag", "float64", "its standard error"),
    ProductColumn("scatter", "mag", "float64", "standard deviation within the visit"),
    ProductColumn("n_calibration", "", "int64", "detections of the Calibration Sample behind it"),
)
_CHECKS = (
    ProductColumn("name", "", "string", "key of the test"),
    ProductColumn("title", "", "string", "what it tests"),
    ProductColumn("value", "", "float64", "the number that was judged, in `unit`"),
    ProductColumn("limit", "", "float64", "what it must not exceed, in `unit`"),
    ProductColumn("unit", "", "string", "unit of both"),
    ProductColumn("verdict", "", "string", "passed, failed or not testable"),
    ProductColumn("reason", "", "string", "why, in one sentence"),
)


class FinishedRun:
    """A finished run, opened; `open_run` gives one.

    Tables are astropy's, with units and descriptions; ``to_pandas()`` and ``to_arrow()`` of each
    give other forms. What is read is read when it is first asked for. `path` is its directory.
    """

    def __init__(self, products: RunProducts, registry: Registry) -> None:
        self._products, self._registry = products, registry

    @property
    def path(self) -> Path:
        """Its directory."""
        return self._products.path

    @property
    def summary(self) -> RunSummary:
        """The content of ``summary.json``; ``summary.to_table()`` gives its figures one a row."""
        return RunSummary(self._products.summary)

    @property
    def solution(self) -> Solution:
        """All that corrects a catalogue, as arrays."""
        return self._products.solution

    @property
    def camera(self) -> Camera | None:
        """Layout of the detectors, if the survey's loader tells it."""
        return self._products.camera

    @property
    def note(self) -> str:
        """What every product says of its data; empty for real data."""
        return self._products.note

    @property
    def system(self) -> str:
        """System of the calibrated magnitudes: AB, Vega, or the survey's own."""
        return self.solution.system

    @cached_property
    def visits(self) -> ProductTable:
        """The visits that the run has read, a row each, with their offsets and errors."""
        table, facts = ecsv_product(self.path / SOLUTION / VISITS), self._data.visit_table
        row_of = {key: row for row, key in enumerate(facts.visit)}
        rows = np.array([row_of[str(key)] for key in table["visit"]], dtype=np.int64)
        values = (facts.offset_mag, facts.err_mag, facts.scatter_mag, facts.count)
        for column, known in zip(_OF_VISITS, values, strict=True):
            table[column.name] = Column(
                np.asarray(known)[rows], unit=column.unit or None, description=column.description
            )
        table.meta |= self._facts
        return table

    @cached_property
    def exposures(self) -> ProductTable:
        """The offset of every CCD in every visit, a row each, without u_ZP and without maps."""
        columns, values = exposure_table(self._products, self._data, self._registry)
        return declared_table(columns, values, self._facts)

    def stars(self, columns: list[str] | tuple[str, ...] | None = None) -> ProductTable:
        """Return detections of the Calibration Sample, a row each.

        Parameters
        ----------
        columns : list of str, optional
            Columns of ``stars.parquet``; by default all.

        Raises
        ------
        DataError
            If the run has no such column.
        """
        return parquet_product(self.path / "stars.parquet", columns, self._facts)

    def star_catalogue(self, columns: list[str] | tuple[str, ...] | None = None) -> ProductTable:
        """Return the stars of the Calibration Sample, a row each.

        Parameters
        ----------
        columns : list of str, optional
            Columns of ``star_catalogue.parquet``; by default all.

        Raises
        ------
        DataError
            If the run has no such column.
        """
        return parquet_product(self.path / STAR_CATALOGUE, columns, self._facts)

    @cached_property
    def law(self) -> ProductTable:
        """The reddening law R(C0, E), a coefficient a row; the covariance is in ``meta``."""
        return ecsv_product(self.path / SOLUTION / LAW)

    @cached_property
    def checks(self) -> ProductTable:
        """The null tests and their verdicts, a row each; made now if the run has no report."""
        folder = self.path / "report"
        if (folder / "checks.json").exists():
            found = read_summary(folder, "checks.json", "a report")["checks"]
        else:
            from scrframe.checks.run_checks import run_checks  # noqa: PLC0415 - slow to import

            found = [each.to_json() for each in run_checks(self._products)]
        values: dict[str, Any] = {
            column.name: [each[column.name] for each in found] for column in _CHECKS
        }
        for name in ("value", "limit"):
            numbers = [np.nan if each is None else each for each in values[name]]
            values[name] = np.array(numbers, dtype=np.float64)
        return declared_table(_CHECKS, values, self._facts)

    def correct(
        self,
        table: Any,
        columns: Mapping[str, str] | None = None,
        *,
        unknown_visit: str = "flag",
    ) -> Any:
        """Return detections with calibrated magnitudes, as a corrected catalogue has them.

        Parameters
        ----------
        table : astropy Table, pandas DataFrame, pyarrow Table or mapping of arrays
            Detections: rows of the survey's own catalogues where its loader reads tables, or
            columns called as scrframe calls them (``visit``, ``ccd``, ``mag``, ``mag_err``, and
            what the maps need, mostly ``x`` and ``y``).
        columns : mapping of str to str, optional
            Where scrframe's columns stand in the table: ``{"mag": "MAG_AUTO"}``.
        unknown_visit : {"flag", "stop"}
            Whether visits that the run has not read are left uncorrected, with a warning of one
            line, or are an error.

        Returns
        -------
        table of the same kind
            A copy with ``MAG_OBS``, ``MAG_CAL``, ``OFFSET_*``, the errors ``OFFSET_TOTAL_ERR``,
            ``MAG_CAL_ERR`` and ``MAG_CAL_SYS``, ``OFFSET_LEVEL`` and ``CAL_FLAGS``; a mapping
            comes back as an astropy table.

        Raises
        ------
        DataError
            If a column that is needed is missing, or the table is corrected already.
        CalibrationError
            If a visit is unknown and `unknown_visit` is ``stop``.
        """
        found = self.corrected_rows(arrow_of(table), columns)
        facts = {"magnitude_system": found.system, "run": str(self.path), "data_note": self.note}
        return finish_correction(table, found, facts, unknown_visit)

    def zero_points(self, unit: str = "mag") -> ProductTable:
        """Return the zero point of each exposure, a CCD in a visit, with its errors and level.

        Parameters
        ----------
        unit : {"mag", "AB", "flux"}
            ``mag``: what is added to observed magnitudes, on the run's own system; ``AB``: the
            same, of a run that an absolute tie has put on AB; ``flux``: the factor of fluxes.

        Raises
        ------
        ConfigError
            If the unit is another, or AB is asked of a run on another system.
        """
        columns, values = zero_point_table(self._products, self._data, self._registry, unit)
        return declared_table(columns, values, self._facts)

    def star_flat(
        self,
        ccd: int,
        season: int | None = None,
        *,
        visit: str | None = None,
        binning: int = 1,
        shape: tuple[int, int] | None = None,
    ) -> StarFlat:
        """Return what the correction of a CCD varies by over its pixels.

        Parameters
        ----------
        ccd : int
            Its number.
        season : int, optional
            Year in whose October the season begins; needed where maps differ by season.
        visit : str, optional
            Key of a visit, whose season and surfaces then count too.
        binning : int
            Side in pixels of a value's square.
        shape : (int, int), optional
            Size of a detector along x and y; by default the camera's, or what stars span.

        Raises
        ------
        ConfigError
            If the season is needed and not given.
        DataError
            If the run knows no such CCD, season or visit.
        """
        return self._flats.flat(ccd, season=season, visit=visit, binning=binning, shape=shape)

    def export(
        self,
        *,
        star_flats: str | Path | None = None,
        headers: str | Path | None = None,
        zero_points: str | Path | None = None,
        **options: Any,
    ) -> Exported:
        """Write star flats, headers and zero points for images; see `scrframe export`.

        Parameters
        ----------
        star_flats, headers : path, optional
            Folders for star flats and for ``.head`` files; left out if not given.
        zero_points : path, optional
            File of the table of zero points: ECSV, FITS, CSV or Parquet by its name.
        **options
            `binning`, `kind` and `image_zero_point`, as of the command, and an `observer`.

        Raises
        ------
        ConfigError
            If nothing is asked for, or a place cannot be written.
        """
        return export_run(
            self._products,
            self._data,
            self._registry,
            star_flats=star_flats,
            headers=headers,
            zero_points=zero_points,
            **options,
        )

    def explain(
        self, *, visit: str | None = None, ccd: int | None = None, star: int | None = None
    ) -> Explanation:
        """Return why an offset is what it is: of a visit, a CCD, both, or a star's detections.

        Parameters
        ----------
        visit : str, optional
            Key of a visit.
        ccd : int, optional
            Number of a CCD: of all visits, or of the visit that is named, too.
        star : int, optional
            Identifier of a reference star; alone.

        Raises
        ------
        ConfigError
            If nothing is named, or a star together with something else.
        DataError
            If the run does not know what is named.
        """
        from scrframe.analysis.explain import explain_run  # noqa: PLC0415 - not always

        return explain_run(self._products, self._registry, visit=visit, ccd=ccd, star=star)

    @property
    def plot(self) -> RunPlots:
        """The figures of the report, each by a call: ``run.plot.reddening()``."""
        return RunPlots(self._data)

    @cached_property
    def _data(self) -> RunData:
        return self._products.data()

    @cached_property
    def _flats(self) -> StarFlats:
        return StarFlats(self._products, self._data, self._registry)

    @property
    def _facts(self) -> dict[str, str]:
        survey = self._products.survey
        facts = {"survey": survey.name, "band": survey.band, "magnitude_system": self.system}
        colour = self.solution.colour
        if colour is not None:  # at which offsets hold
            facts["reference_colour_mag"] = f"{colour.reference_mag:.3f}"
        return {**facts, "data_note": self.note} if self.note else facts

    def corrected_rows(
        self, rows: Any, columns: Mapping[str, str] | None = None, read_as: Reading = "either"
    ) -> CorrectedRows:
        """Return what the correction adds to rows of an Arrow table, apart from the table."""
        products, data = self._products, self._data
        return correct_rows(products, data, self._registry, rows, columns, read_as=read_as)

    def __repr__(self) -> str:
        survey = self._products.survey
        visits = len(self.solution.visits)
        return f"<FinishedRun {self.path}: {survey.name}, {survey.band} band, {visits} visits>"

    def _repr_html_(self) -> str:
        """Return the run in short, for notebooks."""
        title = f"{self._products.survey.name}, {self._products.survey.band} band"
        made = (self.path / "report" / "checks.json").exists()
        verdicts = self.checks["verdict"].tolist() if made else None
        facts = short_facts(self.summary, self.system, verdicts)
        return summary_html(title, str(self.path), self.note, facts)


def finish_correction(
    table: Any, found: CorrectedRows, facts: Mapping[str, str], unknown_visit: str
) -> Any:
    """Return a table with what a correction adds; of unknown visits one line is said."""
    if unknown_visit not in ("flag", "stop"):
        raise ConfigError(f'unknown_visit is "{unknown_visit}"; expected flag or stop')
    if found.unknown and unknown_visit == "stop":
        raise CalibrationError(found.warning())
    if found.unknown:
        warnings.warn(found.warning(), UserWarning, stacklevel=3)
    added = [
        Column(values, name, unit=None if name in WHOLE else "mag", description=about(name))
        for name, values in found.columns.items()
    ]
    return with_columns(table, added, facts)
