"""An offset for every exposure of every known visit, also of those without calibration stars.

It comes from the nearest of CCD, visit, field, season and survey. Below the CCD the same rule
holds by itself: a map's bin without stars has the mean of its prior, zero, so that the bin's
detections take the offset of their CCD.

Visit offsets have a nested prior: y_v = mean + season + field + own + error, each part drawn
with a standard deviation of its own, estimated by restricted maximum likelihood (Patterson &
Thompson 1971, Biometrika 58, 545) from the solved visits. The prediction is the best linear
unbiased one, and its error holds all parts that are not known, the visit's own included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize

from scrframe.arrays import FloatArray, IntArray
from scrframe.errors import CalibrationError
from scrframe.tables.solution import ExposureTable

#: With fewer solved visits their spread says nothing, and the one given is held.
MIN_VISITS = 3
#: Rise of -2 log likelihood up to which a spread is thought possible (three errors).
LIKELY = 9.0
#: Values of each part between the possible ones.
POINTS = 5


@dataclass(frozen=True)
class KnownVisits:
    """All visits that a run read, whether or not they have calibration stars."""

    #: Keys. Length v.
    name: tuple[str, ...]
    #: Codes from 0; a visit without a field takes a code of its own. Shape (v,).
    field: IntArray
    season: IntArray


@dataclass(frozen=True)
class SolvedExposures:
    """Exposures with an offset of their own, x rows."""

    #: Row of its visit among the known visits. Shape (x,).
    visit: IntArray
    #: Number of its detector. Shape (x,).
    ccd: IntArray
    #: Total offset of the exposure and its error, in mag. Shape (x,).
    offset_mag: FloatArray
    err_mag: FloatArray
    #: Number of detections used; an exposure with none is not taken for solved. Shape (x,).
    count: IntArray


@dataclass(frozen=True)
class CcdParts:
    """What a CCD is expected to add to its visit's offset, for v known visits on c CCDs."""

    #: Numbers of the known detectors. Shape (c,).
    ccd: IntArray
    #: Static part and drift, predicted for the visit, and the error of that prediction without the
    #: jitter, in mag. Shape (v, c).
    offset_mag: FloatArray
    err_mag: FloatArray
    #: Standard deviation of what a CCD differs from this in one visit, in mag.
    jitter_sd_mag: float


def complete_exposures(
    known: KnownVisits,
    visit_mag: FloatArray,
    visit_err_mag: FloatArray,
    exposures: SolvedExposures,
    ccds: CcdParts,
    visit_sd_mag: float,
) -> ExposureTable:
    """Return an offset for every known visit and CCD, from the nearest level that has one.

    - "ccd": the exposure has calibration stars, and its own offset.
    - "visit": the visit has, on other CCDs: its offset and the CCD's part; the error holds
      the jitter.
    - "field", "season", "survey": the visit has none: what is predicted from visits of the same
      field or season (`predict_unobserved_visits`) and the CCD's part; the error holds the
      spread of the visits too.

    Parameters
    ----------
    known : KnownVisits
        v visits.
    visit_mag, visit_err_mag : ndarray, shape (v,)
        Solved visit offsets, without any CCD's part, and errors, in mag; NaN for none.
    visit_sd_mag : float
        Standard deviation of the visit term, for surveys of too few visits to have a spread.

    Returns
    -------
    ExposureTable
        v * c rows, by visit in the order of `known`, then by CCD.

    Raises
    ------
    CalibrationError
        If no visit is solved, or an exposure is of no known visit or CCD.
    """
    predicted = predict_unobserved_visits(known, visit_mag, visit_err_mag, visit_sd_mag)
    own = np.isfinite(visit_mag)
    offset = np.where(own, visit_mag, predicted.offset_mag)[:, None] + ccds.offset_mag
    error = np.where(own, visit_err_mag, predicted.err_mag)[:, None]
    error = np.sqrt(error**2 + ccds.err_mag**2 + ccds.jitter_sd_mag**2).ravel()
    shape = len(known.name), len(ccds.ccd)
    level = np.repeat(np.where(own, "visit", predicted.level), shape[1])
    offset, count = offset.ravel(), np.zeros(offset.size, dtype=np.int64)
    row, used = _rows(shape, exposures, ccds.ccd)
    offset[row], error[row] = exposures.offset_mag[used], exposures.err_mag[used]
    level[row], count[row] = "ccd", exposures.count[used]
    return ExposureTable(
        visit=np.repeat(np.array(known.name, dtype=np.str_), shape[1]),
        ccd=np.tile(ccds.ccd, shape[0]),
        offset_mag=offset,
        err_mag=error,
        sys_mag=np.full(offset.size, np.nan),
        level=level,
        count=count,
    )


