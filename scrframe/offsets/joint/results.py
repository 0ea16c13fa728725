"""From a joint fit to offsets in the gauge, with their errors and covariance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from scrframe.arrays import FloatArray, IntArray
from scrframe.offsets.joint.gauge import Gauged, gauge_rows, in_gauge
from scrframe.offsets.joint.mixed_model import Term
from scrframe.offsets.joint.problem import JointFit
from scrframe.offsets.joint.visit_errors import (
    DRAWS,
    SOLVED,
    VisitErrors,
    drawn_covariance,
    pair_covariance,
    sharing_stars,
    whole_covariance,
)
from scrframe.statistics.covariance import WHOLE, Covariance, variances
from scrframe.tables import OffsetTable

#: A robust weight below this is rounding: such a detection takes no part in the gauge.
NO_WEIGHT = 1e-9
#: Of the draws for the covariance of very many visits.
SEED = 20_000


@dataclass(frozen=True)
class ExposureOffsets:
    """Offsets of the exposures and visits in the gauge; x exposures of v visits."""

    #: The whole correction of an exposure but for the maps over its detector. Shape (x,).
    offset_mag: FloatArray
    err_mag: FloatArray
    #: What it differs from its visit. Shape (x,).
    ccd_mag: FloatArray
    ccd_err_mag: FloatArray
    #: Shape (v,).
    visit_mag: FloatArray
    #: In mag^2; of many visits, that of those which share stars. Shape (v, v).
    visit_covariance: Covariance
    #: Detections with weight. Shape (x,).
    count: IntArray

    @property
    def visit_err_mag(self) -> FloatArray:
        """Return the errors of the visits' offsets, shape (v,)."""
        return np.sqrt(variances(self.visit_covariance))


