"""Offsets and zero points of exposures: a row for each CCD in each visit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scrframe.arrays import FloatArray
from scrframe.errors import ConfigError
from scrframe.offsets.apply import map_error
from scrframe.plugin import Registry
from scrframe.products import columns
from scrframe.products.columns import ProductColumn
from scrframe.products.finished_run import RunProducts
from scrframe.products.rows import columns_read, detections_of
from scrframe.products.run_data import RunData

Columns = tuple[Sequence[ProductColumn], Mapping[str, Any]]
UNITS = ("mag", "AB", "flux")
#: Flux density of AB magnitude 0, in nJy: Oke & Gunn 1983 (ApJ 266, 713).
AB_ZERO_NJY = 3631e9
#: Relative change of a flux by a magnitude.
_RELATIVE = 0.4 * np.log(10)

_C = ProductColumn
_KEYS = (
    _C("visit", "", "string", "key of the visit"),
    _C("ccd", "", "int64", "number of the detector"),
    _C("mjd", "d", "float64", "modified Julian date of the visit"),
)
_MAG = (
    _C("zero_point", "mag", "float64", "to be added to observed magnitudes, u_ZP included"),
    _C("zero_point_err", "mag", "float64", "its error"),
    _C("zero_point_sys", "mag", "float64", "what systematic effects can shift it by"),
)
_FLUX = (
    _C("flux_scale", "", "float64", "factor of observed fluxes, 10^(-0.4 zero_point)"),
    _C("flux_scale_err", "", "float64", "its error"),
    _C("flux_scale_sys", "", "float64", "what systematic effects can change it by"),
)
_AB_FLUX = (_C("flux_zero", "nJy", "float64", "flux density of observed magnitude 0"),)
_LEVEL = (
    _C("level", "", "string", "where the offset comes from"),
    _C("n_detections", "", "int64", "detections of the Calibration Sample that took part"),
)


def exposure_table(products: RunProducts, data: RunData, registry: Registry) -> Columns:
    """Return declared columns and values of the offsets of exposures, without u_ZP and maps.

    Of mode joint they are those of the solution. Of mode sequential they are sums of the levels of
    exposures, for each CCD with stars in a visit, with errors added in quadrature and no
    systematic error.
    """
    exposures = products.solution.exposures
    if exposures is not None:
        return columns.EXPOSURES, {
            "visit": exposures.visit,
            "ccd": exposures.ccd,
            "offset": exposures.offset_mag,
            "offset_err": exposures.err_mag,
            "offset_sys": exposures.sys_mag,
            "level": exposures.level,
            "n_detections": exposures.count,
        }
    span = int(data.ccds.max()) + 1 if len(data.ccds) else 1
    key, count = np.unique(data.visit_code.astype(np.int64) * span + data.ccd, return_counts=True)
    visit, ccd = key // span, key % span
    reads = columns_read(products.survey, registry)
    wanted = {name for names in reads.values() for name in names}
    rows = detections_of({"ccd": ccd}, visit, data, wanted)
    offset, squares = np.zeros(len(key)), np.zeros(len(key))
    for level in products.solution.levels:
        if not level.fitted.within_exposure and level.fitted.role == "correction":
            design = level.fitted.design(rows)
            own = np.asarray(design.weights @ level.offsets.offset_mag)
            offset = offset + np.where(np.diff(design.weights.indptr) == 0, np.nan, own)
            squares = squares + map_error(design, level.offsets) ** 2
    known = np.isfinite(offset)
    return columns.EXPOSURES, {
        "visit": np.array(data.visits, dtype=np.str_)[visit],
        "ccd": ccd,
        "offset": offset,
        "offset_err": np.where(known, np.sqrt(squares), np.nan),
        "offset_sys": np.full(len(key), np.nan),
        "level": np.where(known, "ccd", "none"),
        "n_detections": count,
    }


def zero_point_table(
    products: RunProducts, data: RunData, registry: Registry, unit: str | None
) -> Columns:
    """Return declared columns and values of zero points; see `scrframe.FinishedRun.zero_points`.

    With no unit the columns are those of magnitudes and of fluxes.
    """
    if unit is not None and unit not in UNITS:
        raise ConfigError(f'the unit of zero points is "{unit}"; expected {", ".join(UNITS)}')
    system = products.solution.system
    if unit == "AB" and system != "AB":
        raise ConfigError(
            f"the magnitudes of {products.path} are on the system: {system}, not AB; tie them to"
            " it by a block `absolute` in the description, or ask for unit mag"
        )
    _, known = exposure_table(products, data, registry)
    mjd = {key: float(value) for key, value in zip(data.visits, data.visit_table.mjd, strict=True)}
    zero = np.asarray(known["offset"], dtype=np.float64) + products.solution.zero_point_mag
    scale = np.asarray(10 ** (-0.4 * zero))
    values = {
        "visit": known["visit"],
        "ccd": known["ccd"],
        "mjd": np.array([mjd.get(str(key), np.nan) for key in known["visit"]]),
        "zero_point": zero,
        "zero_point_err": known["offset_err"],
        "zero_point_sys": known["offset_sys"],
        "flux_scale": scale,
        "flux_scale_err": _of_flux(scale, known["offset_err"]),
        "flux_scale_sys": _of_flux(scale, known["offset_sys"]),
        "flux_zero": AB_ZERO_NJY * scale,
        "level": known["level"],
        "n_detections": known["n_detections"],
    }
    fluxes = (*_FLUX, *(_AB_FLUX if system == "AB" else ()))
    which = {None: (*_MAG, *fluxes), "flux": fluxes}.get(unit, _MAG)
    chosen = (*_KEYS, *which, *_LEVEL)
    return chosen, {column.name: values[column.name] for column in chosen}


def _of_flux(scale: FloatArray, err_mag: FloatArray) -> FloatArray:
    return np.asarray(_RELATIVE * scale * err_mag)