def _rows(
    shape: tuple[int, int], exposures: SolvedExposures, ccd: IntArray
) -> tuple[IntArray, npt.NDArray[np.intp]]:
    """Return the table's rows of exposures with an offset of their own, and which these are."""
    order = np.argsort(ccd)
    place = order[np.minimum(np.searchsorted(ccd, exposures.ccd, sorter=order), len(ccd) - 1)]
    strange = (ccd[place] != exposures.ccd) | (exposures.visit < 0) | (exposures.visit >= shape[0])
    if strange.any():
        row = int(np.argmax(strange))
        raise CalibrationError(
            f"solved exposure {row} (visit number {exposures.visit[row]}, ccd"
            f" {exposures.ccd[row]}) belongs to no known visit and CCD; read its file as well"
        )
    used = np.flatnonzero((exposures.count > 0) & np.isfinite(exposures.offset_mag))
    return exposures.visit[used] * shape[1] + place[used], used


@dataclass(frozen=True)
class VisitPrediction:
    """The offset of each known visit as predicted from visits of its field or season."""

    #: Prediction for a visit that is not solved itself, and its error, in mag. Shape (v,).
    offset_mag: FloatArray
    err_mag: FloatArray
    #: Nearest group with a solved visit: "field", "season" or "survey". Shape (v,).
    level: npt.NDArray[np.str_]
    #: Standard deviations of the parts; 0 for a part that cannot be separated from the others.
    season_sd_mag: float
    field_sd_mag: float
    own_sd_mag: float


def predict_unobserved_visits(
    known: KnownVisits, offset_mag: FloatArray, err_mag: FloatArray, visit_sd_mag: float
) -> VisitPrediction:
    """Predict the offset of each known visit as if it were not solved itself.

    Parameters
    ----------
    known : KnownVisits
        v visits.
    offset_mag, err_mag : ndarray, shape (v,)
        Solved offsets, NaN where a visit has none, and their errors, in mag. Offsets that a
        prior has pulled in by a good part of themselves make the spread too small.
    visit_sd_mag : float
        Spread of visit offsets, held where fewer than three visits are solved.

    Raises
    ------
    CalibrationError
        If no visit is solved, or a solved one has no error.
    """
    solved = np.flatnonzero(np.isfinite(offset_mag))
    if not len(solved):
        raise CalibrationError(
            "no visit has an offset, so none can be given to visits without calibration stars;"
            " loosen the cuts of the calibration sample"
        )
    if not np.all(np.isfinite(err_mag[solved])):
        name = known.name[solved[~np.isfinite(err_mag[solved])][0]]
        raise CalibrationError(f"visit {name!r} has an offset without an error")
    model = _Nested(known, solved, offset_mag[solved], err_mag[solved])
    few = len(solved) < MIN_VISITS
    spread = np.array([0.0, 0.0, visit_sd_mag]) if few else _estimate(model)
    points, weight = (spread[None], np.ones(1)) if few else _lattice(model, spread)
    predicted = [model.predict(point) for point in points]
    offsets = np.array([offset for offset, _ in predicted])
    offset = weight @ offsets
    variance = weight @ np.array([variance for _, variance in predicted])
    variance += weight @ (offsets - offset) ** 2
    return VisitPrediction(offset, np.sqrt(variance), model.levels(), *(float(sd) for sd in spread))


def _estimate(model: _Nested) -> FloatArray:
    """Return the likeliest standard deviations of season, field and own; 0 for a part unseen."""
    free = np.array([*model.separable(), True])
    spread = np.zeros(3)

    def objective(log_sd: FloatArray) -> float:
        spread[free] = model.scale * np.exp(log_sd)
        return model.deviance(spread)

    start = np.full(int(free.sum()), -0.5 * np.log(free.sum()))
    # Below a thousandth of the whole a part is as good as absent.
    bounds = [(np.log(1e-3), np.log(10.0))] * len(start)
    found = optimize.minimize(objective, start, method="L-BFGS-B", bounds=bounds)
    spread[free] = model.scale * np.exp(found.x)
    return spread


