"""The vocabulary: every column that travels, with its unit, type and meaning.

Units are declared here and nowhere else. Loaders convert at their border, so that all
later steps work on plain arrays. The same names are the vocabulary of cuts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal

Stage = Literal["detection", "reference", "extinction", "spectrum"]
#: The order in which columns come into being while a run reads its inputs.
STAGES: tuple[Stage, ...] = ("detection", "reference", "extinction", "spectrum")

Kind = Literal["float64", "float32", "int64", "int32", "int16", "bool", "category"]


@dataclass(frozen=True)
class Column:
    """One documented column.

    Parameters
    ----------
    name : str
        Name in tables and in cuts.
    unit : str
        Unit in astropy's notation; empty for a pure number or a label.
    kind : str
        Storage type; ``category`` is a string held as dictionary codes.
    doc : str
        Meaning, one sentence.
    stage : str
        The step of a run after which the column exists.
    derived : bool
        Whether the framework computes it (no plugin supplies it).
    inputs : tuple of str
        The columns that a derived one is computed from; without any it comes with the match,
        the spectra or the colour model.
    valid : (float, float)
        Values outside, and the limits themselves, cannot be meant: of a date they are an error,
        of other columns no value.
    """

    name: str
    unit: str
    kind: Kind
    doc: str
    stage: Stage
    derived: bool = False
    inputs: tuple[str, ...] = ()
    valid: tuple[float, float] = (-math.inf, math.inf)


#: Dates of the years 1900 to 2100, as MJD.
_DATES = (15020.0, 88069.0)
#: Magnitudes, and errors in mag: no star, and no measurement, is beyond. Errors are positive.
_MAGS, _ERRORS = (-60.0, 60.0), (0.0, 10.0)
#: Extinctions of catalogues may be a little below zero; -1, -99 and -9999 stand for none.
_EXTINCTIONS, _EXTINCTION_ERRORS = (-0.999, 1000.0), (0.0, 1000.0)


def _column(
    stage: Stage,
    name: str,
    unit: str,
    kind: Kind,
    doc: str,
    made_of: tuple[str, ...] | None = None,
    valid: tuple[float, float] = (-math.inf, math.inf),
) -> Column:
    """Return a column; one that is made of others, even of none of these, is derived."""
    return Column(name, unit, kind, doc, stage, made_of is not None, made_of or (), valid)


_detection = partial(_column, "detection")
_reference = partial(_column, "reference")
_extinction = partial(_column, "extinction")
_spectrum = partial(_column, "spectrum")

VOCABULARY: tuple[Column, ...] = (
    # --- what a survey loader supplies, one row a detection -------------------------------
    _detection("visit", "", "category", "Key of the visit (one exposure of the camera)."),
    _detection("band", "", "category", "Band of the detection, as the survey names it."),
    _detection("ccd", "", "int16", "Number of the detector (CCD) in the camera."),
    _detection("file", "", "category", "Base name of the catalogue file."),
    _detection("extension", "", "int16", "Index of the extension (HDU); 0 in a flat table."),
    _detection("row", "", "int32", "Row in its extension, from 0."),
    _detection("field", "", "category", "Name of the pointing on the sky."),
    _detection("ra", "deg", "float64", "Right ascension (ICRS)."),
    _detection("dec", "deg", "float64", "Declination (ICRS)."),
    _detection("mjd", "d", "float64", "Modified Julian date of the visit.", valid=_DATES),
    _detection("x", "pix", "float64", "Position on the detector, first axis, FITS convention."),
    _detection("y", "pix", "float64", "Position on the detector, second axis, FITS convention."),
    _detection("mag", "mag", "float64", "Observed magnitude in the survey's band.", valid=_MAGS),
    _detection(
        "mag_err",
        "mag",
        "float64",
        "Error of the observed magnitude, as catalogued.",
        valid=_ERRORS,
    ),
    _detection("classification", "", "int16", "Morphological class, in the survey's own code."),
    _detection("usable", "", "bool", "Whether the survey's flags let the detection calibrate."),
    _detection("airmass", "", "float64", "Airmass of the visit.", valid=(0.99, 20.0)),
    _detection(
        "seeing", "arcsec", "float64", "Seeing of the visit on the detector.", valid=(0.0, 60.0)
    ),
    _detection("exposure_time", "s", "float64", "Exposure time of the visit.", valid=(0.0, 1e5)),
    _detection(
        "observed_colour",
        "mag",
        "float64",
        "Observed colour band less G_BP where catalogues hold one, for colour terms.",
        valid=_MAGS,
    ),
    _detection("gal_l", "deg", "float64", "Galactic longitude.", ("ra", "dec")),
    _detection("gal_b", "deg", "float64", "Galactic latitude.", ("ra", "dec")),
    _detection(
        "season",
        "",
        "int32",
        "Observing season, October to September (UTC), named by the year in which it begins.",
        ("mjd",),
    ),
    # --- what a reference catalogue supplies, one row a star ------------------------------
    _reference("source_id", "", "int64", "Identifier of the matched reference star."),
    _reference("ref_ra", "deg", "float64", "Catalogue right ascension at `ref_epoch`."),
    _reference("ref_dec", "deg", "float64", "Catalogue declination at `ref_epoch`."),
    _reference(
        "ref_epoch",
        "yr",
        "float64",
        "Epoch of the catalogue position (Julian year).",
        valid=(1900, 2100),
    ),
    _reference("pmra", "mas / yr", "float64", "Proper motion in RA times cos(Dec)."),
    _reference("pmdec", "mas / yr", "float64", "Proper motion in Dec."),
    _reference(
        "reference_mag", "mag", "float64", "Reference magnitude (G_BP for Gaia).", valid=_MAGS
    ),
    _reference(
        "reference_mag_err", "mag", "float64", "Error of the reference magnitude.", valid=_ERRORS
    ),
    _reference("g_mag", "mag", "float64", "Gaia G."),
    _reference("bp_mag", "mag", "float64", "Gaia G_BP as catalogued, before any correction."),
    _reference("rp_mag", "mag", "float64", "Gaia G_RP."),
    _reference("phot_bp_rp_excess_factor", "", "float64", "Gaia BP/RP flux excess factor."),
    _reference("match_distance", "arcsec", "float64", "Distance of the match.", ()),
    _reference("bp_rp", "mag", "float64", "Gaia colour G_BP - G_RP.", ("bp_mag", "rp_mag")),
    _reference(
        "colour",
        "mag",
        "float64",
        "Observed colour, mag - reference_mag.",
        ("mag", "reference_mag"),
    ),
    _reference("star_ra", "deg", "float64", "`ref_ra` of the matched star.", ()),
    _reference("star_dec", "deg", "float64", "`ref_dec` of the matched star.", ()),
    # --- what an extinction catalogue supplies, one row a star ----------------------------
    _extinction(
        "extinction",
        "mag",
        "float64",
        "Extinction E of the star, in the curve's unit.",
        valid=_EXTINCTIONS,
    ),
    _extinction(
        "extinction_err", "mag", "float64", "Error of the extinction.", valid=_EXTINCTION_ERRORS
    ),
    _extinction("quality_flags", "", "int16", "Quality flags of the extinction catalogue."),
    _extinction("teff", "K", "float64", "Effective temperature."),
    _extinction("logg", "dex", "float64", "Surface gravity."),
    _extinction("feh", "dex", "float64", "Metallicity [Fe/H]."),
    # --- what the spectra supply, and the colours modelled from them ----------------------
    _spectrum("xp_snr", "", "float64", "Median S/N of the spectrum over its grid.", ()),
    _spectrum(
        "snr", "", "float64", "S/N of what replaces a spectrum, as its catalogue gives it.", ()
    ),
    _spectrum("colour0", "mag", "float64", "Intrinsic colour C0, as modelled.", ()),
    _spectrum(
        "predicted_mag",
        "mag",
        "float64",
        "Model magnitude less the correction: what the survey would observe.",
        (),
    ),
    _spectrum(
        "relative_colour",
        "mag",
        "float64",
        "Predicted colour of the star less `offsets.reference_colour`.",
        (),
    ),
    _spectrum(
        "r_v_slope",
        "mag",
        "float64",
        "What a relative change of R_V by 1 adds to the model magnitude, by spectrum and band.",
        (),
    ),
)

BY_NAME: dict[str, Column] = {column.name: column for column in VOCABULARY}

#: Columns without which a table of detections is refused.
DETECTION_KEYS = ("visit", "band", "ccd", "file", "extension", "row")
DETECTION_REQUIRED = (*DETECTION_KEYS, "ra", "dec", "mjd", "x", "y", "mag", "mag_err")
REFERENCE_REQUIRED = (
    "source_id",
    "ref_ra",
    "ref_dec",
    "ref_epoch",
    "pmra",
    "pmdec",
    "reference_mag",
    "reference_mag_err",
)
EXTINCTION_REQUIRED = ("source_id", "extinction", "extinction_err")


def columns_of(stage: Stage) -> tuple[Column, ...]:
    """Return the vocabulary's columns of one stage, in order."""
    return tuple(column for column in VOCABULARY if column.stage == stage)
