"""Figures of one run on a simulated survey, of the kind that the paper gives, and its errors.

Offsets are corrections, to be added. What the paper calls a star of its samples is a detection
here: each has one visit, one CCD and one pixel.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from scrframe.simulate.layout import season_phase
from scrframe.statistics.groups import group_counts, group_means, group_medians, group_spreads
from scrframe.statistics.robust import robust_sd

Array = npt.NDArray[Any]
#: Columns of a run that stand for no map over the pixels.
NO_MAP = ("visit", "ccd", "total", "total_err", "colour", "level")
#: What the paper averages over pixels in (Sec. 4.1.3), and the fewest detections of a mean.
BIN_PIX, LEAST = 256, 20
#: The range of stars in which residuals are judged (Sec. 4.2): magnitude, colour, extinction.
RANGES = {"mag_obs": (14.0, 17.0), "colour": (1.0, 2.0), "extinction": (0.0, 1.0)}
BINS_OF_RANGE = 12
#: Steps of histograms, and how far they reach, in mag.
STEPS = {"visit": (0.01, 0.3), "ccd": (0.004, 0.1), "pixel": (0.002, 0.05), "star": (0.01, 0.4)}
#: CCDs deviate by no more, and stars within a CCD, as a rule (Secs. 4.1.2, 4.1.3).
USUAL_CCD_MAG, USUAL_STAR_MAG = 0.02, 0.1
#: Colours C0 at which R is given, and those of Fig. 4.
CURVE_AT, SHOWN_AT = np.linspace(-0.2, 1.8, 21), (0.8, 2.8)


def measured(run: Path, tree: Path) -> dict[str, Any]:
    """Return all figures of a run on a simulated survey.

    Parameters
    ----------
    run : Path
        Folder of the run.
    tree : Path
        The survey that it has calibrated, with its truth.
    """
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    stars = Detections(run, tree)
    levels = dict(stars.levels())
    figures: dict[str, Any] = {
        **_samples(summary),
        **_model(summary),
        **_spread(summary),
        **_repeats(stars),
        **_errors(stars),
        "uZP_mag": summary["offsets"]["u_ZP_mag"],
        "uncorrected": int((~stars.corrected).sum()),
        "uncorrected_percent": 100 * float((~stars.corrected).mean()),
        "ccd_usual_percent": _within(levels["ccd"]["fit"], USUAL_CCD_MAG),
        "star_usual_percent": _within(stars.left()[stars.corrected], USUAL_STAR_MAG),
        "visit_scatter_mag": _scatter(stars),
        "u_err_median_mag": float(np.median(stars["mag_err"])),
        "u_err_90_mag": float(np.quantile(stars["mag_err"], 0.9)),
    }
    for name, level in levels.items():
        figures[f"{name}_mean_mag"] = float(level["fit"].mean())
        figures[f"{name}_sd_mag"] = float(level["fit"].std())
        figures[f"{name}_injected_mag"] = float(level["truth"].std())
    drawn = {name: _counted(level["fit"], *STEPS[name]) for name, level in levels.items()}
    drawn["before"] = _counted(stars["delta"] - np.median(stars["delta"]), *STEPS["star"])
    drawn["after"] = _counted(stars.left()[stars.corrected], *STEPS["star"])
    return {
        "figures": figures,
        "histograms": drawn,
        "law": _curve(summary),
        "seasons": _seasons(stars, levels["visit"]["fit"]),
        "residuals": {name: _binned(stars, name) for name in RANGES},
        "seconds": summary["seconds"],
        "peak_memory_mb": summary["peak_memory_mb"],
    }


class Detections:
    """The detections of a Calibration Sample, with the offsets that were put into them."""

    def __init__(self, run: Path, tree: Path) -> None:
        path = run / "stars.parquet"
        there = pq.read_schema(path).names
        self._maps = [
            name
            for name in there
            if name.startswith("offset_") and name.removeprefix("offset_") not in NO_MAP
        ]
        wanted = ["ccd", "source_id", "mjd", "x_pix", "y_pix", "mag_obs", "mag_err", "delta"]
        wanted += ["mag_cal", "mag_model", "offset_visit", "offset_ccd", "offset_total"]
        wanted += ["colour", "extinction", "visit", *self._maps]
        self._table = pq.read_table(path, columns=wanted, read_dictionary=["visit"])
        labels = self["visit"]
        self.visit = np.asarray(labels.indices if isinstance(labels, pa.DictionaryArray) else 0)
        self.truth = _joined(path, tree / "truth.parquet")
        self.corrected = np.isfinite(self["mag_cal"])

    def __getitem__(self, name: str) -> Any:
        column = self._table.column(name).combine_chunks()
        return column if name == "visit" else np.asarray(column)

    def left(self) -> Array:
        """Return model less calibrated magnitude, shape (n,)."""
        return np.asarray(self["mag_model"] - self["mag_cal"])

    def bins(self) -> Array:
        """Return the number of each detection's bin of pixels, over all CCDs, shape (n,)."""
        x, y = ((self[name] - 0.5).astype(np.int64) // BIN_PIX for name in ("x_pix", "y_pix"))
        # Two digits each: no detector has so many bins along an axis.
        return np.asarray((self["ccd"].astype(np.int64) * 100 + x) * 100 + y)

    def exposures(self) -> Array:
        """Return the number of each detection's CCD in its visit, shape (n,)."""
        return np.asarray(self.visit.astype(np.int64) * 1000 + self["ccd"])

    def levels(self) -> Iterator[tuple[str, dict[str, Array]]]:
        """Yield offsets of each level, estimated and injected, over its groups."""
        maps = np.sum([self[name] for name in self._maps], axis=0)
        parts = (
            ("visit", self.visit, self["offset_visit"]),
            ("ccd", self.exposures(), self["offset_ccd"]),
            ("pixel", self.bins(), maps),
        )
        for name, group, fit in parts:
            here = np.isfinite(fit)
            truth = self.truth[f"offset_{name}"][here]
            yield name, {"fit": _means(fit[here], group[here]), "truth": _means(truth, group[here])}


def _joined(stars: Path, truth: Path) -> dict[str, Array]:
    """Return the injected offsets of the detections of a run, each of shape (n,)."""
    keys = ["file", "ccd", "row"]
    offsets = ["offset_visit", "offset_ccd", "offset_pixel", "offset_total"]
    given = pq.read_table(truth, columns=[*keys, *offsets], read_dictionary=["file"])
    asked = pq.read_table(stars, columns=keys, read_dictionary=["file"])
    names: dict[str, int] = {}
    known, wanted = (_key(table, names) for table in (given, asked))
    order = np.argsort(known, kind="stable")
    place = order[np.minimum(np.searchsorted(known, wanted, sorter=order), len(order) - 1)]
    if not np.array_equal(known[place], wanted):
        raise SystemExit(f"{truth}: does not hold every detection of {stars}")
    return {name: np.asarray(given.column(name))[place] for name in offsets}


def _key(table: pa.Table, names: dict[str, int]) -> Array:
    """Return a number for each detection, from file, CCD and row."""
    files = table.column("file").combine_chunks()
    files = files if isinstance(files, pa.DictionaryArray) else files.dictionary_encode()
    codes = np.array([names.setdefault(name, len(names)) for name in files.dictionary.to_pylist()])
    file = codes[np.asarray(files.indices)]
    ccd, row = (np.asarray(table.column(name)).astype(np.int64) for name in ("ccd", "row"))
    return np.asarray((file * 1000 + ccd) * 10**8 + row)


def _samples(summary: dict[str, Any]) -> dict[str, Any]:
    counts = summary["counts"]
    figures = {name: counts[name] for name in ("catalogues", "visits")}
    figures["rows"] = counts["calibration_cuts"][0]["detections"]
    for name in ("calibration", "control"):
        for what in ("detections", "stars"):
            figures[f"{name}_{what}"] = counts[name][what]
    return figures


def _model(summary: dict[str, Any]) -> dict[str, Any]:
    test, law = summary["colour_model"]["test"], summary["reddening_law"]
    rounds = [one["law_round"] for one in summary["colour_model"]["rounds"]]
    figures = {
        "r2": test["r2"],
        "dispersion_mag": test["dispersion_mag"],
        "test_stars_percent": 100
        * test["count"]
        / (test["count"] + summary["colour_model"]["training_stars"]),
        "law_rounds": max(rounds),
        "dM_mag": law["dM_mag"],
    }
    # Coefficients compare only where the law has as many as the paper's.
    if len(law["powers"]) == 3 and not any(power[1] for power in law["powers"]):
        figures |= {name: law[name] for name in ("a0", "a1", "a2")}
    return figures


def _curve(summary: dict[str, Any]) -> dict[str, list[float]]:
    """Return R at colours C0, for the median extinction."""
    law = summary["reddening_law"]
    names = [name for name in law if name[0] in "ab" and name[1:].isdigit()]
    at = law["extinction_mag"]

    def ratio(colour0: Array) -> list[float]:
        terms = zip(names, law["powers"], strict=True)
        parts = [law[name] * colour0**power * at**other for name, (power, other) in terms]
        return np.asarray(np.sum(parts, axis=0)).tolist()

    return {
        "colour0_mag": CURVE_AT.tolist(),
        "R": ratio(CURVE_AT),
        "shown": ratio(np.array(SHOWN_AT)),
    }


def _spread(summary: dict[str, Any]) -> dict[str, float]:
    spread = summary["diagnostics"]["spread"]
    figures = {
        f"{when}_{what}": spread[when][f"gaussian_{what}"]
        for when in ("before", "after")
        for what in ("mean_mag", "sigma_mag")
    }
    gained = figures["before_sigma_mag"] ** 2 - figures["after_sigma_mag"] ** 2
    return {**figures, "gained_mag": float(np.sqrt(max(gained, 0.0)))}


def _repeats(stars: Detections) -> dict[str, float]:
    """Return how two magnitudes of a star differ, by one of them (over the square root of 2)."""
    order = np.argsort(stars["source_id"], kind="stable")
    star, cal, obs = (stars[name][order] for name in ("source_id", "mag_cal", "mag_obs"))
    pair = np.flatnonzero((np.diff(star) == 0) & np.isfinite(np.diff(cal)))
    spread = {
        name: float(robust_sd(np.diff(mag)[pair]) / np.sqrt(2)) if len(pair) else float("nan")
        for name, mag in (("repeats_before_mag", obs), ("repeats_after_mag", cal))
    }
    return {**spread, "repeats": len(pair)}


def _errors(stars: Detections) -> dict[str, float]:
    """Return rms errors against the injected offsets, whose constant is free, by level."""
    here = stars.corrected
    error = (stars["offset_total"] - stars.truth["offset_total"])[here]
    error -= error.mean()
    found = {"error_total_mag": float(np.sqrt((error**2).mean()))}
    groups = (("visit", stars.visit), ("ccd", stars.exposures()), ("pixel", stars.bins()))
    for name, group in groups:
        number = np.unique(group[here], return_inverse=True)[1]
        means = group_means(error, number, int(number.max()) + 1)
        enough = np.bincount(number) >= LEAST
        told = np.sqrt((means[enough] ** 2).mean()) if enough.any() else np.nan
        found[f"error_{name}_mag"] = float(told)
        error = error - means[number]
    return found


def _scatter(stars: Detections) -> float:
    """Return the median over visits of how their stars scatter before correction, in mag."""
    number = np.unique(stars.visit, return_inverse=True)[1]
    groups = int(number.max()) + 1
    middle = group_medians(stars["delta"], number, groups)
    return float(np.median(group_spreads(stars["delta"], number, middle)))


def _means(values: Array, group: Array) -> Array:
    """Return the mean of each group that has enough, shape (g,)."""
    number = np.unique(group, return_inverse=True)[1]
    groups = int(number.max()) + 1
    enough = group_counts(values, number, groups) >= LEAST
    return np.asarray(group_means(values, number, groups)[enough if enough.any() else ...])


def _within(values: Array, limit: float) -> float:
    return 100 * float((np.abs(values) < limit).mean())


def _counted(values: Array, step: float, reach: float) -> dict[str, Any]:
    """Return a histogram; what lies beyond is counted in no bin, but in `count`."""
    edges = np.linspace(-reach, reach, 2 * round(reach / step) + 1)
    counts = np.histogram(values, edges)[0]
    return {"step": step, "reach": reach, "count": len(values), "counts": counts.tolist()}


def _seasons(stars: Detections, offsets: Array) -> dict[str, list[float]]:
    """Return mean and scatter of visits' offsets by month of the season, from October on."""
    number = np.unique(stars.visit, return_inverse=True)[1]
    mjd = group_means(stars["mjd"], number, int(number.max()) + 1)
    if len(mjd) != len(offsets):
        return {}
    month = np.floor(12 * season_phase(mjd)[1]).astype(int)
    rows = [(n, offsets[month == n]) for n in range(12) if (month == n).sum() > 1]
    return {
        "month": [n for n, _ in rows],
        "mean_mag": [float(part.mean()) for _, part in rows],
        "sd_mag": [float(part.std()) for _, part in rows],
    }


def _binned(stars: Detections, name: str) -> dict[str, Any]:
    """Return the median of what is left in bins of a quantity, the others in their ranges."""
    here = stars.corrected.copy()
    for each, (low, high) in RANGES.items():
        here &= (stars[each] > low) & (stars[each] < high)
    low, high = RANGES[name]
    values, left = stars[name][here], stars.left()[here]
    step = (high - low) / BINS_OF_RANGE
    place = np.clip((values - low) // step, 0, BINS_OF_RANGE - 1).astype(np.int64)
    enough = np.bincount(place, minlength=BINS_OF_RANGE) >= LEAST
    medians = group_medians(left - np.median(left), place, BINS_OF_RANGE)
    middle = low + step * (np.arange(BINS_OF_RANGE) + 0.5)
    return {"at": middle[enough].tolist(), "median_mag": medians[enough].tolist()}
