"""The offsets that are put into the magnitudes: by visit, by CCD and visit, and by pixel."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from scrframe.arrays import FloatArray, IntArray
from scrframe.config.simulation import SimulationSettings
from scrframe.simulate.layout import Layout, season_phase
from scrframe.simulate.rows import slices
from scrframe.simulate.sky import trait_generator
from scrframe.simulate.systematics import Systematics, draw_systematics
from scrframe.tables import Camera

#: Share of the variance of the visits, less the season, that two visits of a night share.
NIGHT_SHARE = 0.75
#: Highest order of the cosines of the pattern within a CCD, and the share of its variance
#: that depends on the distance from the centre of the camera.
PIXEL_ORDER, RADIAL_SHARE = 4, 0.4


@dataclass(frozen=True)
class InjectedOffsets:
    """Corrections to be added to observed magnitudes, in mag."""

    #: Shape (v,).
    visit: FloatArray
    #: Of each visit and detector, in the camera's order. Shape (v, c).
    ccd: FloatArray
    pattern: PixelPattern
    #: What varies with the place in a visit, with colour and with magnitude.
    systematics: Systematics = field(default_factory=Systematics)
    #: What each season adds to the pattern, if anything.
    by_season: SeasonPatterns | None = None


@dataclass(frozen=True)
class PixelPattern:
    """A smooth pattern within each CCD, the same at all times, of zero mean on each CCD."""

    camera: Camera
    #: Amplitude of cos(i pi x) cos(j pi y) with x and y from 0 to 1 across the CCD. Shape (c, q,
    #: q).
    cosine: FloatArray
    #: Amplitude of the radial part.
    radial: float

    def __call__(self, place: IntArray, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the pattern in mag at pixels of the detectors at `place` in the camera."""
        values = np.empty(len(place))
        for rows in slices(len(place)):
            values[rows] = self._at(place[rows], x[rows], y[rows])
        return values

    def _at(self, place: IntArray, x: FloatArray, y: FloatArray) -> FloatArray:
        order = np.arange(self.cosine.shape[1]) * np.pi
        along_x = np.cos(((x - 0.5) / self.camera.nx)[:, None] * order)
        along_y = np.cos(((y - 0.5) / self.camera.ny)[:, None] * order)
        smooth = np.einsum("nij,ni,nj->n", self.cosine[place], along_x, along_y)
        ring = self._ring(place, x, y) - self._ring_means[place]
        return np.asarray(smooth + self.radial * ring)

    @cached_property
    def _ring_means(self) -> FloatArray:
        return np.array([self._ring(*pixels).mean() for pixels in _grids(self.camera)])

    def _ring(self, place: IntArray, x: FloatArray, y: FloatArray) -> FloatArray:
        xi, eta = self.camera.to_plane(place, x, y)
        return np.asarray(np.cos(2 * np.pi * np.hypot(xi, eta) / 0.75))


@dataclass(frozen=True)
class SeasonPatterns:
    """Smooth patterns within each CCD, each of one season."""

    #: Number of the pattern of each visit. Shape (v,).
    of_visit: IntArray
    patterns: tuple[PixelPattern, ...]

    def __call__(self, visit: int, place: IntArray, x: FloatArray, y: FloatArray) -> FloatArray:
        """Return the pattern in mag, shape (n,), at pixels in one visit."""
        return self.patterns[int(self.of_visit[visit])](place, x, y)


def draw_offsets(
    settings: SimulationSettings,
    layout: Layout,
    camera: Camera,
    rng: np.random.Generator,
    branch: int = 1,
) -> InjectedOffsets:
    """Draw offsets of the sizes that the settings ask for; systematics have a seed of their own."""
    shares = settings.ccd_static, settings.ccd_drift, settings.ccd_jitter
    return InjectedOffsets(
        settings.visit_sd * _visits(layout, settings.visit_seasonal, rng),
        settings.ccd_sd * _ccds(layout, len(camera.ccd), shares, rng),
        _pattern(settings.pixel_sd, camera, rng),
        draw_systematics(settings, layout, camera, branch),
        _season_patterns(settings, layout, camera, branch),
    )