class JointResults:
    """What a joint fit says, in the gauge of the products.

    Maps whose columns belong to one detector each, with weights that sum to one, take part
    in the gauge: their mean over a detector moves to its exposures. Other maps (polynomials)
    have no constant to move.
    """

    def __init__(self, fit: JointFit) -> None:
        self._fit = fit
        self._variances: FloatArray | None = None
        design, model = fit.design, fit.design.model
        self._used = (fit.robust.detection > NO_WEIGHT) & (fit.weights.detection > 0)
        self._ccds, self._ccd = np.unique(design.exposures.ccd, return_inverse=True)
        corrections = [term for term in model.terms if term.role == "correction"]
        split = model.by_exposure.shape[1]
        self._shared = [term for term in corrections if term.last <= split]
        self._maps = [term for term in corrections if term.first >= split]
        self._column_ccd = self._columns_by_ccd()
        self._movable = [term for term in self._maps if np.all(self._ccd_of(term) >= 0)]
        self._rows = gauge_rows(
            model,
            [*self._shared, *self._movable],
            design.exposures.visit,
            self._ccd,
            self._used.astype(float),
        )
        self._gauged = self._in_gauge()
        self.exposures = self._exposure_offsets()

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms of the model."""
        return self._fit.design.model.terms

    @property
    def gauged(self) -> Gauged:
        """The offsets in the gauge."""
        return self._gauged

    def variances(self) -> FloatArray:
        """Return the variances of all parameters by themselves, shape (p,), in mag^2."""
        if self._variances is None:
            self._variances = np.maximum(self._fit.factor.diagonal(), 0)
        return self._variances

    def _columns_by_ccd(self) -> IntArray:
        """Return the detector of each column by detection, shape (b,).

        -1 where several share the column; the detector of an unused column does not matter.
        """
        model = self._fit.design.model
        columns = model.by_detection.tocsc()
        ccd = self._ccd[model.exposure][columns.indices]
        of_column = np.repeat(np.arange(columns.shape[1]), np.diff(columns.indptr))
        low = np.full(columns.shape[1], len(self._ccds), dtype=np.int64)
        high = np.full(columns.shape[1], -1, dtype=np.int64)
        np.minimum.at(low, of_column, ccd)
        np.maximum.at(high, of_column, ccd)
        return np.where(high < 0, 0, np.where(low == high, high, -1))

    def _ccd_of(self, term: Term) -> IntArray:
        """Return the detector of each column of a map, -1 if the map cannot be shifted."""
        model = self._fit.design.model
        split = model.by_exposure.shape[1]
        block = model.by_detection[:, term.first - split : term.last - split]
        sums = np.asarray(block.sum(axis=1)).ravel()
        if np.any(np.abs(sums[sums != 0] - 1) > 1e-9):
            return np.full(term.width, -1, dtype=np.int64)
        return self._column_ccd[term.first - split : term.last - split]

    def _in_gauge(self) -> Gauged:
        fit, model = self._fit, self._fit.design.model
        parameters, split = fit.estimate.parameters, model.by_exposure.shape[1]
        kept = np.zeros(split)
        for term in self._shared:
            kept[term.columns] = parameters[term.columns]
        maps = np.zeros(model.by_detection.shape[1])
        for term in self._movable:
            maps[term.first - split : term.last - split] = parameters[term.columns]
        exposures = fit.design.exposures
        return in_gauge(
            np.asarray(model.by_exposure @ kept),
            exposures.visit,
            np.bincount(model.exposure, minlength=len(exposures)),
            [(model.by_detection, maps)],
            self._ccd,
            model.exposure,
            self._used.astype(float),
        )

    def _exposure_offsets(self) -> ExposureOffsets:
        exposures, gauged = self._fit.design.exposures, self._gauged
        mean = self._fit.factor.solve(self._rows.mean)
        variance = self._exposure_variance()
        variance += self._rows.mean @ mean - 2 * (self._rows.exposures @ mean)
        of_visits = self._visit_covariance(exposures.visit, variance)
        of_visit = variances(of_visits.covariance)[exposures.visit]
        return ExposureOffsets(
            offset_mag=gauged.visit_mag[exposures.visit] + gauged.ccd_mag,
            err_mag=np.sqrt(np.maximum(variance, 0)),
            ccd_mag=gauged.ccd_mag,
            ccd_err_mag=np.sqrt(np.maximum(variance + of_visit - 2 * of_visits.with_exposure, 0)),
            visit_mag=gauged.visit_mag,
            visit_covariance=of_visits.covariance,
            count=np.bincount(
                self._fit.design.model.exposure[self._used], minlength=len(exposures)
            ).astype(np.int64),
        )

    def _visit_covariance(self, visit: IntArray, exposures: FloatArray) -> VisitErrors:
        """Return the covariance of the visits' offsets, of many visits that of neighbours.

        `exposures`, shape (x,), are the variances of the exposures' offsets.
        """
        if self._rows.visits.shape[0] <= WHOLE:
            return whole_covariance(self._fit.factor, self._rows, visit)
        model = self._fit.design.model
        used = np.flatnonzero(self._used)
        visits = self._rows.visits.shape[0]
        pairs = sharing_stars(visit[model.exposure[used]], model.star[used], visits)
        if visits <= SOLVED:
            return pair_covariance(self._fit.factor, self._rows, visit, pairs)
        draws = self._fit.draws(DRAWS, SEED)
        return drawn_covariance(draws, self._rows, visit, pairs, exposures)

    def _exposure_variance(self) -> FloatArray:
        """Return the variances of the rows of exposures, shape (x,).

        All exposures of a detector share its mean map, which one solve a detector covers;
        what is left of a row are few columns.
        """
        rows, factor = self._rows.exposures, self._fit.factor
        split = self._fit.design.model.by_exposure.shape[1]
        first = np.unique(self._ccd, return_index=True)[1]
        maps = np.asarray(rows[first].toarray())
        maps[:, :split] = 0.0
        solved = factor.solve(maps.T.copy())
        short = sparse.csr_array(rows[:, :split])
        own = sparse.csr_array((short.data, short.indices, short.indptr), shape=rows.shape)
        index = np.arange(rows.shape[0])
        cross = np.asarray(own @ solved)[index, self._ccd]
        shared = np.sum(maps * solved.T, axis=1)
        return np.asarray(factor.row_variances(own) + 2 * cross + shared[self._ccd])

    def of_visits(self, parameters: FloatArray) -> FloatArray:
        """Return the visits' offsets, shape (v, b), that parameters, shape (p, b), stand for."""
        return np.asarray(self._rows.visits @ parameters - self._rows.mean @ parameters)

    def shift(self, delta_mag: FloatArray, held: tuple[str, ...] = ()) -> FloatArray:
        """Return by how much exposures' offsets move if the differences do, shape (x,).

        `delta_mag`, shape (n,), is the change of the model magnitudes; terms that are `held` stay
        what they are, instead of taking up what they can of the change.
        """
        moved = self._fit.response(delta_mag)
        if held:
            moved -= self._taken_up(moved, held)
        return np.asarray(self._rows.exposures @ moved - self._rows.mean @ moved)

    def _taken_up(self, moved: FloatArray, held: tuple[str, ...]) -> FloatArray:
        """Return the part of a solution that goes with what some terms have taken up.

        With u the solution and L the held columns: C_L (C_LL)^-1 u_L.
        """
        terms = [self._fit.design.term(name) for name in held]
        columns = np.concatenate([np.arange(term.first, term.last) for term in terms])
        unit = np.zeros((len(moved), len(columns)))
        unit[columns, np.arange(len(columns))] = 1.0
        response = self._fit.factor.solve(unit)
        return np.asarray(response @ np.linalg.solve(response[columns], moved[columns]))

    def table(self, name: str) -> OffsetTable:
        """Return the offsets of one term.

        A term of one column a visit, or an exposure, has the offsets of the products, in the
        gauge. Others have their own share as the variances split it.
        """
        fit = self._fit
        term = fit.design.term(name)
        value = fit.estimate.parameters[term.columns].copy()
        error = np.sqrt(self.variances()[term.columns])
        scatter, count = self._scatter(term)
        if term in self._movable:
            # Of several maps each leaves its own mean to the exposures.
            ccd = self._ccd_of(term)
            rows, solved = self._map_means(term)
            value -= (rows @ fit.estimate.parameters)[ccd]
            own = np.sum(rows * solved.T, axis=1)
            error = error**2 - 2 * solved[term.columns][np.arange(term.width), ccd] + own[ccd]
            error = np.sqrt(np.maximum(error, 0))
        elif term in self._shared:
            found = self.exposures
            for place, offset, err in (
                (fit.design.visit_columns(term), found.visit_mag, found.visit_err_mag),
                (fit.design.exposure_columns(term), found.ccd_mag, found.ccd_err_mag),
            ):
                if place is not None:
                    value[place], error[place] = offset, err
                    break
        return OffsetTable(value, error, scatter, count)

    def _map_means(self, term: Term) -> tuple[FloatArray, FloatArray]:
        """Return the mean of a map over each detector as rows, shape (c, p), and C times them."""
        model = self._fit.design.model
        weight = self._used.astype(float)
        ccd = self._ccd[model.exposure]
        mass = np.maximum(np.bincount(ccd, weight, minlength=len(self._ccds)), 1)
        index = np.arange(len(ccd))
        means = sparse.csr_array((weight / mass[ccd], (ccd, index)), shape=(len(mass), len(ccd)))
        rows = np.zeros((len(mass), model.width))
        rows[:, model.by_exposure.shape[1] :] = (means @ model.by_detection).toarray()
        rows[:, : term.first] = rows[:, term.last :] = 0.0
        return rows, self._fit.factor.solve(rows.T.copy())

    def _scatter(self, term: Term) -> tuple[FloatArray, IntArray]:
        """Return the scatter of the residuals, and the number of detections, by column."""
        model, residual = self._fit.design.model, self._fit.residual_mag
        split = model.by_exposure.shape[1]
        if term.first >= split:
            block = model.by_detection[:, term.first - split : term.last - split]
        else:
            block = model.by_exposure[:, term.columns][model.exposure]
        touched = sparse.csr_array(block[np.flatnonzero(self._used)])
        touched = sparse.csr_array(
            ((touched.data != 0).astype(float), touched.indices, touched.indptr), touched.shape
        )
        value = residual[self._used]
        count = np.asarray(touched.sum(axis=0)).ravel()
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (touched.T @ value) / count
            squares = (touched.T @ value**2) / count - mean**2
            scatter = np.sqrt(np.maximum(squares, 0) * count / (count - 1))
        scatter[count < 2] = np.nan
        return scatter, count.astype(np.int64)
