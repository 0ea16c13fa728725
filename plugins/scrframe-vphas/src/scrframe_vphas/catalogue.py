"""One catalogue file: its structure and headers, checked before any data are read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from scrframe.errors import DataError, named
from scrframe.plugin.helpers.fits import FitsFile, Hdu, open_fits, table_fields
from scrframe_vphas.layout import FITS_NAME, flux_column
from scrframe_vphas.settings import VphasCasuConfig

#: TUNIT (lower case) by unit, and the only TFORM in which CASU writes each.
_RADIANS = ("radians", "radian", "rad")
_DEGREES = ("degrees", "degree", "deg")
_FORM = {"radians": "E", "degrees": "D"}


@dataclass(frozen=True)
class Catalogue:
    """A catalogue's headers.

    Attributes
    ----------
    file : FitsFile
        The file; all HDUs but the first are tables of one CCD each.
    config : VphasCasuConfig
        Settings.
    """

    file: FitsFile
    config: VphasCasuConfig

    @property
    def path(self) -> Path:
        """The file's path."""
        return self.file.path

    @property
    def primary(self) -> Hdu:
        """The primary HDU."""
        return self.file.hdus[0]

    @property
    def tables(self) -> tuple[Hdu, ...]:
        """The tables, in file order."""
        return self.file.hdus[1:]

    @cached_property
    def ccds(self) -> tuple[int, ...]:
        """Number of the CCD of each table."""
        return tuple(hdu.whole(self.config.keywords.ccd) for hdu in self.tables)

    @property
    def field(self) -> str:
        """Name of the pointing."""
        return self._text(self.config.keywords.object)

    @property
    def mjd(self) -> float:
        """Modified Julian date of the start of the exposure."""
        return self.primary.number(self.config.keywords.mjd)

    @property
    def visit(self) -> str:
        """Key of the visit: OBJECT, an underscore and MJD-OBS to five decimals (0.9 s).

        A catalogue that is delivered again under another name keeps its key.
        """
        return f"{self.field}_{self.mjd:.5f}"

    @property
    def airmass(self) -> float:
        """Mean of the airmass at the start and at the end."""
        names = self.config.keywords
        return sum(self.primary.number(n) for n in (names.airmass_start, names.airmass_end)) / 2

    def exposure_time_s(self, table: Hdu) -> float:
        """Return the exposure time, which stands in the primary header or in the extension's."""
        name = self.config.keywords.exposure_time
        holder = self.primary if name in self.primary else table
        seconds = holder.number(name)
        if seconds <= 0:
            raise DataError(f"{holder.label}: keyword {name} is {seconds}, expected more than 0")
        return seconds

    def _text(self, keyword: str) -> str:
        value = str(self.primary.value(keyword)).strip()
        if not value:
            raise DataError(f"{self.path}: keyword {keyword} is empty")
        return value

    def check(self) -> None:
        """Check what is needed for magnitudes, without reading rows.

        Raises
        ------
        DataError
            If a CCD, column or keyword is missing or has a value that cannot be used.
        """
        self._check_filter()
        self._check_ccds()
        _ = self.visit
        names = self.config.keywords
        flux = flux_column(self.config.aperture)
        columns = {*FITS_NAME.values(), flux, flux + "_err"}
        for table in self.tables:
            fields = table_fields(table)
            missing = sorted(columns - fields.keys())
            if missing:
                raise DataError(f"{table.label}: {named('column', missing)} missing")
            position_unit(table)
            self.exposure_time_s(table)
            for keyword in (names.zero_point, f"APCOR{self.config.aperture}"):
                table.number(keyword)
            if self.config.airmass_extinction:
                table.number(names.extinction)
        if self.config.airmass_extinction:
            _ = self.airmass

    def _check_filter(self) -> None:
        if not self.config.filters:
            return
        found = self._text(self.config.keywords.filter)
        if found not in self.config.filters:
            raise DataError(
                f"{self.path}: the filter is {found!r}, expected"
                f" {' or '.join(map(repr, self.config.filters))}; narrow the pattern of"
                " `catalogues`, or set `filter`"
            )

    def _check_ccds(self) -> None:
        expected = range(1, self.config.ccds + 1)
        ccds = self.ccds
        twice = sorted({ccd for ccd in ccds if ccds.count(ccd) > 1})
        if twice:
            places = [hdu.index for hdu, ccd in zip(self.tables, ccds, strict=True) if ccd in twice]
            raise DataError(
                f"{self.path}: {self.config.keywords.ccd} {_listed(twice)} stands in more than"
                f" one extension ({_listed(places)})"
            )
        missing = sorted(set(expected) - set(ccds))
        if missing:
            raise DataError(
                f"{self.path} has {len(ccds)} extensions, expected {len(expected)}:"
                f" {self.config.keywords.ccd} {_listed(missing)} missing"
            )
        strange = sorted(set(ccds) - set(expected))
        if strange:
            raise DataError(
                f"{self.path}: {self.config.keywords.ccd} {_listed(strange)} is not among"
                f" 1 to {len(expected)}"
            )


def open_catalogue(path: Path, config: VphasCasuConfig) -> Catalogue:
    """Return a file's headers.

    Raises
    ------
    DataError
        If the file is damaged or is not a CASU catalogue.
    """
    file = open_fits(path)
    if len(file.hdus) < 2:
        raise DataError(f"{path} is not a CASU catalogue: it has no extensions")
    for hdu in file.hdus[1:]:
        if not hdu.is_table:
            raise DataError(
                f"{hdu.label} is not a CASU catalogue: expected a binary table,"
                f" found {str(hdu.value('XTENSION')).strip()!r}"
            )
    return Catalogue(file, config)


def position_unit(table: Hdu) -> str:
    """Return the unit of RA and DEC, "radians" (as float32) or "degrees" (as float64).

    TUNIT decides; without one, TFORM does. A TUNIT that the TFORM contradicts is refused.

    Raises
    ------
    DataError
        If the unit cannot be told.
    """
    units = set()
    for name in ("RA", "DEC"):
        field = table_fields(table)[name]
        unit = _unit_of(field.unit, field.code)
        if field.repeat != 1 or _FORM.get(unit) != field.code:
            raise DataError(
                f"{table.label}: {name} has TUNIT {field.unit!r} and TFORM"
                f" '{field.repeat}{field.code}'; expected radians as 1E or degrees as 1D"
            )
        units.add(unit)
    if len(units) > 1:
        raise DataError(f"{table.label}: RA and DEC have different units")
    return units.pop()


def _unit_of(unit: str, code: str) -> str:
    if unit.lower() in _RADIANS:
        return "radians"
    if unit.lower() in _DEGREES:
        return "degrees"
    by_form = {form: name for name, form in _FORM.items()}
    return by_form.get(code, "") if not unit else ""


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
