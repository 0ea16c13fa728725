"""One gauge for all products: where the constant that levels share is put.

A detection's offset is the sum of a constant, its visit, its CCD in that visit and the maps
over its CCD; each of these can take over a constant of the next. The convention: maps sum
to zero within a CCD over the detections of all visits, CCDs within a visit, visits over all
detections. The constant that is left belongs to the zero point u_ZP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from scrframe.arrays import FloatArray, IntArray
from scrframe.offsets.joint.mixed_model import MixedModel, Term

#: A term within exposures: its values by detection, or its design and its parameters.
Map = FloatArray | tuple[sparse.csr_array, FloatArray]


@dataclass(frozen=True)
class Gauged:
    """Offsets in the gauge, in mag; x exposures of v visits on c CCDs."""

    #: Mean of the visit's exposures over its detections, less the constant. Shape (v,).
    visit_mag: FloatArray
    #: What the exposure differs from its visit. Shape (x,).
    ccd_mag: FloatArray
    #: Mean of all maps over the CCD's detections: to be subtracted from the maps, already added to
    #: the exposures. Shape (c,).
    map_shift_mag: FloatArray
    #: Mean over all detections, to be left to the zero point.
    constant_mag: float


@dataclass(frozen=True)
class GaugeRows:
    """The gauge as linear combinations of the p parameters, for exact variances.

    The offset of an exposure without the constant is ``(exposures[i] - mean) @ u``, that of
    a visit ``(visits[j] - mean) @ u``. The mean stands apart, as it would fill every row.
    """

    #: Sum of the exposure's terms and of its CCD's mean map. Shape (x, p).
    exposures: sparse.csr_array
    #: Mean of the visit's exposures over its detections. Shape (v, p).
    visits: sparse.csr_array
    #: Mean of the survey over its detections. Shape (p,).
    mean: FloatArray


def in_gauge(
    exposure_total: FloatArray,
    visit: IntArray,
    count: npt.NDArray[np.number],
    maps: Sequence[Map],
    ccd: IntArray,
    exposure: IntArray,
    weights: FloatArray | None = None,
) -> Gauged:
    """Move means up from the maps to the exposures, the visits and the constant.

    The sum of all parts, detection by detection, stays what it was.

    Parameters
    ----------
    exposure_total : ndarray, shape (x,)
        Sum of the terms that are constant within exposures, in mag.
    visit, ccd : ndarray of int64, shape (x,)
        Code of each exposure's visit, from 0 to v - 1, and CCD, from 0 to c - 1.
    count : ndarray, shape (x,)
        Number of detections, the weight of each exposure where `weights` is not given.
    maps : sequence of ndarray, shape (n,), or of (csr_array, shape (n, q), ndarray (q,))
        Terms within exposures: values by detection, or design and parameters, in mag.
    exposure : ndarray of int64, shape (n,)
        Exposure of each detection.
    weights : ndarray, shape (n,), optional
        Weight of each detection in the means: 1 for those used, 0 for others. A visit or a
        CCD without weight takes plain means of its exposures, and no shift of its maps.
    """
    weight, by_exposure = _weights(exposure, len(visit), count, weights)
    value = np.zeros(len(exposure))
    for item in maps:
        value += item[0] @ item[1] if isinstance(item, tuple) else item
    shift = _mean(value, weight, ccd[exposure], _number(ccd))
    total = exposure_total + shift[ccd]
    mean = _visit_means(visit, by_exposure) @ total
    each = np.bincount(visit, by_exposure, minlength=len(mean))
    constant = float(each @ mean / each.sum()) if each.sum() > 0 else 0.0
    return Gauged(mean - constant, total - mean[visit], shift, constant)


def gauge_rows(
    model: MixedModel,
    terms: Sequence[Term],
    visit: IntArray,
    ccd: IntArray,
    weights: FloatArray | None = None,
) -> GaugeRows:
    """Return the linear combinations of parameters that `in_gauge` applies.

    Parameters
    ----------
    model : MixedModel
        p parameters, x exposures, n detections.
    terms : sequence of Term
        Those that make the correction; the columns of others are left out.
    visit, ccd : ndarray of int64, shape (x,)
        As for `in_gauge`.
    weights : ndarray, shape (n,), optional
        As for `in_gauge`.
    """
    kept = np.zeros(model.width)
    for term in terms:
        kept[term.columns] = 1.0
    number = np.bincount(model.exposure, minlength=len(visit))
    weight, by_exposure = _weights(model.exposure, len(visit), number, weights)
    place = ccd[model.exposure]
    mass = np.bincount(place, weight, minlength=_number(ccd))
    share = weight / np.where(mass > 0, mass, 1.0)[place]
    index = np.arange(len(place))
    means = sparse.csr_array((share, (place, index)), shape=(len(mass), len(place)))
    # Other terms go first: fields of nuisance on the sky would fill the row of every exposure.
    of_maps = _diagonal(kept[model.by_exposure.shape[1] :])
    maps = sparse.csr_array(sparse.csr_array(means @ model.by_detection) @ of_maps)
    maps.eliminate_zeros()
    # Pixel columns of other CCDs are absent, so a row holds one CCD's map only.
    joined = sparse.hstack([model.by_exposure, maps[ccd]], format="csr")
    rows = sparse.csr_array(joined @ _diagonal(kept))
    rows.eliminate_zeros()
    visits = sparse.csr_array(_visit_means(visit, by_exposure) @ rows)
    each = np.bincount(visit, by_exposure, minlength=visits.shape[0])
    return GaugeRows(rows, visits, visits.T @ (each / (each.sum() or 1.0)))


def _weights(
    exposure: IntArray,
    exposures: int,
    count: npt.NDArray[np.number],
    weights: FloatArray | None,
) -> tuple[FloatArray, FloatArray]:
    if weights is None:
        return np.ones(len(exposure)), np.asarray(count, dtype=np.float64)
    total = np.bincount(exposure, weights, minlength=exposures)
    return weights, total.astype(np.float64)


def _mean(value: FloatArray, weight: FloatArray, group: IntArray, width: int) -> FloatArray:
    mass = np.bincount(group, weight, minlength=width)
    sums = np.bincount(group, weight * value, minlength=width)
    return np.asarray(sums / np.where(mass > 0, mass, 1.0))


def _visit_means(visit: IntArray, weight: FloatArray) -> sparse.csr_array:
    """Return the matrix, shape (v, x), that takes exposures to the means of visits."""
    width = _number(visit)
    empty = np.bincount(visit, weight, minlength=width) == 0
    # Exposures of a visit without detections count alike, so that it has a mean at all.
    weight = np.where(empty[visit], 1.0, weight)
    share = weight / np.bincount(visit, weight, minlength=width)[visit]
    shape = (width, len(visit))
    return sparse.csr_array((share, (visit, np.arange(len(visit)))), shape=shape)


def _diagonal(values: FloatArray) -> sparse.csr_array:
    return sparse.csr_array(sparse.diags_array(values))


def _number(codes: IntArray) -> int:
    return int(codes.max()) + 1 if len(codes) else 0
