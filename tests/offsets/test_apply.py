"""Applying a solution, against sums that are written out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from scrframe.offsets.apply import apply_solution, map_error
from scrframe.tables import (
    CORRECTION_LEVELS,
    FLAG_BITS,
    Detections,
    ExposureTable,
    FittedLevel,
    LevelDesign,
    OffsetTable,
    PhotometricError,
    ReddeningLaw,
    Solution,
    SolvedLevel,
)

NAN = np.nan
LAW = ReddeningLaw(np.array([1.4]), np.eye(1), 0.0, ((0, 0),))
ZERO_POINT = 0.5
NOISE = PhotometricError(scale=1.5, floor_mag=0.004)


class Level(FittedLevel):
    """A level with given weights by x: the column `x` of each detection, -1 for none."""

    def __init__(self, name: str, width: int, key: str = "x") -> None:
        self.name, self._width, self._key = name, width, key

    def labels(self) -> pa.Table:
        return pa.table({"column": np.arange(self._width)})

    def design(self, detections: Detections) -> LevelDesign:
        column = np.asarray(detections[self._key]).astype(np.int64)
        return LevelDesign.of_partition(column, self._width)

    def state(self) -> Mapping[str, Any]:
        return {}


def offsets(value: list[float], err: list[float], count: list[int]) -> OffsetTable:
    return OffsetTable(
        np.array(value), np.array(err), np.full(len(value), 0.1), np.array(count, dtype=np.int64)
    )


#: One row an exposure: visit, ccd, offset, error, systematic, level, detections.
EXPOSURES = [
    ("a", 1, 0.10, 0.003, 0.001, "ccd", 30),
    ("a", 2, 0.20, 0.004, 0.002, "ccd", 10),
    ("a", 5, 0.16, 0.020, 0.003, "visit", 0),
    ("b", 1, -0.10, 0.050, 0.003, "field", 0),
    ("b", 2, -0.06, 0.051, 0.003, "field", 0),
    ("c", 1, 0.01, 0.060, 0.003, "season", 0),
    ("d", 1, 0.02, 0.070, 0.003, "survey", 0),
]
#: Of a map of three columns, the last of which no star has seen.
MAP = offsets([0.010, -0.020, 0.0], [0.002, 0.005, 0.012], [50, 20, 0])
#: Visit, ccd, column of the map, magnitude, catalogued error.
SEEN = [
    ("a", 1, 0, 15.0, 0.010),
    ("a", 2, 1, 16.0, 0.020),
    ("a", 1, 2, 15.0, 0.010),  # the map says nothing here
    ("a", 1, -1, 15.0, 0.010),  # nor does it know this place
    ("a", 5, 0, 15.0, 0.010),
    ("b", 2, 0, 15.0, 0.010),
    ("c", 1, 1, 15.0, 0.010),
    ("d", 1, 0, 15.0, 0.010),
    ("new", 1, 0, 15.0, 0.010),
    ("a", 7, 0, 15.0, 0.010),  # no visit of the run has this CCD
    ("a", 1, 0, NAN, NAN),
]
EXPECTED = {
    "visit": [0.125, 0.125, 0.125, 0.125, 0.125, -0.08, 0.01, 0.02, NAN, NAN, 0.125],
    "ccd": [-0.025, 0.075, -0.025, -0.025, 0.035, 0.02, 0.0, 0.0, NAN, NAN, -0.025],
    "pixel": [0.01, -0.02, 0.0, 0.0, 0.01, 0.01, -0.02, 0.01, NAN, NAN, 0.01],
}
EXPOSURE_ERR = [0.003, 0.004, 0.003, 0.003, 0.020, 0.051, 0.060, 0.070, NAN, NAN, 0.003]
MAP_ERR = [0.002, 0.005, 0.012, 0.0, 0.002, 0.002, 0.005, 0.002, NAN, NAN, 0.002]
SYS = [0.001, 0.002, 0.001, 0.001, 0.003, 0.003, 0.003, 0.003, NAN, NAN, 0.001]
LEVEL = [
    "pixel",
    "pixel",
    "ccd",
    "ccd",
    "visit",
    "field",
    "season",
    "survey",
    "none",
    "none",
    "pixel",
]


def detections(rows: list[tuple[str, int, float, float, float]]) -> Detections:
    visit, ccd, x, mag, mag_err = (list(column) for column in zip(*rows, strict=True))
    zeros, numbers = np.zeros(len(rows)), np.arange(len(rows))
    return Detections.from_columns(
        {
            "visit": visit,
            "band": ["u"] * len(rows),
            "ccd": ccd,
            "file": ["f"] * len(rows),
            "extension": np.ones(len(rows), int),
            "row": numbers,
            "ra": zeros,
            "dec": zeros,
            "mjd": zeros,
            "x": np.array(x, float),
            "y": zeros,
            "mag": mag,
            "mag_err": mag_err,
        }
    )


def joint_solution(order: np.ndarray[Any, Any] | None = None) -> Solution:
    rows = [EXPOSURES[i] for i in (range(len(EXPOSURES)) if order is None else order)]
    visit, ccd, value, err, sys, level, count = zip(*rows, strict=True)
    exposures = ExposureTable(
        np.array(visit),
        np.array(ccd, dtype=np.int64),
        np.array(value),
        np.array(err),
        np.array(sys),
        np.array(level),
        np.array(count, dtype=np.int64),
    )
    # Levels that the table of exposures has summed already, and nuisance, are no part of it.
    summed = SolvedLevel(Level("visit", 1, "y"), "group", offsets([9.0], [9.0], [9]), False)
    levels = (summed, SolvedLevel(Level("pixel", 3), "bin", MAP))
    return Solution(levels, ZERO_POINT, LAW, ("a", "b", "c", "d"), {}, exposures, NOISE)


class TestJoint:
    found = apply_solution(joint_solution(), detections(SEEN))

    @pytest.mark.parametrize("level", list(EXPECTED))
    def test_levels(self, level):
        assert list(self.found.by_level) == list(EXPECTED)
        np.testing.assert_allclose(self.found.by_level[level], EXPECTED[level], atol=1e-15)

    def test_total(self):
        total = np.sum(list(EXPECTED.values()), axis=0) + ZERO_POINT
        np.testing.assert_allclose(self.found.total_mag, total, atol=1e-15)

    def test_errors_add_in_quadrature(self):
        err = np.hypot(EXPOSURE_ERR, MAP_ERR)
        catalogued = np.array([row[-1] for row in SEEN])
        assert list(self.found.errors) == ["offset_total_err", "mag_cal_err", "mag_cal_sys"]
        np.testing.assert_allclose(self.found.errors["offset_total_err"], err, atol=1e-16)
        np.testing.assert_allclose(
            self.found.errors["mag_cal_err"],
            np.sqrt(err**2 + (1.5 * catalogued) ** 2 + 0.004**2),
            atol=1e-15,
        )
        np.testing.assert_array_equal(self.found.errors["mag_cal_sys"], SYS)

    def test_level_that_it_came_from(self):
        assert self.found.level is not None
        assert [CORRECTION_LEVELS[code] for code in self.found.level] == LEVEL

    def test_flags(self):
        """No correction is missing, or coarse, without a flag that says so."""
        fallback, unknown, no_magnitude, no_ccd = (
            FLAG_BITS[name]
            for name in ("fallback", "unknown_visit", "no_magnitude", "few_stars_ccd")
        )
        expected = [0, 0, 0, 0, *[fallback] * 4, unknown | no_ccd, no_ccd, no_magnitude]
        assert self.found.flags.tolist() == expected

    def test_visit_is_the_mean_over_its_detections(self):
        """Of a visit without any, over its exposures."""
        assert self.found.by_level["visit"][0] == pytest.approx((30 * 0.1 + 10 * 0.2) / 40)
        assert self.found.by_level["visit"][5] == pytest.approx((-0.10 - 0.06) / 2)

    def test_order_of_rows_does_not_matter(self):
        rng = np.random.default_rng(1)
        order = rng.permutation(len(SEEN))
        again = apply_solution(
            joint_solution(rng.permutation(len(EXPOSURES))), detections([SEEN[i] for i in order])
        )
        for name, values in again.columns().items():
            np.testing.assert_allclose(values, self.found.columns()[name][order], atol=1e-16)

    def test_columns_of_products(self):
        assert list(self.found.columns()) == [
            "offset_visit",
            "offset_ccd",
            "offset_pixel",
            "offset_total",
            "offset_total_err",
            "mag_cal_err",
            "mag_cal_sys",
            "offset_level",
        ]

    def test_no_detections(self):
        empty = apply_solution(joint_solution(), detections(SEEN).filter(np.zeros(11, bool)))
        assert all(len(values) == 0 for values in empty.columns().values())

    def test_without_an_estimate_the_catalogued_error_stands(self):
        solution = joint_solution()
        plain = Solution(
            solution.levels, ZERO_POINT, LAW, solution.visits, {}, solution.exposures, None
        )
        found = apply_solution(plain, detections(SEEN[:1])).errors
        np.testing.assert_allclose(
            found["mag_cal_err"], [np.sqrt(0.003**2 + 0.002**2 + 0.01**2)], rtol=1e-14
        )


class TestMapError:
    err = offsets([0.0] * 4, [0.002, 0.004, 0.006, 0.008], [1] * 4)

    def test_nodes_err_together(self):
        """Weights of a bilinear map sum to one: the error lies between those of its nodes."""
        weights = sparse.csr_array(np.array([[0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 1.0, 0.0]]))
        found = map_error(LevelDesign(weights), self.err)
        np.testing.assert_allclose(found, [0.006, 0.006], rtol=1e-14)

    def test_polynomials_add_in_quadrature(self):
        weights = sparse.csr_array(np.array([[1.0, -2.0, 0.5, 0.0]]))
        found = map_error(LevelDesign(weights), self.err)
        expected = np.sqrt(0.002**2 + (2 * 0.004) ** 2 + (0.5 * 0.006) ** 2)
        np.testing.assert_allclose(found, [expected], rtol=1e-14)

    def test_bound_from_above(self):
        """Whatever the nodes' correlation, no map errs more than by this."""
        rng = np.random.default_rng(2)
        weights = rng.dirichlet(np.ones(4), 50)
        for _ in range(20):
            root = rng.normal(size=(4, 4))
            covariance = root @ root.T
            sd = np.sqrt(np.diag(covariance))
            true = np.sqrt(np.einsum("ni,ij,nj->n", weights, covariance, weights))
            table = offsets([0.0] * 4, sd.tolist(), [1] * 4)
            found = map_error(LevelDesign(sparse.csr_array(weights)), table)
            assert np.all(true <= found * (1 + 1e-12))


