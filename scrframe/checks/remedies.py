"""What may be behind a null test that failed, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_TERM = "with `offsets.terms: auto` the candidate `{0}` stands for it: add it to the levels"
_PLACES = "look at the anomalies of the fields, and leave out or observe again those that stand out"

#: By the name of a test.
REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "residual_magnitude": "photometry that is not linear, faint detections chosen by their"
        " noise, or spectra of faint stars that are biased: cut fainter or brighter stars in"
        " `selection.calibration`",
        "residual_colour": "a colour model astray where it has few training stars, or a passband"
        " that is not the one it learnt: compare backends (`scrframe compare`), and cut the ends"
        " of the colours",
        "residual_extinction": "a reddening law that is wrong, or one that bends with E: look at"
        " the figure of the law, let `reddening.order` be auto, and cut the largest E",
        "residual_distance": "stars unlike the training stars: widen `selection.control`, or cut"
        " what it does not hold from `selection.calibration`",
        "residual_ccd": "CCDs that differ in more than a constant: give the levels a term by CCD",
        "residual_reserved": "a solve that follows its own stars too closely: ask for more stars"
        " a group, or name fewer levels",
        "law_fields": "a reddening law or an R_V that differs between fields; "
        + _TERM.format("law_field` or `r_v"),
        "law_inside": "a reddening law or an R_V that varies within fields; "
        + _TERM.format("law_field` or `r_v"),
        "sky_places": "stars of a place that have something in common, such as their"
        " metallicity; " + _TERM.format("sky"),
        "visit_gradient": "clouds, or an illumination that is not flat; "
        + _TERM.format("gradient"),
        "visit_surface": "thin clouds or scattered light; " + _TERM.format("surface"),
        "ccd_map": "a flat field that is not flat; " + _TERM.format("fine_map"),
        "ccd_season": "a flat field that changes; " + _TERM.format("season_map"),
        "ccd_colour": "CCDs of different response; " + _TERM.format("ccd_colour"),
        "airmass_colour": "second-order extinction; " + _TERM.format("airmass_colour"),
        "visit_extinction": "a reddening law that is wrong: look at the residual against E",
        "visit_colour": "a colour term or a colour model astray: look at the residual against"
        " colour",
        "visit_metallicity": "a colour model that does not see metallicity well enough: train on"
        " more stars, or on stars of all populations",
        "visit_latitude": "a population or a law that changes with latitude: compare with an"
        " outside catalogue (`scrframe crosscheck`)",
        "visit_longitude": "a population or a law that changes along the survey: compare with an"
        " outside catalogue (`scrframe crosscheck`)",
        "visit_airmass": "extinction in the atmosphere that the catalogues were not corrected"
        " for: offsets by visit take it up, unless it changes within a visit",
        "visit_time": "an instrument that drifts or was changed: offsets by visit take it up;"
        " check that CCDs and maps are allowed to change too",
        "visit_control": "fields without control stars that the model treats otherwise: widen"
        " `selection.control`, or compare with an outside catalogue",
        "repeats_pull": "errors of the catalogues that are too small or too large: look at the"
        " noise that was fitted, and name the columns of errors and their units",
        "repeats_visits": "visits that change within themselves: look at the tests of gradient"
        " and structure",
        "overlaps": "fields that are not on one scale: look at the tests of gradient, structure"
        " and law",
        "model_overlaps": "a model that is astray in some fields: " + _PLACES,
        "overlaps_extinction": "a reddening law that is wrong: look at the residual against E",
        "overlaps_colour": "a colour term: look at the residual against colour",
        "overlaps_airmass": "second-order extinction; " + _TERM.format("airmass_colour"),
        "overlaps_time": "an instrument that drifts: check that CCDs and maps are allowed to"
        " change",
        "overlaps_hour": "nights that change in their course: clouds, twilight, focus; "
        + _TERM.format("gradient"),
        "ccd_steps": "a CCD that jumped, such as by a new amplifier: look at the anomalies of"
        " CCDs in time, and give that time a key of its own in the"
        " catalogues, by which the level of the CCDs is split",
        "ccd_places": "CCDs that are exchanged or misnamed in some visits: look at the anomalies,"
        " and at the key that names the CCD",
    }
)


def remedy(name: str) -> str:
    """Return what may be behind a failure of a test, and what to do; empty if nothing is known."""
    return REMEDIES.get(name, "")