def _lattice(model: _Nested, best: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return standard deviations that the data allow, shape (m, 3), and their weights.

    With few seasons or fields the likeliest values are often far too small; errors hold
    only when averaged over all likely ones (flat prior on the standard deviations, Gelman
    2006, Bayesian Analysis 1, 515).
    """
    limit = model.deviance(best) + LIKELY
    axes = [_likely(model, best, part, limit) if best[part] else np.zeros(1) for part in range(3)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    deviance = np.array([model.deviance(point) for point in points])
    weight = np.exp(-0.5 * (deviance - deviance.min()))
    return points, weight / weight.sum()


def _likely(model: _Nested, best: FloatArray, part: int, limit: float) -> FloatArray:
    """Return values of one part, the others at their best, with a deviance below the limit."""

    def excess(value: float) -> float:
        trial = best.copy()
        trial[part] = value
        return model.deviance(trial) - limit

    # A few seasons do not exclude huge spreads; none beyond what all visits show is believed.
    low, high = 1e-3 * best[part], max(3.0 * best[part], model.scale)
    if excess(low) > 0:
        low = optimize.brentq(excess, low, best[part], rtol=1e-3)
    if excess(high) > 0:
        high = optimize.brentq(excess, best[part], high, rtol=1e-3)
    return np.linspace(low, high, POINTS)


class _Nested:
    """Henderson's equations of the nested model; fields are eliminated first (diagonal)."""

    def __init__(self, known: KnownVisits, solved: IntArray, y: FloatArray, err: FloatArray):
        self._known, self.y, self._err = known, y, err
        self._field, self._season = known.field[solved], known.season[solved]
        self._fields, self._seasons = _number(known.field), _number(known.season)
        self.scale = max(float(np.std(y)), 1e-6)

    def _counts(self) -> tuple[IntArray, IntArray]:
        """Return the numbers of solved visits of each season and of each field."""
        return (
            np.bincount(self._season, minlength=self._seasons),
            np.bincount(self._field, minlength=self._fields),
        )

    def separable(self) -> tuple[bool, bool]:
        """Return whether the parts of seasons and of fields can be separated from the others."""
        # A part needs two groups to have a spread, and one with two members to differ from
        # what is finer; fields that are seasons say nothing of either.
        season, field = (
            bool((count > 0).sum() > 1 and count.max() > 1) for count in self._counts()
        )
        pairs = np.unique(self._season * self._fields + self._field)
        apart = len(pairs) > int(np.count_nonzero(self._counts()[0]))
        return season and (apart or not field), field

    def levels(self) -> npt.NDArray[np.str_]:
        """Return the nearest group in use of each known visit."""
        season, field = self._counts()
        by_season, by_field = self.separable()
        near = np.where(by_season & (season[self._known.season] > 0), "season", "survey")
        return np.where(by_field & (field[self._known.field] > 0), "field", near)

    def _equations(self, spread: FloatArray) -> _Equations:
        season_sd, field_sd, own_sd = np.maximum(spread, 1e-12)
        r = 1.0 / (self._err**2 + own_sd**2)
        ry = r * self.y
        diagonal = np.bincount(self._field, r, minlength=self._fields) + field_sd**-2
        cross = self._with_mean(self._by_field_and_season(r))
        full = np.diag(cross.sum(axis=0))
        full[0], full[:, 0] = np.diag(full), np.diag(full)
        full[np.arange(1, len(full)), np.arange(1, len(full))] += season_sd**-2
        matrix = full - cross.T @ (cross / diagonal[:, None])
        right_field = np.bincount(self._field, ry, minlength=self._fields)
        by_season = np.bincount(self._season, ry, minlength=self._seasons).astype(np.float64)
        right = self._with_mean(by_season[None])[0]
        beta = np.linalg.solve(matrix, right - cross.T @ (right_field / diagonal))
        fields = (right_field - cross @ beta) / diagonal
        quadratic = ry @ self.y - right_field @ fields - right @ beta
        determinant = (
            np.linalg.slogdet(matrix)[1]
            + np.log(diagonal * field_sd**2).sum()
            + 2.0 * self._seasons * np.log(season_sd)
            - np.log(r).sum()
        )
        return _Equations(diagonal, cross, matrix, beta, fields, float(determinant + quadratic))

    def _by_field_and_season(self, values: FloatArray) -> FloatArray:
        cell = self._field * self._seasons + self._season
        sums = np.bincount(cell, values, minlength=self._fields * self._seasons)
        return sums.astype(np.float64).reshape(self._fields, self._seasons)

    @staticmethod
    def _with_mean(by_season: FloatArray) -> FloatArray:
        """Put the column of the survey's mean, the sum of the seasons', before them."""
        return np.column_stack([by_season.sum(axis=1), by_season])

    def deviance(self, spread: FloatArray) -> float:
        """Return -2 log of the restricted likelihood, up to a constant."""
        return self._equations(spread).deviance

    def predict(self, spread: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return prediction and variance by known visit, its own part included."""
        solved = self._equations(spread)
        field, season = self._known.field, self._known.season
        row = np.zeros((len(field), len(solved.beta)))
        row[:, 0] = 1.0
        row[np.arange(len(field)), 1 + season] = 1.0
        offset = row @ solved.beta + solved.fields[field]
        row -= (solved.cross / solved.diagonal[:, None])[field]
        variance = 1.0 / solved.diagonal[field]
        variance += np.einsum("vi,iv->v", row, np.linalg.solve(solved.matrix, row.T))
        return offset, variance + spread[2] ** 2


@dataclass(frozen=True)
class _Equations:
    """Fields (diagonal) and the rest (matrix, with fields eliminated), and their solution."""

    diagonal: FloatArray
    cross: FloatArray
    matrix: FloatArray
    beta: FloatArray
    fields: FloatArray
    deviance: float


def _number(codes: IntArray) -> int:
    return int(codes.max()) + 1 if len(codes) else 0
