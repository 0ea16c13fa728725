"""A forest of regression trees whose structure stands while its training colours move.

Within a leaf the colour is the weighted mean of the training rows in the tree's bag, so a
prediction is linear in the training colours. Once it is known in which leaf of each tree
a row falls, predictions for new training colours cost a sum per leaf and a lookup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from scrframe.arrays import Features, FloatArray
from scrframe.builtin.colour_models.training import check_colours, check_features
from scrframe.plugin import ColourPrediction, FittedColourModel

Unsigned = npt.NDArray[np.unsignedinteger[Any]]

#: Rows that are worked on together: 64 k rows of leaf numbers or 16 k rows of spectra.
GATHER_ROWS = 65_536
APPLY_ROWS = 16_384


@dataclass(frozen=True)
class Grid:
    """Evenly spaced steps onto which features are rounded down before trees see them.

    Equal values make the search for splits cheaper. The steps go on beyond the percentiles
    that set them, so that the rare stars in the tails stay apart.
    """

    #: Zero point and number of steps per unit of each feature. Shape (m,).
    origin: Features
    per_unit: Features

    @classmethod
    def of(cls, features: Features, steps: int) -> Grid:
        """Return the grid with this many steps between the 1st and 99th percentiles."""
        low, high = np.quantile(features, [0.01, 0.99], axis=0)
        width = high - low
        per_unit = np.divide(steps, width, out=np.zeros_like(width), where=width > 0)
        return cls(low.astype(np.float32), per_unit.astype(np.float32))

    def round(self, features: Features) -> Features:
        """Return the number of the step below each feature, same shape."""
        codes: Features = np.floor((features - self.origin) * self.per_unit)
        return codes


@dataclass(frozen=True)
class Tree:
    """One tree and the rows that it was grown on."""

    #: The scikit-learn tree; its own leaf values are not used.
    splits: Any
    #: Number of the leaf at each node, counted over leaves only.
    leaf_of_node: npt.NDArray[np.int64]
    #: The leaf of each training row. Shape (t,).
    leaves: Unsigned
    #: How often each training row was drawn. Shape (t,).
    bag: Unsigned

    def find(self, features: Features) -> npt.NDArray[np.int64]:
        """Return the leaf of each row of features that are on the grid already."""
        nodes: npt.NDArray[np.int64] = self.splits.apply(features, check_input=False)
        return self.leaf_of_node[nodes]

    def means(self, colour_mag: FloatArray, mass: FloatArray) -> FloatArray:
        """Return the mean colour of each leaf over the training rows of positive mass."""
        total = np.bincount(self.leaves, mass * colour_mag)
        return np.asarray(total / np.bincount(self.leaves, mass))


@dataclass(frozen=True)
class FittedForest(FittedColourModel):
    """A trained forest."""

    trees: tuple[Tree, ...]
    #: The training colours and their weights. Shape (t,).
    colour_mag: FloatArray
    weights: FloatArray
    #: Number of features.
    width: int
    #: How features are rounded, if they are.
    grid: Grid | None
    #: Threads for predictions, which do not depend on their number.
    threads: int
    #: Name of the model, for messages.
    name: str = "random forest"
    #: Whether `predict` gives errors.
    errors: bool = False

    def predict(self, features: Features) -> ColourPrediction:
        """Predict colours in mag of features of shape (n, m), with errors if asked for.

        The error is the standard deviation of the training colours in the star's leaves
        (Meinshausen 2006, JMLR 7, 983: the same weights, here for the second moment). It
        says how far an observed colour lies from the predicted one, noise included.

        Raises CalibrationError if the number of features differs from the training's or a value is
        not finite.
        """
        check_features(self.name, features, self.width)
        means = self.leaf_means(self.colour_mag)
        # About the mean, so that squares lose no digits.
        middle = float(self.colour_mag.mean()) if self.errors else 0.0
        squares = self.leaf_means((self.colour_mag - middle) ** 2) if self.errors else []
        out = np.empty(len(features))
        err = np.empty(len(features) if self.errors else 0)

        def fill(rows: slice) -> None:
            leaves = self._find(features[rows])
            out[rows] = mean_over_trees(means, leaves)
            if self.errors:
                spread = mean_over_trees(squares, leaves) - (out[rows] - middle) ** 2
                err[rows] = np.sqrt(np.maximum(spread, 0.0))

        for_blocks(fill, len(features), APPLY_ROWS, self.threads)
        return ColourPrediction(out, err if self.errors else None)

    def smoother(self, features: Features) -> ForestSmoother:
        """Return predictions of these rows as a function of the training colours.

        Takes one unsigned integer per row and tree, of two bytes where no tree has more
        than 65,536 leaves: 600 MB for 3 million rows and 100 trees.
        """
        check_features(self.name, features, self.width)
        kind = np.result_type(*(tree.leaves.dtype for tree in self.trees))
        leaves = np.empty((len(self.trees), len(features)), kind)

        def fill(rows: slice) -> None:
            leaves[:, rows] = self._find(features[rows])

        for_blocks(fill, len(features), APPLY_ROWS, self.threads)
        return ForestSmoother(self, leaves)

    def leaf_means(self, colour_mag: FloatArray) -> list[FloatArray]:
        """Return the mean colour of each leaf of each tree for training colours, (t,)."""
        return [tree.means(colour_mag, tree.bag * self.weights) for tree in self.trees]

    def _find(self, features: Features) -> Unsigned:
        """Return the leaf of each tree and row, shape (trees, n)."""
        codes = on_grid(features, self.grid)
        # Rows that are neighbours in one tree take similar paths in the others: in that
        # order the trees are walked twice as fast.
        order = np.argsort(self.trees[0].find(codes), kind="stable")
        codes = codes[order]
        kind = np.result_type(*(tree.leaves.dtype for tree in self.trees))
        leaves = np.empty((len(self.trees), len(features)), kind)
        for row, tree in zip(leaves, self.trees, strict=True):
            row[order] = tree.find(codes)
        return leaves


@dataclass(frozen=True)
class ForestSmoother:
    """A forest's predictions of fixed rows as a function of the training colours."""

    forest: FittedForest
    #: The leaf of each tree and row. Shape (trees, n).
    leaves: Unsigned

    def predict(self, colour_mag: FloatArray) -> FloatArray:
        """Return the predictions, shape (n,), for training colours of shape (t,).

        Raises CalibrationError if the colours are not one finite number for each training row.
        """
        means = self.forest.leaf_means(self._checked(colour_mag))
        out = np.empty(self.leaves.shape[1])

        def fill(rows: slice) -> None:
            out[rows] = mean_over_trees(means, self.leaves[:, rows])

        for_blocks(fill, len(out), GATHER_ROWS, self.forest.threads)
        return out

    def held_out(self, colour_mag: FloatArray) -> FloatArray:
        """Return out-of-bag predictions of the training rows, shape (t,).

        Each is the mean over the trees whose bag does not hold the row. A row that is in
        every bag (which 20 trees or more make rare) gets the mean over all trees of its
        leaf without its own share; its colour has then shaped the splits.

        Raises CalibrationError if the colours are not one finite number for each training row.
        """
        colour = self._checked(colour_mag)
        total, count = np.zeros(len(colour)), np.zeros(len(colour))
        for tree in self.forest.trees:
            mass = tree.bag * self.forest.weights
            total += np.where(mass == 0, tree.means(colour, mass)[tree.leaves], 0.0)
            count += mass == 0
        inside = np.flatnonzero(count == 0)
        if len(inside):
            total[inside], count[inside] = self._without_own(colour, inside), 1
        return total / count

    def _without_own(self, colour: FloatArray, rows: npt.NDArray[np.int64]) -> FloatArray:
        """Return the mean over trees of the rows' leaves less the rows themselves."""
        weights = self.forest.weights
        others = weights.sum() - weights[rows]
        # Where a row is alone in all its leaves, only the mean of the others is left.
        bare = ((weights @ colour) - (weights * colour)[rows]) / others
        total, count = np.zeros(len(rows)), np.zeros(len(rows))
        for tree in self.forest.trees:
            mass = tree.bag * weights
            leaf, drawn = tree.leaves[rows], (tree.bag > 0) & (weights > 0)
            rest = np.bincount(tree.leaves, mass)[leaf] - mass[rows]
            company = np.bincount(tree.leaves, drawn)[leaf] > 1
            value = np.bincount(tree.leaves, mass * colour)[leaf] - (mass * colour)[rows]
            total += np.divide(value, rest, out=np.zeros(len(rows)), where=company)
            count += company
        return np.where(count > 0, total / np.maximum(count, 1), bare)

    def _checked(self, colour_mag: FloatArray) -> FloatArray:
        return check_colours(self.forest.name, colour_mag, len(self.forest.colour_mag))


def on_grid(features: Features, grid: Grid | None) -> Features:
    """Return features as the trees want them: rounded, float32 and contiguous."""
    plain = np.ascontiguousarray(features, dtype=np.float32)
    return plain if grid is None else grid.round(plain)


def mean_over_trees(means: list[FloatArray], leaves: Unsigned) -> FloatArray:
    """Return the mean of the trees' leaf colours, summed in the order of the trees."""
    total = np.zeros(leaves.shape[1])
    for mean, leaf in zip(means, leaves, strict=True):
        total += mean[leaf]
    return total / len(means)


def for_blocks(work: Callable[[slice], None], rows: int, size: int, threads: int) -> None:
    """Run `work` on slices of rows, in threads; rows do not depend on each other."""
    size = min(size, max(1, -(-rows // threads)))
    blocks: Iterator[slice] = (slice(start, start + size) for start in range(0, rows, size))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, blocks))
