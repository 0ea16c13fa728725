"""Figures 7 and 8 of a run: what each CCD differs by from its visit, on the camera and in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from scrframe.arrays import FloatArray, IntArray
from scrframe.products.run_data import RunData
from scrframe.report.figure import FigureProduct, figure_data
from scrframe.report.figures.focal_plane import FocalPlane, colour_end, detector_size, focal_plane
from scrframe.report.merit import beside_paper
from scrframe.report.style import (
    COLOURS,
    FAINT,
    INK,
    MARGIN_IN,
    MMAG,
    RULE,
    SIGNED_MAP,
    bar_above,
    house_style,
    name_panel,
    new_figure,
    note,
)

#: Most columns of time that are drawn; more visits than that are averaged in order.
COLUMNS = 240
#: CCDs whose course in time is drawn one by one.
SHOWN_CCDS = 4
#: Share of the axis of time that the label of a season needs.
LABEL_ROOM = 0.075
IMAGE_IN, COURSE_IN = 1.9, 0.95


@dataclass(frozen=True)
class CcdOffsets:
    """What each CCD of each visit differs by from the visit: v visits, c CCDs."""

    #: Ascending numbers. Shape (c,).
    ccd: IntArray
    #: Correction to be added besides that of the visit; NaN where no star of the CCD in the visit
    #: stands behind it. Shape (v, c).
    offset_mag: FloatArray
    #: Detections behind it. Shape (v, c).
    count: IntArray


def ccd_offsets(data: RunData) -> CcdOffsets | None:
    """Return the offsets of CCDs within visits; None where the run has no such level.

    In mode joint it is what stands, what drifts and what is the visit's own, in one, from the
    table of exposures; in mode sequential the level by visit and CCD (paper, section 4.1.2).
    """
    if data.exposures is not None:
        table = data.exposures
        visit, ccd = table.visit, table.ccd
        offset, count = table.offset_mag - table.visit_mag, table.count
    else:
        levels = (one for one in data.levels.values() if set(one.labels) == {"visit", "ccd"})
        level = next(levels, None)
        if level is None:
            return None
        visit, ccd = level.labels["visit"], np.asarray(level.labels["ccd"], dtype=np.int64)
        offset, count = level.offset_mag, level.count
    names, order = np.unique(np.asarray(data.visits, dtype=str), return_inverse=True)
    visits, ccds = np.argsort(order), data.ccds
    known = np.isin(visit, names) & np.isin(ccd, ccds)
    row = visits[np.searchsorted(names, visit[known])]
    column = np.searchsorted(ccds, ccd[known])
    image = np.full((len(data.visits), len(ccds)), np.nan)
    image[row, column] = np.where(count[known] > 0, offset[known], np.nan)
    number = np.zeros(image.shape, dtype=np.int64)
    number[row, column] = count[known]
    return CcdOffsets(ccds, image, number) if np.isfinite(image).any() else None


def chosen_visits(mjd: FloatArray, offset_mag: FloatArray) -> dict[str, int]:
    """Return rows of visits worth a map, by why: first, middle and last, and the widest spread.

    Dates have shape (v,), offsets (v, c); visits without any offset are not chosen.
    """
    usable = np.flatnonzero(np.isfinite(offset_mag).any(axis=1))
    ordered = usable[np.argsort(mjd[usable], kind="stable")]
    spread = np.nanstd(offset_mag[usable], axis=1)
    wanted = {
        "first": int(ordered[0]),
        "middle": int(ordered[len(ordered) // 2]),
        "last": int(ordered[-1]),
        "widest": int(usable[np.argmax(spread)]),
    }
    # A visit shown already is not shown again under another title.
    chosen: dict[str, int] = {}
    for why, row in wanted.items():
        if row not in chosen.values():
            chosen[why] = row
    return chosen


@dataclass(frozen=True)
class Course:
    """Offsets of CCDs in time: t groups of successive visits, c CCDs."""

    #: Mean date. Shape (t,).
    mjd: FloatArray
    #: Season of the group's first visit. Shape (t,).
    season: IntArray
    #: Visits in a group. Shape (t,).
    visits: IntArray
    #: Mean over the group's visits that have an offset; NaN where none has. Shape (t, c).
    offset_mag: FloatArray


def course(mjd: FloatArray, season: IntArray, offset_mag: FloatArray, most: int) -> Course:
    """Average offsets over successive visits so that at most `most` groups are left.

    Dates and seasons have shape (v,), offsets (v, c); visits without a date are left out.
    """
    order = np.argsort(mjd, kind="stable")
    order = order[np.isfinite(mjd[order])]
    size = max(1, -(-len(order) // most))
    starts = np.arange(0, len(order), size)
    sorted_mag = offset_mag[order]
    good = np.isfinite(sorted_mag)
    total = np.add.reduceat(np.where(good, sorted_mag, 0.0), starts, axis=0)
    number = np.add.reduceat(good.astype(np.int64), starts, axis=0)
    visits = np.diff(np.append(starts, len(order)))
    return Course(
        np.add.reduceat(mjd[order], starts) / visits,
        season[order][starts],
        visits,
        np.where(number > 0, total / np.maximum(number, 1), np.nan),
    )


def season_means(
    season: IntArray, values: FloatArray, when: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
    """Return mean date, mean value, its standard error and its season, of seasons with values.

    All have shape (t,).
    """
    good = np.isfinite(values)
    names, code = np.unique(season[good], return_inverse=True)
    number = np.bincount(code)
    mean = np.bincount(code, values[good]) / number
    square = np.bincount(code, (values[good] - mean[code]) ** 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(square / (number - 1) / number)
    date = np.bincount(code, when[good]) / number
    return date, mean, np.where(number > 1, error, np.nan), names


def most_moving(found: Course, most: int) -> list[int]:
    """Return columns of the CCDs whose seasonal means spread most, in order of CCD."""
    columns = found.offset_mag.T
    spread = [
        float(np.ptp(season_means(found.season, one, found.mjd)[1]))
        if np.isfinite(one).any()
        else -1.0
        for one in columns
    ]
    usable = [one for one in np.argsort(spread, kind="stable")[::-1] if spread[one] >= 0]
    return sorted(int(one) for one in usable[:most])


def figure_ccd_maps(data: RunData) -> FigureProduct | None:
    """Draw offsets of CCDs of four visits where the CCDs stand (paper, figure 7)."""
    offsets = ccd_offsets(data)
    if offsets is None:
        return None
    rows = chosen_visits(data.visit_table.mjd, offsets.offset_mag)
    size = detector_size(data)
    plane = focal_plane(data.camera, offsets.ccd, size)
    end = colour_end(offsets.offset_mag[list(rows.values())])
    with house_style():
        figure, panels = _map_panels(len(rows), plane)
        norm = Normalize(-MMAG * end, MMAG * end)
        for number, (axes, (why, row)) in enumerate(zip(panels, rows.items(), strict=True)):
            corners = plane.outlines()[plane.place_of(offsets.ccd)]
            drawn = plane.draw(axes, corners, MMAG * offsets.offset_mag[row], norm)
            name_panel(axes, f"{why}: MJD {data.visit_table.mjd[row]:.3f}")
            if number == 0:
                plane.name_detectors(axes)
        if plane.on_sky:
            figure.supxlabel("east of the pointing (deg)")
            figure.supylabel("north of the pointing (deg)")
        bar_above(figure, drawn, panels, "offset of the CCD less that of its visit (mmag)")
    told = "; ".join(
        f"{why} {data.visits[row]}: {MMAG * np.nanstd(offsets.offset_mag[row]):.1f}"
        for why, row in rows.items()
    )
    return FigureProduct(
        "ccd_maps",
        "Offsets of CCDs of chosen visits",
        f"What each CCD's correction differs by from its visit's, in mmag, for {len(rows)}"
        f" visits of {len(data.visits)}: in time the first, the middle and the last, and the one"
        f" whose CCDs differ most. {plane.words} CCDs without an offset are grey. Numbers of CCDs"
        " stand in the first panel."
        + beside_paper(data.survey, " Compare with the paper's figure 7."),
        f"Maps of the focal plane. Standard deviation over the CCDs in mmag, {told}.",
        figure,
        _map_table(data, offsets, plane, rows),
    )


def _map_panels(panels: int, plane: FocalPlane) -> tuple[Figure, list[Axes]]:
    low, high = plane.outlines().min(axis=(0, 1)), plane.outlines().max(axis=(0, 1))
    shape = float((high - low)[1] / (high - low)[0])
    columns = min(2, panels)
    rows = -(-panels // columns)
    figure = new_figure(rows * (min(max(1.3 * shape, 0.6), 2.4) + 0.2) + MARGIN_IN)
    axes = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for extra in axes[panels:]:
        extra.remove()
    return figure, axes[:panels]


def _map_table(
    data: RunData, offsets: CcdOffsets, plane: FocalPlane, rows: dict[str, int]
) -> Table:
    chosen, c = list(rows.values()), len(offsets.ccd)
    centre = plane.centre[plane.place_of(offsets.ccd)]
    across, up = ("xi", "eta") if plane.on_sky else ("x_grid", "y_grid")
    unit = {"deg": (across, up)} if plane.on_sky else {"": (across, up)}
    return figure_data(
        {
            "visit": np.repeat([data.visits[row] for row in chosen], c),
            "mjd": np.repeat(data.visit_table.mjd[chosen], c),
            "chosen": np.repeat(list(rows), c),
            "ccd": np.tile(offsets.ccd, len(chosen)),
            across: np.tile(centre[:, 0], len(chosen)),
            up: np.tile(centre[:, 1], len(chosen)),
            "offset": offsets.offset_mag[chosen].ravel(),
            "n_detections": offsets.count[chosen].ravel(),
        },
        {"d": ("mjd",), "mag": ("offset",), **unit},
        {
            "offset": "offset of the CCD less that of its visit, to be added",
            **dict.fromkeys((across, up), "centre of the CCD, as drawn"),
        },
    )


def figure_ccd_time(data: RunData) -> FigureProduct | None:
    """Draw offsets of all CCDs in time, and four of them one by one (paper, figure 8)."""
    offsets = ccd_offsets(data)
    table = data.visit_table
    if offsets is None or np.isfinite(table.mjd).sum() < 2:
        return None
    found = course(table.mjd, table.season, offsets.offset_mag, COLUMNS)
    shown = most_moving(found, SHOWN_CCDS)
    end = colour_end(found.offset_mag)
    rows = -(-len(shown) // 2)
    with house_style():
        figure = new_figure(IMAGE_IN + rows * COURSE_IN + 2 * MARGIN_IN)
        heights = [IMAGE_IN + MARGIN_IN, rows * COURSE_IN + MARGIN_IN]
        (above,), (below,) = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)
        _draw_image(above, found, offsets.ccd, end)
        grid = below.subplots(rows, 2, sharex=True, sharey=True, squeeze=False)
        for extra in list(grid.flat)[len(shown) :]:
            extra.remove()
        for axes, column in zip(grid.flat, shown, strict=False):
            _draw_course(axes, found, column, f"CCD {offsets.ccd[column]}")
        below.supxlabel("MJD (d)")
        below.supylabel("offset less visit's (mmag)")
    each = int(found.visits.max())
    group = "one visit" if each == 1 else f"up to {each} successive visits"
    every = offsets.offset_mag[np.isfinite(offsets.offset_mag)]
    told = ", ".join(
        f"CCD {offsets.ccd[one]} {MMAG * np.nanstd(found.offset_mag[:, one]):.1f}" for one in shown
    )
    return FigureProduct(
        "ccd_time",
        "Offsets of CCDs in time",
        "What each CCD's correction differs by from its visit's. Above: all CCDs; a column is"
        f" {group}, in order of time, with lines where an observing season (October to September)"
        f" begins. Below: the {len(shown)} CCDs whose means by season move most. Dots are"
        f" {group}, squares means of a season with their standard errors; the dashed line is"
        " the mean over all, dotted lines are one standard deviation away. Over all CCDs of all"
        f" visits the mean is {MMAG * every.mean():+.1f} and the standard deviation"
        f" {MMAG * every.std():.1f} mmag{beside_paper(data.survey, ' (paper: +9.6 and 22)')}.",
        f"An image of offsets by CCD and time, and time series of single CCDs. Standard deviation"
        f" in time in mmag: {told}; over all CCDs and visits {MMAG * every.std():.1f}.",
        figure,
        _course_table(found, offsets.ccd),
    )


def _draw_image(figure: Figure, found: Course, ccd: IntArray, end: float) -> None:
    axes = figure.subplots()
    t, c = found.offset_mag.shape
    mesh = axes.pcolormesh(
        np.arange(t + 1),
        np.arange(c + 1),
        MMAG * found.offset_mag.T,
        cmap=SIGNED_MAP,
        norm=Normalize(-MMAG * end, MMAG * end),
        rasterized=True,
    )
    axes.set_facecolor(FAINT)
    starts = np.flatnonzero(np.diff(found.season, prepend=found.season[0] - 1))
    for start in starts[1:]:
        axes.axvline(start, color=INK, lw=0.5)
    # A season of few visits goes without its label, which would run into the next one.
    room = np.diff(starts, append=t) > LABEL_ROOM * t
    names = [
        str(season) if wide else "" for season, wide in zip(found.season[starts], room, strict=True)
    ]
    axes.set_xticks(starts, names, ha="left")
    every = max(1, c // 8)
    axes.set_yticks(np.arange(0, c, every) + 0.5, [str(one) for one in ccd[::every]])
    axes.tick_params(length=0)
    axes.set(xlabel="visits in order of time; season from", ylabel="CCD")
    bar_above(figure, mesh, axes, "offset of the CCD less that of its visit (mmag)")


def _draw_course(axes: Axes, found: Course, column: int, name: str) -> None:
    values = MMAG * found.offset_mag[:, column]
    mean, spread = float(np.nanmean(values)), float(np.nanstd(values))
    axes.plot(found.mjd, values, ".", color=COLOURS[4], ms=2, rasterized=True)
    date, middle, error, _ = season_means(found.season, values, found.mjd)
    axes.errorbar(date, middle, np.nan_to_num(error), fmt="s", color=COLOURS[1], ms=2.5, lw=0.8)
    for level, line in ((mean, "--"), (mean - spread, ":"), (mean + spread, ":")):
        axes.axhline(level, color=RULE, ls=line, lw=0.7)
    axes.margins(y=0.25)
    note(axes, [f"{name}  {mean:+.1f} ± {spread:.1f}"])


def _course_table(found: Course, ccd: IntArray) -> Table:
    t, c = found.offset_mag.shape
    return figure_data(
        {
            "mjd": np.repeat(found.mjd, c),
            "season": np.repeat(found.season, c),
            "visits": np.repeat(found.visits, c),
            "ccd": np.tile(ccd, t),
            "offset": found.offset_mag.ravel(),
        },
        {"d": ("mjd",), "mag": ("offset",)},
        {
            "mjd": "mean date of the visits averaged",
            "season": "year of the October in which the season begins",
            "offset": "mean offset of the CCD less that of its visit, to be added",
        },
    )
