"""Whether reference data lie where the catalogues look: how many visits lack stars, spectra, E.

Catalogues are known by their first detections, as a check reads them. Small inputs are looked
into; of large ones only what the names of files and their statistics say about identifiers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from scrframe.arrays import BoolArray, FloatArray, IntArray
from scrframe.errors import DataError
from scrframe.io import matching_files
from scrframe.plugin import Part, SourceRanges
from scrframe.run.plugins import Inputs, SelectedPlugins
from scrframe.statistics.sky import chord, unit_vectors
from scrframe.tables import Detections, Footprint, ReferenceStars

#: Detections of a visit that stand for it, and the distance at which a star is near them.
PLACES, NEAR_DEG = 12, 0.1
#: Stars near a visit whose spectra and extinctions are looked for.
STARS = 25
#: Inputs of more bytes are known by names and statistics only.
LARGE_BYTES = 100_000_000
#: Level of the pixels in which the detections of a visit are placed then.
_LEVEL = 9


@dataclass(frozen=True)
class SkyCoverage:
    """What of the catalogues' sky the reference data cover.

    Attributes
    ----------
    visits : int
        Visits that were looked at.
    without : mapping of str to int
        Visits without any of a product: "sources", "spectra", "extinctions".
    absent : tuple of str
        Products of which there is no file.
    """

    visits: int
    without: Mapping[str, int] = field(default_factory=dict)
    absent: tuple[str, ...] = ()

    @property
    def lacks(self) -> bool:
        """Whether anything is missing."""
        return bool(self.absent) or any(self.without.values())


def patterns(plugins: SelectedPlugins) -> dict[str, str]:
    """Return the products that archives have, of those that the survey reads, and their files."""
    survey = plugins.survey
    found: dict[str, str] = {}
    if plugins.reference.fetched is not None:
        found.update(plugins.reference.fetched(survey.reference.settings))
    if plugins.extinctions.fetched is not None:
        found.update(plugins.extinctions.fetched(survey.extinction.values.settings))
    return found


def absent_products(plugins: SelectedPlugins, root: Path) -> tuple[str, ...]:
    """Return the products of which a data root has no file."""
    return tuple(
        product
        for product, pattern in patterns(plugins).items()
        if not matching_files(pattern, root)
    )


def why_absent(plugins: SelectedPlugins, root: Path, absent: Sequence[str]) -> list[str]:
    """Return what the reader of each absent product says of it."""
    survey = plugins.survey
    reference, extinction = survey.reference.settings, survey.extinction.values.settings
    finders = {
        "sources": (plugins.reference.source_parts, reference),
        "spectra": (plugins.reference.feature_parts, reference),
        "extinctions": (plugins.extinctions.parts, extinction),
    }
    said = []
    for product in absent:
        find, settings = finders[product]
        try:
            find(settings, root)
        except DataError as error:
            said.append(str(error))
    return said


@dataclass(frozen=True)
class _Places:
    """Some detections of all visits."""

    visit: IntArray
    count: int
    ra: FloatArray
    dec: FloatArray

    @property
    def vectors(self) -> FloatArray:
        return unit_vectors(self.ra, self.dec)

    def seen(self, near: BoolArray) -> BoolArray:
        """Return which visits have a place of which `near` is true."""
        return np.bincount(self.visit[near], minlength=self.count) > 0


def _places(heads: Sequence[Detections]) -> _Places:
    names: dict[str, int] = {}
    visit, ra, dec = [], [], []
    for head in heads:
        placed = head.filter(np.isfinite(head["ra"]) & np.isfinite(head["dec"]))
        codes, labels = placed.codes("visit")
        for code in np.unique(codes):
            rows = np.flatnonzero(codes == code)
            rows = rows[np.unique(np.linspace(0, len(rows) - 1, PLACES).astype(int))]
            number = names.setdefault(labels[code], len(names))
            visit.append(np.full(len(rows), number))
            ra.append(placed["ra"][rows])
            dec.append(placed["dec"][rows])
    none: FloatArray = np.empty(0)
    return _Places(
        np.concatenate([np.empty(0, np.int64), *visit]),
        len(names),
        np.concatenate([none, *ra]),
        np.concatenate([none, *dec]),
    )


def coverage(
    plugins: SelectedPlugins, inputs: Inputs, heads: Sequence[Detections]
) -> SkyCoverage | None:
    """Return how many visits lack reference data; None where that cannot be told.

    Parameters
    ----------
    heads : sequence of Detections
        The first detections of the catalogues.

    Raises
    ------
    DataError
        If a file of reference data is damaged.
    """
    there, places = patterns(plugins), _places(heads)
    if "sources" not in there or not places.count:
        return None
    if _bytes(inputs.sources) > LARGE_BYTES:
        return _by_identifiers(inputs, places)
    survey = plugins.survey
    settings, corrections = survey.reference.settings, plugins.corrections(inputs.root)
    footprint = Footprint(places.ra, places.dec, NEAR_DEG)
    read = [
        plugins.reference.read_sources(part, settings, footprint, ()) for part in inputs.sources
    ]
    stars = ReferenceStars.concat(read)
    pairs = _near(places, stars)
    without = {"sources": places.count - len(np.unique(pairs[:, 0]))}
    chosen = stars.take(np.unique(pairs[:, 1]))
    chosen = chosen.take(np.argsort(chosen["source_id"], kind="stable"))
    if "spectra" in there and _bytes(inputs.features) <= LARGE_BYTES:
        ids = [
            plugins.reference.read_features(part, settings, chosen, corrections).source_id
            for part in inputs.features
        ]
        without["spectra"] = _lacking(places, pairs, stars, ids)
    if "extinctions" in there and _bytes(inputs.extinctions) <= LARGE_BYTES:
        values = survey.extinction.values.settings
        wanted = np.unique(chosen["source_id"])
        ids = [
            plugins.extinctions.read(part, values, wanted)["source_id"]
            for part in inputs.extinctions
        ]
        without["extinctions"] = _lacking(places, pairs, stars, ids)
    return SkyCoverage(places.count, without)


def _near(places: _Places, stars: ReferenceStars) -> IntArray:
    """Return pairs of visit and star, shape (n, 2): of each visit the stars nearest to it."""
    if not len(stars):
        return np.empty((0, 2), np.int64)
    tree = cKDTree(unit_vectors(stars["ref_ra"], stars["ref_dec"]))
    each = max(STARS // PLACES, 1)
    distance, row = tree.query(
        places.vectors, k=min(each, len(stars)), distance_upper_bound=chord(NEAR_DEG)
    )
    row = np.asarray(row).reshape(len(places.ra), -1)
    near = np.isfinite(np.asarray(distance).reshape(row.shape))
    visit = np.broadcast_to(places.visit[:, None], row.shape)
    return np.unique(np.stack([visit[near], row[near]], axis=1), axis=0)


def _lacking(
    places: _Places, pairs: IntArray, stars: ReferenceStars, ids: Sequence[IntArray]
) -> int:
    """Return how many visits have no star among those with these identifiers."""
    known = np.concatenate([np.empty(0, np.int64), *ids])
    has = np.isin(stars["source_id"][pairs[:, 1]], known)
    return places.count - len(np.unique(pairs[has, 0]))


def _bytes(parts: Sequence[Part]) -> int:
    return sum(path.stat().st_size for path in {part.path for part in parts})


def _by_identifiers(inputs: Inputs, places: _Places) -> SkyCoverage | None:
    """Return the coverage by ranges of identifiers, which files of large inputs state."""
    from astropy import units  # noqa: PLC0415 - slow to import
    from mocpy import MOC  # noqa: PLC0415 - slow to import

    bounds = {
        "sources": [part.detail.get("bounds") for part in inputs.sources],
        "spectra": [part.detail.get("bounds") for part in inputs.features],
    }
    known = {name: ends for name, ends in bounds.items() if ends and None not in ends}
    if not known:
        return None
    without = dict.fromkeys(known, 0)
    for number in range(places.count):
        here = places.visit == number
        moc = MOC.from_lonlat(
            places.ra[here] * units.deg, places.dec[here] * units.deg, max_norder=_LEVEL
        )
        ends = np.asarray(moc.to_depth29_ranges).astype(np.int64)
        ranges = SourceRanges(ends[:, 0] << 1, (ends[:, 1] << 1) - 1)
        for name, each in known.items():
            without[name] += not any(ranges.touches(*end) for end in each if end is not None)
    return SkyCoverage(places.count, without)
