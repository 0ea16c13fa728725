"""Plugins with one fault each, made from good ones; functions at the top, as they must be."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from good_plugins import (
    ARCHIVE,
    CURVE,
    DIAGNOSTIC,
    EXTINCTION,
    LEVEL,
    LOADER,
    MODEL,
    REFERENCE,
    WRITER,
)
from pydantic import Field
from scipy import sparse

from scrframe.builtin.offset_levels.maps import BinConfig, needs_map, prepare_bin, restore_bin
from scrframe.errors import DataError
from scrframe.plugin import ColourPrediction, FittedColourModel, PluginConfig, file_part
from scrframe.tables import Detections, FittedLevel, LevelDesign, Spectra

#: By name: kind, the descriptor, and the module that the entry point would name.
BROKEN: dict[str, tuple[str, Any, str]] = {}


def broken(name: str, kind: str, good: Any, module: str = "", **changes: Any) -> None:
    BROKEN[name] = (kind, replace(good, **changes), module)


# --- survey loaders ---------------------------------------------------------------------------


def changed(part, config, columns, change: Callable[[Detections], dict[str, Any]]) -> Detections:
    table = LOADER.read(part, config, columns)
    return table.with_columns(change(table))


def read_radians(part, config, columns=None):
    return changed(
        part, config, columns, lambda t: {name: np.deg2rad(t[name]) for name in ("ra", "dec")}
    )


def read_fluxes(part, config, columns=None):
    return changed(part, config, columns, lambda t: {"mag": 10 ** (-0.4 * (t["mag"] - 25))})


def read_dates(part, config, columns=None):
    return changed(part, config, columns, lambda t: {"mjd": t["mjd"] + 2400000.5})


def read_other_rows(part, config, columns=None):
    return changed(part, config, columns, lambda t: {"x": t["x"][::-1].copy()})


def read_stand_in(part, config, columns=None):
    return changed(
        part, config, columns, lambda t: {"mag": np.where(np.arange(len(t)) == 3, 99.0, t["mag"])}
    )


def read_file_name(part, config, columns=None):
    return changed(part, config, columns, lambda t: {"visit": np.full(len(t), part.path.stem)})


def read_jitter(part, config, columns=None):
    jitter = np.random.default_rng().normal(0, 1e-3, 10**6)
    return changed(part, config, columns, lambda t: {"mag": t["mag"] + jitter[: len(t)]})


def read_everything(part, config, columns=None):
    return LOADER.read(part, config, None)


def read_magnitudes_only(part, config, columns=None):
    table = LOADER.read(part, config, columns)
    return table.filter(np.isfinite(table["mag"]))


def read_traceback(part, config, columns=None):
    try:
        return LOADER.read(part, config, columns)
    except DataError as error:
        raise KeyError("mjd") from error


def read_no_path(part, config, columns=None):
    try:
        return LOADER.read(part, config, columns)
    except DataError:
        raise DataError("the list cannot be read") from None


def read_with_cache(part, config, columns=None):
    Path(part.path).with_suffix(".cache").write_text("read", encoding="utf-8")
    return LOADER.read(part, config, columns)


def parts_of_nothing(config, root):
    try:
        return LOADER.parts(config, root)
    except DataError:
        return []


def parts_of_one_key(config, root):
    return [file_part(part.path, "lists") for part in LOADER.parts(config, root)]


class UndocumentedConfig(LOADER.config):
    zero_point: float = 25.0


broken("radians", "survey", LOADER, read=read_radians)
broken("fluxes", "survey", LOADER, read=read_fluxes)
broken("julian_dates", "survey", LOADER, read=read_dates)
broken("other_rows", "survey", LOADER, read=read_other_rows)
broken("stand_in", "survey", LOADER, read=read_stand_in)
broken("promises", "survey", LOADER, columns=(*LOADER.columns, "seeing"))
broken("misnames", "survey", LOADER, columns=(*LOADER.columns, "psf_flux"))
broken("file_name", "survey", LOADER, read=read_file_name)
broken("jitter", "survey", LOADER, read=read_jitter)
broken("everything", "survey", LOADER, read=read_everything)
broken("magnitudes_only", "survey", LOADER, read=read_magnitudes_only)
broken("traceback", "survey", LOADER, read=read_traceback)
broken("no_path", "survey", LOADER, read=read_no_path)
broken("cache", "survey", LOADER, read=read_with_cache)
broken("nothing", "survey", LOADER, parts=parts_of_nothing)
broken("one_key", "survey", LOADER, parts=parts_of_one_key)
broken("undocumented", "survey", LOADER, config=UndocumentedConfig)
broken("no_example", "survey", LOADER, example=None, camera=None)
broken(
    "lambda",
    "survey",
    LOADER,
    visit_key="",
    parts=lambda config, root: LOADER.parts(config, root)[:2],
)

# --- catalogues of stars and extinctions, curves ----------------------------------------------


def read_whole_sky(part, config, footprint, corrections):
    return REFERENCE.read_sources(part, config, None, corrections)


def read_relative(part, config, stars, corrections):
    spectra = REFERENCE.read_features(part, config, stars, corrections)
    flux = spectra.flux / spectra.flux.mean()
    return replace(spectra, flux=flux)


def read_angstrom(part, config, stars, corrections):
    spectra = REFERENCE.read_features(part, config, stars, corrections)
    return Spectra(
        spectra.source_id, 10 * spectra.wavelength_nm, spectra.flux, spectra.snr, spectra.flags
    )


def read_all_extinctions(part, config, source_id):
    return EXTINCTION.read(part, config, np.arange(1, 1001))


def curve_upside_down(config, wavelength_nm):
    return 2.5 * (np.asarray(wavelength_nm) / 550.0) ** 1.4


def curve_to_nan(config, wavelength_nm):
    wanted = np.asarray(wavelength_nm, dtype=float)
    known = (wanted > 300) & (wanted < 2500)
    return np.where(known, 2.5 * (550 / np.where(known, wanted, 550)) ** 1.4, np.nan)


broken("whole_sky", "reference", REFERENCE, read_sources=read_whole_sky)
broken("relative", "reference", REFERENCE, read_features=read_relative)
broken("angstrom", "reference", REFERENCE, read_features=read_angstrom)
broken("all_extinctions", "extinction", EXTINCTION, read=read_all_extinctions)
broken("upside_down", "curve", CURVE, curve=curve_upside_down)
broken("to_nan", "curve", CURVE, curve=curve_to_nan)

# --- colour models ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Wrapped(FittedColourModel):
    """A good model whose predictions are changed."""

    model: FittedColourModel
    change: Callable[[Any, Any], Any]

    def predict(self, features):
        colour = self.model.predict(features).colour_mag
        return ColourPrediction(self.change(colour, features))


def fit_wrapped(change, features, colour_mag, weights, config, seed, threads):
    return Wrapped(MODEL.fit(features, colour_mag, weights, config, seed, threads), change)


def about_the_batch(colour, features):
    return colour - colour.mean() + 1.2 if len(colour) else colour


def single(colour, features):
    return colour.astype(np.float32)


def fit_in_place(features, colour_mag, weights, config, seed, threads):
    features -= features.mean(axis=0)
    return MODEL.fit(features, colour_mag, weights, config, seed, threads)


def fit_unseeded(features, colour_mag, weights, config, seed, threads):
    noise = np.random.default_rng().normal(0, 0.01, len(colour_mag))
    return MODEL.fit(features, colour_mag + noise, weights, config, seed, threads)


def fit_by_threads(features, colour_mag, weights, config, seed, threads):
    return MODEL.fit(features, colour_mag + 1e-9 * threads, weights, config, seed, threads)


class Forgiving(Wrapped):
    def predict(self, features):
        return self.model.predict(np.nan_to_num(features))


def fit_forgiving(features, colour_mag, weights, config, seed, threads):
    model = MODEL.fit(np.nan_to_num(features), colour_mag, weights, config, seed, threads)
    return Forgiving(model, None)


def fit_unweighted(features, colour_mag, weights, config, seed, threads):
    return MODEL.fit(features, colour_mag, None, config, seed, threads)


def mean_only(colour, features):
    return np.full(len(colour), 1.2)


def fit_with_lambda(features, colour_mag, weights, config, seed, threads):
    return Wrapped(
        MODEL.fit(features, colour_mag, weights, config, seed, threads),
        lambda colour, features: colour,
    )


@dataclass
class Growing(FittedColourModel):
    """Keeps the training array itself."""

    features: Any
    model: Any

    def predict(self, features):
        shift = float(self.features[0, 0])
        return ColourPrediction(self.model.predict(features).colour_mag + 0 * shift + shift / 1e6)


def fit_alias(features, colour_mag, weights, config, seed, threads):
    return Growing(features, MODEL.fit(features, colour_mag, weights, config, seed, threads))


for name, change in (("batch", about_the_batch), ("single", single), ("mean_only", mean_only)):
    broken(name, "colour-model", MODEL, fit=functools.partial(fit_wrapped, change))
broken("in_place", "colour-model", MODEL, fit=fit_in_place)
broken("alias", "colour-model", MODEL, fit=fit_alias)
broken("unseeded", "colour-model", MODEL, fit=fit_unseeded)
broken("by_threads", "colour-model", MODEL, fit=fit_by_threads)
broken("forgiving", "colour-model", MODEL, fit=fit_forgiving)
broken("unweighted", "colour-model", MODEL, fit=fit_unweighted)
broken("keeps_lambda", "colour-model", MODEL, fit=fit_with_lambda)
broken("heavy", "colour-model", MODEL, "heavy_plugin")


class RequiredConfig(PluginConfig):
    """A setting without default or example."""

    depth: int = Field(description="How deep.")


broken("required", "colour-model", MODEL, config=RequiredConfig)

# --- offset levels ----------------------------------------------------------------------------


class Changed(FittedLevel):
    """A good level with other answers."""

    def __init__(self, level: FittedLevel) -> None:
        self.level = level
        self.name, self.role = level.name, level.role
        self.within_exposure = level.within_exposure

    def labels(self):
        return self.level.labels()

    def design(self, detections):
        return self.level.design(detections)

    def state(self):
        return self.level.state()


class ByBatch(Changed):
    def design(self, detections):
        mjd = detections["mjd"]
        period = np.floor((mjd - (mjd.min() if len(mjd) else 0)) / 180)
        width = self.labels().num_rows
        return LevelDesign.of_partition(np.minimum(period, width - 1).astype(int), width)


class Indefinite(Changed):
    def precision(self):
        width = self.labels().num_rows
        return sparse.csr_array(np.ones((width, width)))


class Milli(Changed):
    def precision(self):
        return sparse.csr_array(1e6 * sparse.eye_array(self.labels().num_rows))


class Misplaced(Changed):
    def __init__(self, level):
        super().__init__(level)
        self.within_exposure = True

    def design(self, detections):
        column = (detections["row"] * 7 + detections["ccd"]) % self.labels().num_rows
        return LevelDesign.of_partition(column, self.labels().num_rows)


class Hidden(Changed):
    def design(self, detections):
        weights = self.level.design(detections).weights
        return LevelDesign(sparse.csr_array(weights.multiply(detections["airmass"][:, None])))


def prepare_as(kind, name, matched, config):
    return kind(LEVEL.prepare(name, matched, config))


def restore_as(kind, name, labels, state, config):
    return kind(LEVEL.restore(name, labels, state, config))


def restore_reversed(name, labels, state, config):
    return LEVEL.restore(name, labels.take(list(range(labels.num_rows))[::-1]), state, config)


def prepare_one_exposure(name, matched, config):
    level = prepare_bin(name, matched, config)
    level.within_exposure = False
    return level


def restore_one_exposure(name, labels, state, config):
    level = restore_bin(name, labels, state, config)
    level.within_exposure = False
    return level


def needs_the_star(config):
    return ("mjd", "extinction")


for name, kind in (
    ("by_batch", ByBatch),
    ("indefinite", Indefinite),
    ("milli", Milli),
    ("misplaced", Misplaced),
    ("hidden", Hidden),
):
    broken(
        name,
        "offset-level",
        LEVEL,
        prepare=functools.partial(prepare_as, kind),
        restore=functools.partial(restore_as, kind),
    )
broken("reversed", "offset-level", LEVEL, restore=restore_reversed)
broken("of_stars", "offset-level", LEVEL, needs=needs_the_star)
broken(
    "one_exposure",
    "offset-level",
    LEVEL,
    config=BinConfig,
    prepare=prepare_one_exposure,
    restore=restore_one_exposure,
    needs=needs_map,
)

# --- diagnostics and writers ------------------------------------------------------------------


def compute_numpy(stars, config):
    return {"median_mag": np.median(stars["mag_cal"].to_numpy())}


def compute_first(stars, config):
    return {"first_mag": float(stars["mag_cal"].to_numpy()[0])}


def compute_unknown(stars, config):
    return {"mean": float(stars["mag_calibrated"].to_numpy().mean())}


def write_flat(part, detections, corrections, root, out, config, note):
    (path,) = WRITER.write(part, detections, corrections, root, out, config, note)
    return [path.rename(out / path.name)]


def write_reversed(part, detections, corrections, root, out, config, note):
    turned = replace(corrections, total_mag=-corrections.total_mag)
    return WRITER.write(part, detections, turned, root, out, config, note)


def write_silent(part, detections, corrections, root, out, config, note):
    return WRITER.write(part, detections, corrections, root, out, config, "")


def write_without_flags(part, detections, corrections, root, out, config, note):
    none = replace(corrections, flags=np.zeros(len(detections), np.int32))
    return WRITER.write(part, detections, none, root, out, config, note)


broken("numpy", "diagnostic", DIAGNOSTIC, compute=compute_numpy)
broken("first", "diagnostic", DIAGNOSTIC, compute=compute_first)
broken("unknown_column", "diagnostic", DIAGNOSTIC, compute=compute_unknown)
broken("flat", "writer", WRITER, write=write_flat)
broken("wrong_sign", "writer", WRITER, write=write_reversed)
broken("silent", "writer", WRITER, write=write_silent)
broken("without_flags", "writer", WRITER, write=write_without_flags)

# --- archives ---------------------------------------------------------------------------------

DRAWN = np.random.default_rng()


def plan_restless(wanted, config, guest):
    plan = ARCHIVE.plan(wanted, config, guest)
    return replace(
        plan, pieces=tuple(replace(each, key=f"q{DRAWN.integers(1e9)}") for each in plan.pieces)
    )


def fetch_all(piece, wanted, config, guest, scratch):
    return ARCHIVE.fetch(piece, replace(wanted, source_id=None), config, guest, scratch)


def fetch_fewer(piece, wanted, config, guest, scratch):
    found = ARCHIVE.fetch(piece, wanted, config, guest, scratch)
    return replace(found, table=found.table.slice(1))


def fetch_silent(piece, wanted, config, guest, scratch):
    found = ARCHIVE.fetch(piece, wanted, config, guest, scratch)
    return replace(found, without=np.empty(0, np.int64))


broken("restless", "archive", ARCHIVE, plan=plan_restless)
broken("all_stars", "archive", ARCHIVE, fetch=fetch_all)
broken("loses_stars", "archive", ARCHIVE, fetch=fetch_fewer)
broken("says_nothing", "archive", ARCHIVE, fetch=fetch_silent)
broken("of_nothing", "archive", ARCHIVE, products=("stars",))
