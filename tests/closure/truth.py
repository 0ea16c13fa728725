"""Compare a run with the truth of its simulated survey, level by level, in one gauge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from scrframe.products.solution import read_law
from scrframe.tables import ReddeningLaw

KEYS = ("file", "ccd", "row")
#: Groups of fewer detections have no offset.
MIN_STARS = 20


@dataclass(frozen=True)
class Level:
    """Errors of one level's offsets.

    Attributes
    ----------
    error_mag : ndarray, shape (g,)
        Estimated less injected offset of each group.
    own_mag : ndarray, shape (g,)
        s_g / sqrt(n_g), with s_g the scatter of delta less the injected total.
    """

    error_mag: np.ndarray
    own_mag: np.ndarray


@dataclass(frozen=True)
class Comparison:
    """Columns of stars.parquet with those of the truth, joined by detection."""

    columns: dict[str, np.ndarray]
    law: ReddeningLaw

    def level(self, name: str, keys: tuple[str, ...], within: tuple[str, ...]) -> Level:
        """Compare one level; both sides have zero mean within the groups of `within`."""
        difference = self.columns[f"offset_{name}"] - self.columns[f"true_offset_{name}"]
        used = np.isfinite(difference)
        group = self._codes(keys)[used]
        parent = self._codes(within)[used] if within else np.zeros(used.sum(), dtype=int)
        difference = difference[used]
        difference = (
            difference
            - (np.bincount(parent, weights=difference) / np.maximum(np.bincount(parent), 1))[parent]
        )
        residual = (self.columns["delta"] - self.columns["true_offset_total"])[used]
        count = np.bincount(group)
        kept = count >= MIN_STARS
        with np.errstate(invalid="ignore", divide="ignore"):
            error = np.bincount(group, weights=difference) / count
            mean = np.bincount(group, weights=residual) / count
            squares = np.bincount(group, weights=(residual - mean[group]) ** 2)
            own = np.sqrt(squares / (count - 1) / count)
        return Level(error[kept], own[kept])

    def law_error(self) -> np.ndarray:
        """Return (R_fit - R_true) / R_true over the 5-95 per cent range of C0."""
        colour0, ratio = self.columns["true_colour0"], self.columns["R"]
        inside = (colour0 > np.percentile(colour0, 5)) & (colour0 < np.percentile(colour0, 95))
        fitted = self.law.ratio(colour0[inside], self.columns["true_extinction"][inside])
        return fitted / ratio[inside] - 1

    def _codes(self, keys: tuple[str, ...]) -> np.ndarray:
        code = np.zeros(len(self.columns["ccd"]), dtype=np.int64)
        for key in keys:
            _, place = np.unique(self.columns[key], return_inverse=True)
            code = code * (place.max() + 1) + place
        return np.unique(code, return_inverse=True)[1]


def rms(values: np.ndarray) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def compare(run: Path, tree: Path) -> Comparison:
    """Join a run with the truth of its data tree; every star of the run must be there."""
    stars, truth = pq.read_table(run / "stars.parquet"), pq.read_table(tree / "truth.parquet")
    truth = truth.rename_columns(
        [name if name in KEYS or name == "R" else f"true_{name}" for name in truth.column_names]
    )
    joined = _plain(stars).join(_plain(truth), keys=list(KEYS), join_type="inner")
    assert joined.num_rows == stars.num_rows
    columns = {name: joined.column(name).to_numpy() for name in joined.column_names}
    # A blend or a neighbour may have taken the place of a star in the match.
    assert np.mean(columns["source_id"] == columns["true_source_id"]) > 0.999
    columns["x_bin"] = np.clip((columns["x_pix"] - 0.5) // 256, 0, 7).astype(int)
    columns["y_bin"] = np.clip((columns["y_pix"] - 0.5) // 256, 0, 15).astype(int)
    return Comparison(columns, read_law(run / "solution"))


def _plain(table: pa.Table) -> pa.Table:
    """Return a table whose labels and numbers have the same types on both sides."""
    kinds = {"file": pa.string(), "visit": pa.string(), "ccd": pa.int64(), "row": pa.int64()}
    return pa.table(
        {
            name: table.column(name).cast(kinds[name]) if name in kinds else table.column(name)
            for name in table.column_names
            if name not in ("field", "true_field", "true_visit")
        }
    )
