"""The columns of a run's tables, declared once: name, unit, type, meaning, and file.

Writers make their tables of these, in this order, and ``docs/reference/products.md`` shows them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

if TYPE_CHECKING:
    from astropy.table import Table

Type = Literal["text", "string", "int64", "int32", "int16", "float64", "float32", "bool"]
#: The part of a column's name for which levels of the description put theirs.
LEVEL = "<level>"
_ARROW: Mapping[str, pa.DataType] = MappingProxyType(
    {
        "text": pa.dictionary(pa.int32(), pa.string()),
        "int64": pa.int64(),
        "int32": pa.int32(),
        "int16": pa.int16(),
        "float64": pa.float64(),
        "float32": pa.float32(),
        "bool": pa.bool_(),
    }
)


@dataclass(frozen=True)
class ProductColumn:
    """One column of a product."""

    #: `LEVEL` in it stands for the name of any level of offsets.
    name: str
    #: In astropy's notation; empty for numbers and labels.
    unit: str
    #: Storage type; ``text`` is a string of Parquet (in memory a dictionary), ``string`` of ECSV.
    type: Type
    description: str
    #: The only mode of solving the offsets in which it is written; empty for both. One of "",
    #: "joint", "sequential".
    mode: str = ""
    #: Whether an ECSV file says unit and description in its header.
    described: bool = True


_C = ProductColumn
_joint = partial(ProductColumn, mode="joint")
_bare = partial(ProductColumn, described=False)

#: ``stars.parquet``, a row for each detection of the Calibration Sample.
STARS = (
    _C("file", "", "text", "base name of the catalogue"),
    _C("visit", "", "text", "key of the visit, made by the loader"),
    _C("ccd", "", "int16", "number of the CCD"),
    _C("row", "", "int32", "row in its extension, from 0"),
    _C("source_id", "", "int64", "identifier of the reference star"),
    _C("ra_deg", "deg", "float64", "right ascension, as catalogued"),
    _C("dec_deg", "deg", "float64", "declination, as catalogued"),
    _C("mjd", "d", "float64", "modified Julian date of the visit"),
    _C("x_pix", "pix", "float64", "position on the CCD, first axis"),
    _C("y_pix", "pix", "float64", "position on the CCD, second axis"),
    _C("mag_obs", "mag", "float64", "observed magnitude"),
    _C("mag_err", "mag", "float64", "its error, as catalogued"),
    _C("mag_model", "mag", "float64", "model magnitude (Eq. 2)"),
    _C("delta", "mag", "float64", "`mag_model - mag_obs`"),
    _C(f"offset_{LEVEL}", "mag", "float64", f"offset of the level `{LEVEL}`"),
    _C("offset_total", "mag", "float64", "sum of the offsets and of u_ZP"),
    _joint("offset_colour", "mag", "float64", "what its colour adds, by colour terms; else 0"),
    _joint("offset_total_err", "mag", "float64", "its error: noise, and the spread of its level"),
    _joint("mag_cal_err", "mag", "float64", "error of `mag_cal`, photometric error included"),
    _joint("mag_cal_sys", "mag", "float64", "what systematic effects can shift `mag_cal` by"),
    _joint("offset_level", "", "int16", "see [levels of corrections](#levels-of-corrections)"),
    _C("mag_cal", "mag", "float64", "`mag_obs + offset_total + offset_colour`"),
    _C("colour", "mag", "float64", "predicted colour, band less reference magnitude"),
    _C("colour0", "mag", "float64", "modelled intrinsic colour C0 of the star"),
    _C("extinction", "mag", "float64", "extinction E of the star"),
    _C("feh", "dex", "float64", "its metallicity [Fe/H], if it is known; for null tests only"),
    _C("in_control", "", "bool", "whether the detection is in the Control Sample"),
    _joint("in_solve", "", "bool", "whether the detection took part in the solve"),
    _joint("reserved", "", "bool", "whether its star was kept from training and solving"),
    _joint("weight", "", "float64", "robust weight in the solve, 0 to 1; NaN outside it"),
    _joint("star_dev", "mag", "float64", "the star's own deviation from the model"),
    _joint("star_dev_err", "mag", "float64", "its error"),
    _joint("domain_distance", "", "float32", "distance of its star from the training stars"),
    _joint(
        "r_v_slope",
        "mag",
        "float32",
        "change of `mag_model` by ln R_V where a term reads it; else NaN",
    ),
    _C("in_test", "", "bool", "whether its star judged the colour model, which it did not train"),
    _C("flags", "", "int32", "see [flags](#flags)"),
)

#: ``star_catalogue.parquet``, a row for each star of the Calibration Sample.
STAR_CATALOGUE = (
    _C("source_id", "", "int64", "identifier of the reference star"),
    _C("ra_deg", "deg", "float64", "mean right ascension of its detections"),
    _C("dec_deg", "deg", "float64", "mean declination of its detections"),
    _C("mag_cal", "mag", "float64", "weighted mean of the calibrated magnitudes"),
    _C("mag_cal_err", "mag", "float64", "its error, from photometry and corrections"),
    _C("photometric_err", "mag", "float64", "the part from photometry"),
    _C("offset_err", "mag", "float64", "the part from the corrections"),
    _C("mag_cal_sys", "mag", "float64", "systematic error"),
    _C("n_detections", "", "int32", "detections with a calibrated magnitude"),
    _C("n_visits", "", "int32", "visits that they are in"),
    _C("chi2", "", "float64", "their chi2 about the mean"),
    _C("dof", "", "int32", "its degrees of freedom, `n_detections - 1`"),
    _C("chi2_probability", "", "float64", "probability of a larger chi2 for a constant star"),
    _C("variable", "", "bool", "whether the star varies"),
    _C("one_outlier", "", "bool", "whether it seems to, by one detection alone"),
    _C("mag_model", "mag", "float64", "model magnitude (Eq. 2)"),
    _C("residual", "mag", "float64", "`mag_model - mag_cal`"),
    _C("star_dev", "mag", "float64", "the star's own deviation from the model, as estimated"),
    _C("star_dev_err", "mag", "float64", "its error"),
    _C("colour", "mag", "float64", "predicted colour, band less reference magnitude"),
    _C("colour0", "mag", "float64", "modelled intrinsic colour C0"),
    _C("extinction", "mag", "float64", "extinction E"),
    _C("in_control", "", "bool", "whether any detection is in the Control Sample"),
    _C("reserved", "", "bool", "whether the star was kept from training and solving"),
    _C("flags", "", "int32", "flags that any detection has, see [flags](#flags)"),
)

#: ``solution/visits.ecsv``, a row for each visit that the run has read.
VISITS = (
    _C("visit", "", "string", "key of the visit"),
    _C("field", "", "string", "name of the pointing on the sky; empty if the survey has none"),
    _C("mjd", "d", "float64", "modified Julian date"),
    _C("airmass", "", "float64", "airmass, NaN where not known"),
    _C("ra", "deg", "float64", "right ascension of the centre of its detections"),
    _C("dec", "deg", "float64", "declination of the centre of its detections"),
    _C("n_detections", "", "int64", "all detections, before any cut"),
    _C("season", "", "int64", "year in whose October the observing season begins"),
)

#: ``solution/exposures.ecsv``, a row for each CCD in each visit.
EXPOSURES = (
    _C("visit", "", "string", "key of the visit"),
    _C("ccd", "", "int64", "number of the detector"),
    _C("offset", "mag", "float64", "correction, to be added, without maps over the detector"),
    _C("offset_err", "mag", "float64", "its error"),
    _C("offset_sys", "mag", "float64", "what systematic effects can shift"),
    _C("level", "", "string", "where the offset comes from"),
    _C("n_detections", "", "int64", "detections of the Calibration Sample that took part"),
)

#: ``solution/offsets_<level>.ecsv``: what is known of each column of a level's design.
OFFSETS = (
    _C("offset", "mag", "float64", "correction, to be added to observed magnitudes"),
    _C("offset_err", "mag", "float64", "standard error of the offset"),
    _C("scatter", "mag", "float64", "standard deviation within the group"),
    _C("n_detections", "", "int64", "detections of the Calibration Sample"),
)

#: The same files: what labels a design's columns besides columns of detections.
LABELS = (
    _C("x_bin", "", "int64", "bin along the first axis, from 0"),
    _C("y_bin", "", "int64", "bin along the second axis, from 0"),
    _C("x_low_pix", "pix", "float64", "lower edge of the bin, first axis"),
    _C("y_low_pix", "pix", "float64", "lower edge of the bin, second axis"),
    _C("x_node", "", "int64", "node along the first axis, from 0"),
    _C("y_node", "", "int64", "node along the second axis, from 0"),
    _C("x_node_pix", "pix", "float64", "position of the node, first axis"),
    _C("y_node_pix", "pix", "float64", "position of the node, second axis"),
    _C("x_degree", "", "int64", "degree of the Legendre polynomial, first axis"),
    _C("y_degree", "", "int64", "degree of the Legendre polynomial, second axis"),
    _C("knot", "", "int64", "knot in time, from 0"),
    _C("knot_mjd", "d", "float64", "modified Julian date of the knot"),
    _C("term", "", "string", "expression whose slope this is"),
    _C("cell", "", "int64", "number of the cell"),
    _C("cell_ra_deg", "deg", "float64", "right ascension of the cell's centre"),
    _C("cell_dec_deg", "deg", "float64", "declination of the cell's centre"),
)

#: ``solution/reddening_law.ecsv``, a row for each coefficient.
LAW = (
    _bare(
        "coefficient", "", "string", "a0, a1, ... of powers of C0, falling; b1, b2 of powers of E"
    ),
    _bare("power", "", "int64", "power of C0"),
    _bare("extinction_power", "", "int64", "power of E"),
    _bare("value", "", "float64", "value, R being in mag per unit E"),
    _bare("error", "", "float64", "standard error"),
)

#: ``solution/reddening_slopes.ecsv``, a row for each field.
SLOPES = (
    _bare("field", "", "string", "name of the field"),
    _C(
        "slope",
        "mag",
        "float64",
        "departure of the field's slope on E from the law, shrunken, per unit E",
    ),
    _C("err", "mag", "float64", "error of slope, per unit E"),
    _C("free", "mag", "float64", "the same without shrinkage, per unit E"),
    _C("free_err", "mag", "float64", "error of free, per unit E"),
)

#: All tables with declared columns, by file.
COLUMNS: Mapping[str, tuple[ProductColumn, ...]] = MappingProxyType(
    {
        "stars.parquet": STARS,
        "star_catalogue.parquet": STAR_CATALOGUE,
        "visits.ecsv": VISITS,
        "exposures.ecsv": EXPOSURES,
        "offsets_<level>.ecsv": (*LABELS, *OFFSETS),
        "reddening_law.ecsv": LAW,
        "reddening_slopes.ecsv": SLOPES,
    }
)


def for_levels(columns: Iterable[ProductColumn], levels: Iterable[str]) -> Iterator[ProductColumn]:
    """Yield columns, those of any level once for each of the levels named."""
    levels = tuple(levels)
    for column in columns:
        if LEVEL not in column.name:
            yield column
            continue
        for level in levels:
            name, about = (text.replace(LEVEL, level) for text in (column.name, column.description))
            yield replace(column, name=name, description=about)


def arrow_table(columns: Iterable[ProductColumn], values: Mapping[str, Any]) -> pa.Table:
    """Return declared columns as an Arrow table; units and meanings are metadata of its fields.

    Parameters
    ----------
    columns : iterable of ProductColumn
        Those without values are left out.
    values : mapping of str to array_like, shape (n,)

    Raises
    ------
    KeyError
        If a value is of no declared column.
    """
    known = {column.name: column for column in columns}
    undeclared = set(values) - set(known)
    if undeclared:
        raise KeyError(f"no declared column: {', '.join(sorted(undeclared))}")
    fields = [
        pa.field(name, _ARROW[column.type], metadata=_said(column))
        for name, column in known.items()
        if name in values
    ]
    return pa.table({field.name: values[field.name] for field in fields}).cast(pa.schema(fields))


def _said(column: ProductColumn) -> dict[str, str]:
    unit = {"unit": column.unit} if column.unit else {}
    # The page's marks of code and links are no text.
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", column.description).replace("`", "")
    return {**unit, "description": plain}


def ecsv_table(
    columns: Iterable[ProductColumn],
    values: Mapping[str, Any],
    meta: Mapping[str, Any] | None = None,
) -> Table:
    """Return declared columns as an astropy table, with units and descriptions.

    Parameters
    ----------
    columns : iterable of ProductColumn
        In their order; each has values.
    values : mapping of str to array_like, shape (n,)
    meta : mapping, optional
        For the header.
    """
    from astropy.table import Table  # noqa: PLC0415 - slow to import

    table = Table()
    for column in columns:
        table[column.name] = values[column.name]
        if column.described:
            table[column.name].unit = column.unit or None
            table[column.name].description = column.description
    table.meta = dict(meta or {})
    return table
