"""Each fault of a plugin is found by the check that names it, before any other complains."""

from __future__ import annotations

import pytest

from scrframe.testing.plugin_checks import CHECKS, run_check, subject_of

#: Broken plugin: the check that must find it, and words that its message must hold.
FAULTS = {
    "radians": ("check_units", "radians"),
    "fluxes": ("check_units", "not fluxes"),
    "julian_dates": ("check_units", "modified Julian date"),
    "other_rows": ("check_units", "order of rows"),
    "stand_in": ("check_finite", "stand-in"),
    "promises": ("check_schema", "seeing"),
    "misnames": ("check_schema", "not in the vocabulary"),
    "file_name": ("check_visit_key", "from the content"),
    "jitter": ("check_deterministic", "random numbers"),
    "everything": ("check_columns_subset", "classification"),
    "magnitudes_only": ("check_round_trip", "return every row"),
    "traceback": ("check_bad_file", "raised KeyError"),
    "no_path": ("check_bad_file", "does not name the file"),
    "cache": ("check_input_untouched", ".cache"),
    "nothing": ("check_parts", "empty data root"),
    "one_key": ("check_parts", "unique"),
    "undocumented": ("check_documented", "zero_point"),
    "no_example": ("check_example", "add a function"),
    "lambda": ("check_pickling", "no lambda"),
    "whole_sky": ("check_footprint", "footprint.contains"),
    "relative": ("check_chunks", "each star by itself"),
    "angstrom": ("check_units", "Angstrom"),
    "all_extinctions": ("check_chunks", "exactly the stars asked for"),
    "upside_down": ("check_curve_units", "fall"),
    "to_nan": ("check_curve_refusals", "CalibrationError"),
    "batch": ("check_chunks", "learnt in training"),
    "single": ("check_schema", "float64"),
    "mean_only": ("check_function_recovered", "learns nothing"),
    "in_place": ("check_read_only", "copy what you change"),
    "alias": ("check_read_only", "keep copies"),
    "unseeded": ("check_deterministic", "default_rng(seed)"),
    "by_threads": ("check_threads", "fixed order"),
    "forgiving": ("check_refusals", "a feature that is NaN"),
    "unweighted": ("check_weights", "pass `weights`"),
    "keeps_lambda": ("check_model_pickling", "cannot be pickled"),
    "heavy": ("check_cheap_import", "torch"),
    "required": ("check_settings", "Field(examples=[...])"),
    "by_batch": ("check_chunks", "what `prepare` has found"),
    "indefinite": ("check_precision", "positive definite"),
    "milli": ("check_precision", "scale it to about 1"),
    "misplaced": ("check_offsets_recovered", "pointed at"),
    "hidden": ("check_role", "airmass"),
    "reversed": ("check_restore", "other labels"),
    "of_stars": ("check_role", "extinction"),
    "one_exposure": ("check_within_exposure", "set it to True"),
    "numpy": ("check_numbers", "return float(...)"),
    "first": ("check_few_stars", "no stars"),
    "unknown_column": ("check_numbers", "mag_calibrated"),
    "flat": ("check_written", "keep the path"),
    "wrong_sign": ("check_corrected", "mag + applied_mag"),
    "silent": ("check_note", "simulated data"),
    "without_flags": ("check_corrected", "flags"),
    "restless": ("check_plan", "other pieces"),
    "all_stars": ("check_wanted", "wanted.chosen"),
    "loses_stars": ("check_delivery", "must come once"),
    "says_nothing": ("check_wanted", "`without`"),
    "of_nothing": ("check_products", "extinctions"),
}


def test_every_broken_plugin_has_its_check(broken_plugins):
    assert set(broken_plugins.BROKEN) == set(FAULTS)
    # A good number of checks, of every kind of plugin, is shown to find something.
    assert {kind for kind, _, _ in broken_plugins.BROKEN.values()} == set(CHECKS)
    assert len({check for check, _ in FAULTS.values()}) >= 20


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_named_first(broken_plugins, name):
    kind, descriptor, module = broken_plugins.BROKEN[name]
    expected, words = FAULTS[name]
    subject = subject_of(descriptor, kind, module=module)
    for check in CHECKS[kind]:
        outcome = run_check(check, subject)
        if outcome.status == "failed":
            break
    assert (outcome.status, outcome.check) == ("failed", expected), outcome
    assert words in outcome.message
    # One or two sentences for the author, no traceback.
    assert "\n" not in outcome.message and len(outcome.message) < 500
    assert "stopped with" not in outcome.message