#: Of a level of three columns, one with too few stars.
HOLED = offsets([0.01, NAN, 0.02], [0.1] * 3, [1] * 3)


class TestSequential:
    """The sum of all levels and u_ZP; nothing of the joint mode."""

    solution = Solution(
        (
            SolvedLevel(Level("visit", 2), "group", offsets([0.1, -0.1], [0.01] * 2, [9, 9])),
            SolvedLevel(Level("odd", 3, "y"), "bin", HOLED),
        ),
        ZERO_POINT,
        LAW,
        ("a",),
        {},
    )

    def apply(self):
        rows = [
            ("a", 1, 0, 15.0, 0.01),
            ("a", 1, 1, 15.0, 0.01),
            ("a", 1, -1, 15.0, 0.01),
            ("b", 1, 0, 15.0, 0.01),
            ("a", 1, 0, NAN, 0.01),
        ]
        seen = detections(rows).with_columns({"y": np.array([0.0, 1, 2, 2, 0])})
        return apply_solution(self.solution, seen)

    def test_sum_and_flags(self):
        found = self.apply()
        np.testing.assert_allclose(
            found.total_mag, [0.5 + 0.1 + 0.01, NAN, NAN, 0.5 + 0.1 + 0.02, 0.61], atol=1e-15
        )
        np.testing.assert_array_equal(found.by_level["visit"], [0.1, -0.1, NAN, 0.1, 0.1])
        np.testing.assert_array_equal(found.by_level["odd"], [0.01, NAN, 0.02, 0.02, 0.01])
        assert found.flags.tolist() == [
            0,
            FLAG_BITS["few_stars_other"],
            FLAG_BITS["few_stars_visit"],
            FLAG_BITS["unknown_visit"],
            FLAG_BITS["no_magnitude"],
        ]

    def test_has_neither_errors_nor_levels(self):
        found = self.apply()
        assert found.errors == {} and found.level is None
        assert list(found.columns()) == ["offset_visit", "offset_odd", "offset_total"]