def _visits(layout: Layout, seasonal: float, rng: np.random.Generator) -> FloatArray:
    """Return seasonal offsets of zero mean and unit scatter.

    From October on, their mean drifts away from zero and their scatter grows (Sec. 4.1.1 of
    the paper). Two visits of a night share most of it.
    """
    season, phase = season_phase(layout.mjd)
    common = np.repeat(rng.standard_normal(len(layout.name)), 2)
    own = rng.standard_normal(len(layout.mjd))
    scatter = np.sqrt(NIGHT_SHARE) * common + np.sqrt(1 - NIGHT_SHARE) * own
    by_season = 0.2 * np.sin(2.4 * season)
    trend = _standard(by_season - phase)
    rest = _standard((0.4 + 0.9 * phase) * scatter)
    return _standard(np.sqrt(seasonal) * trend + np.sqrt(1 - seasonal) * rest)


def _ccds(
    layout: Layout, number: int, shares: tuple[float, float, float], rng: np.random.Generator
) -> FloatArray:
    """Return offsets by visit and CCD, of zero mean in each visit and unit scatter."""
    years = (layout.mjd - layout.mjd.mean()) / 365.25
    static = np.broadcast_to(rng.standard_normal(number), (len(years), number))
    period = rng.uniform(4.0, 9.0, number)
    phase = rng.uniform(0, 2 * np.pi, number)
    drift = np.sin(2 * np.pi * years[:, None] / period + phase)
    jitter = rng.standard_normal((len(years), number))
    parts = (
        np.sqrt(share) * _standard(part - part.mean(axis=1, keepdims=True))
        for share, part in zip(shares, (static, drift, jitter), strict=True)
    )
    total = np.sum(list(parts), axis=0)
    return _standard(total - total.mean(axis=1, keepdims=True))


def _pattern(rms: float, camera: Camera, rng: np.random.Generator) -> PixelPattern:
    order = np.arange(PIXEL_ORDER + 1)
    allowed = (order[:, None] + order <= PIXEL_ORDER) & (order[:, None] + order > 0)
    size = np.where(allowed, 1 / (1.0 + order[:, None] + order), 0.0)
    cosine = rng.standard_normal((len(camera.ccd), len(order), len(order))) * size
    none = np.zeros_like(cosine)
    smooth = _rms(PixelPattern(camera, cosine, 0.0))
    ring = _rms(PixelPattern(camera, none, 1.0))
    cosine *= np.sqrt(1 - RADIAL_SHARE) / smooth
    whole = PixelPattern(camera, cosine, np.sqrt(RADIAL_SHARE) / ring)
    factor = rms / _rms(whole)
    return PixelPattern(camera, cosine * factor, whole.radial * factor)


def _season_patterns(
    settings: SimulationSettings, layout: Layout, camera: Camera, branch: int
) -> SeasonPatterns | None:
    rms = settings.traits.season_pattern_sd
    if not rms:
        return None
    # A pattern goes by the number of its season, not by which seasons the survey has.
    rng = trait_generator(settings.seed, "season_pattern", branch)
    seasons, of_visit = np.unique(season_phase(layout.mjd)[0], return_inverse=True)
    streams = rng.spawn(int(seasons.max()) + 1)
    patterns = []
    for season in seasons:
        whole = _pattern(1.0, camera, streams[season])
        smooth = PixelPattern(camera, whole.cosine, 0.0)
        patterns.append(PixelPattern(camera, smooth.cosine * (rms / _rms(smooth)), 0.0))
    return SeasonPatterns(of_visit, tuple(patterns))


def _rms(pattern: PixelPattern) -> float:
    values = np.concatenate([pattern(*pixels) for pixels in _grids(pattern.camera)])
    return float(np.sqrt((values**2).mean()))


def _grids(camera: Camera) -> list[tuple[IntArray, FloatArray, FloatArray]]:
    """Return an even grid of pixels over each detector: its place, x and y."""
    x = np.linspace(0.5, camera.nx + 0.5, 49)
    y = np.linspace(0.5, camera.ny + 0.5, 97)
    middle_x, middle_y = ((edge[1:] + edge[:-1]) / 2 for edge in (x, y))
    grid_x, grid_y = (axis.ravel() for axis in np.meshgrid(middle_x, middle_y))
    return [
        (np.full(len(grid_x), place, np.int64), grid_x, grid_y) for place in range(len(camera.ccd))
    ]


def _standard(values: FloatArray) -> FloatArray:
    """Return values of zero mean and unit scatter (zeros where they do not differ)."""
    centred = values - values.mean()
    scatter = centred.std()
    return np.asarray(centred / scatter if scatter > 0 else centred)


