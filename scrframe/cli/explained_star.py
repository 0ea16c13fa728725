"""A star explained on the screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table

from scrframe.cli.explained_pieces import NONE, Facts, add_row, mmag, new_table, title


def star_pieces(facts: Facts) -> Iterator[str | Table]:
    """Say how a star's magnitudes came about."""
    yield title(facts, f"star {facts['star']}")
    of, model = facts["mean"], facts["model"]
    if of:
        yield f"RA {of['ra_deg']:.6f}, Dec {of['dec_deg']:.6f} deg"
    yield (
        f"\nModel: {model['reference_band']} {model['reference_mag']:.4f} + colour"
        f" {model['colour0_mag']:.4f} + R {model['R']:.3f} x E {model['extinction_mag']:.4f}"
        f" = {model['predicted_mag']:.4f} mag"
    )
    if of and of["mag_cal"] is not None:
        yield from _star_mean(of)
    if facts["flags"]:
        for word in facts["flags"].values():
            yield f"  {word}"
    else:
        like = "like the stars of the training set; " if facts["trained"] else ""
        yield f"  {like}no flag"
    table = new_table("\nDetections; magnitudes in mag, the rest in mmag", ["visit", "CCD"])
    names = list(facts["detections"][0]["offsets_mag"])
    for name in ("observed", *names, "whole", "calibrated", "error", "weight", "model less cal."):
        table.add_column(name, justify="right")
    for each in facts["detections"]:
        add_row(table, each["visit"], each["ccd"], *_star_row(each, names))
    yield table
    marked = [each for each in facts["detections"] if each["flags"]]
    for each in marked:
        yield f"  {each['visit']}: {', '.join(each['flags'])}"


def _star_mean(of: Facts) -> Iterator[str]:
    error = of["mag_cal_err"] if of["mag_cal_err"] is not None else of["photometric_err"]
    yield (
        f"Mean {of['mag_cal']:.4f} mag, error {mmag(error, sign=False)} (photometry"
        f" {mmag(of['photometric_err'], sign=False)}, corrections"
        f" {mmag(of['offset_err'], sign=False)}), systematic {mmag(of['mag_cal_sys'], sign=False)},"
        f" of {of['n_detections']} detection(s) in {of['n_visits']} visit(s)"
    )
    if of["chi2"] is not None:
        verdict = "varies" if of["variable"] else "constant within the errors"
        verdict = "one detection is off" if of["one_outlier"] else verdict
        yield (
            f"chi2 {of['chi2']:.2f} for {of['dof']} degree(s) of freedom, probability"
            f" {of['chi2_probability']:.2g}: {verdict}"
        )
    yield f"Model less mean {mmag(of['residual'])}" + (
        ""
        if of["star_dev"] is None
        else f"; the star's own deviation {mmag(of['star_dev'], of['star_dev_err'])}"
    )
    if of["reserved"]:
        yield "  reserved: it took part in neither training nor solution"


def _star_row(each: Facts, names: Sequence[str]) -> list[str]:
    error = each.get("calibrated_err_mag", each["catalogued_err_mag"])
    weight = each.get("weight")
    cal = each["calibrated_mag"]
    return [
        f"{each['observed_mag']:.4f}",
        *(mmag(each["offsets_mag"][name]) for name in names),
        mmag(each["total_mag"]),
        NONE if cal is None else f"{cal:.4f}",
        mmag(error, sign=False),
        NONE if weight is None else f"{weight:.2f}",
        mmag(each["residual_mag"]),
    ]
