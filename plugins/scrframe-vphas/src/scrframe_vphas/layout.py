"""The layout of a CASU single-band catalogue: its columns and what they become.

A catalogue has an empty primary HDU and one binary table per CCD, with 80 columns of
which the last 18 are blank.
"""

from __future__ import annotations

from scrframe.tables import Column

N_COLUMNS = 80
N_APERTURES = 13
#: Apertures that have an aperture correction (keywords APCOR1 ... APCOR7).
CORRECTED_APERTURES = range(1, 8)
#: Radii of the apertures in units of the core radius.
APERTURE_RADII = (0.5, 0.5**0.5, 1.0, 2**0.5, 2.0, 8**0.5, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0)


def flux_column(aperture: int) -> str:
    """Return the name of an aperture's flux column; its error appends ``_err``."""
    return f"Aper_flux_{aperture}"


def _column_names() -> tuple[str, ...]:
    names = [
        "Sequence_number",
        "Isophotal_flux",
        "X_coordinate",
        "X_coordinate_err",
        "Y_coordinate",
        "Y_coordinate_err",
        "Gaussian_sigma",
        "Ellipticity",
        "Position_angle",
        *(f"Areal_{step}_profile" for step in range(1, 9)),
        "Peak_height",
        "Peak_height_err",
    ]
    for aperture in range(1, N_APERTURES + 1):
        names += [flux_column(aperture), flux_column(aperture) + "_err"]
    names += ["Petr_radius", "Kron_radius", "Half_radius"]
    for kind in ("Petr", "Kron", "Half"):
        names += [f"{kind}_flux", f"{kind}_flux_err"]
    names += [
        "Error_bit_flag",
        "Sky_level",
        "Sky_rms",
        "Av_conf",
        "RA",
        "DEC",
        "Classification",
        "Statistic",
    ]
    names += [f"Blank{number}" for number in range(len(names) + 1, N_COLUMNS + 1)]
    return tuple(names)


#: All columns of a catalogue, in order.
COLUMN_NAMES = _column_names()

_ADU = (
    "_flux",
    "_flux_err",
    "Peak_height",
    "Peak_height_err",
    "Sky_level",
    "Sky_rms",
)
_PIXELS = ("X_coord", "Y_coord", "Gaussian_sigma", "Areal_", "_radius")


def column_unit(name: str) -> str:
    """Return the TUNIT of a column, as CASU writes it; empty where it has none."""
    if name in ("RA", "DEC"):
        return "RADIANS"
    if name == "Position_angle":
        return "DEGREES"
    if name.endswith(_ADU) or name.startswith("Aper_flux"):
        return "ADU"
    if name.startswith(_PIXELS[:4]) or name.endswith(_PIXELS[4]):
        return "PIXELS"
    return ""


#: Columns of the vocabulary that come from one column of the catalogue.
FITS_NAME = {
    "ra": "RA",
    "dec": "DEC",
    "x": "X_coordinate",
    "y": "Y_coordinate",
    "classification": "Classification",
}

_OWN = (
    ("error_bit_flag", "Error_bit_flag", "", "int32", "Bad pixels in the aperture (CASU)."),
    ("av_conf", "Av_conf", "", "float32", "Mean confidence in the aperture, 100 is nominal."),
    ("ellipticity", "Ellipticity", "", "float32", "Ellipticity from second moments."),
    ("gaussian_sigma", "Gaussian_sigma", "pix", "float32", "Width from second moments."),
    ("peak_height", "Peak_height", "adu", "float32", "Peak above the sky."),
    ("sky_level", "Sky_level", "adu", "float32", "Local sky level."),
    ("sky_rms", "Sky_rms", "adu", "float32", "Local sky noise."),
    ("class_statistic", "Statistic", "", "float32", "Stellarness, in sigma of the stellar locus."),
)

#: Columns outside the vocabulary that cuts may name.
OWN_COLUMNS = tuple(
    Column(name, unit, kind, doc, "detection")  # type: ignore[arg-type]
    for name, _, unit, kind, doc in _OWN
)
#: The catalogue's column of each of them.
OWN_FITS_NAME = {name: fits_name for name, fits_name, *_ in _OWN}

#: Columns of the vocabulary that the loader provides.
PROVIDED = (
    "visit",
    "band",
    "ccd",
    "file",
    "extension",
    "row",
    "field",
    "ra",
    "dec",
    "mjd",
    "x",
    "y",
    "mag",
    "mag_err",
    "classification",
    "airmass",
    "seeing",
    "exposure_time",
)