@dataclass(frozen=True)
class OffsetTerms:
    """Offsets of detections, shape (n,), in mag, in the gauge of `in_gauge`."""

    visit: FloatArray
    ccd: FloatArray
    pixel: FloatArray
    #: How much of their sum is the visit's surface over the focal plane, of zero mean in each
    #: visit; None without such surfaces.
    focal: FloatArray | None = None
    #: What corrects a star's colour beside them, and what its magnitude; None if nothing does.
    colour: FloatArray | None = None
    linearity: FloatArray | None = None

    def take(self, rows: slice) -> OffsetTerms:
        """Return the offsets of some of the detections."""
        found = {item.name: getattr(self, item.name) for item in fields(self)}
        return replace(
            self, **{name: part[rows] for name, part in found.items() if part is not None}
        )

    @property
    def total(self) -> FloatArray:
        """What corrects a star of the reference colour and magnitude: visit, CCD and pixel."""
        return self.visit + self.ccd + self.pixel

    @property
    def applied(self) -> FloatArray:
        """What corrects each magnitude, whatever its colour and size."""
        applied = self.total
        for part in (self.colour, self.linearity):
            applied = applied if part is None else applied + part
        return applied


def in_gauge(
    offsets: InjectedOffsets,
    visit: IntArray,
    place: IntArray,
    x: FloatArray,
    y: FloatArray,
    judged: npt.NDArray[np.bool_],
) -> OffsetTerms:
    """Return the offsets of detections, so split that the parent terms hold the means.

    Over the detections that are `judged` pixel terms sum to zero within each CCD over all
    visits, CCD terms within each visit, and visit terms over all. A survey-wide constant is
    dropped. Of a surface over the focal plane the CCD terms hold the mean on each CCD, and the
    pixel terms the rest. A comparison with a solution repeats this over its own detections.

    Parameters
    ----------
    visit, place : ndarray of int64, shape (n,)
        Number of the visit, and of the detector in the camera.
    x, y : ndarray, shape (n,)
    judged : ndarray of bool, shape (n,)
    """
    n_visits, n_ccds = offsets.ccd.shape
    pixel = offsets.pattern(place, x, y)
    of_exposure = offsets.ccd
    rows = _rows_by_visit(visit, n_visits)
    if offsets.by_season is not None:
        for number, here in enumerate(rows):
            pixel[here] += offsets.by_season(number, place[here], x[here], y[here])
    focal = _focal(offsets, rows, place, x, y)
    if focal is not None:
        exposure = visit * n_ccds + place
        surface = _means(focal[judged], exposure[judged], n_visits * n_ccds)
        pixel = pixel + focal - surface[exposure]
        of_exposure = of_exposure + surface.reshape(n_visits, n_ccds)
        focal = focal - _means(focal[judged], visit[judged], n_visits)[visit]
    by_ccd = _means(pixel[judged], place[judged], n_ccds)
    ccd = (of_exposure + by_ccd)[visit, place]
    by_visit = _means(ccd[judged], visit[judged], n_visits)
    terms = (offsets.visit + by_visit)[visit]
    constant = terms[judged].mean() if judged.any() else 0.0
    return OffsetTerms(terms - constant, ccd - by_visit[visit], pixel - by_ccd[place], focal)


def _focal(
    offsets: InjectedOffsets, rows: list[IntArray], place: IntArray, x: FloatArray, y: FloatArray
) -> FloatArray | None:
    """Return the surfaces over the focal plane at detections, shape (n,)."""
    surfaces = offsets.systematics.surfaces
    if surfaces is None:
        return None
    xi, eta = offsets.pattern.camera.to_plane(place, x, y)
    focal = np.zeros(len(place))
    for number, here in enumerate(rows):
        focal[here] = surfaces(number, xi[here], eta[here])
    return focal


def _rows_by_visit(visit: IntArray, number: int) -> list[IntArray]:
    """Return the rows of each visit's detections."""
    order = np.argsort(visit, kind="stable")
    return np.split(order, np.searchsorted(visit[order], np.arange(1, number)))


def _means(values: FloatArray, group: IntArray, number: int) -> FloatArray:
    """Return the mean by group, shape (number,); zero where a group is empty."""
    count = np.bincount(group, minlength=number)
    return np.asarray(np.bincount(group, values, number) / np.maximum(count, 1))
