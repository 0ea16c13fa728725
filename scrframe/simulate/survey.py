"""A simulated survey in memory: its stars, what every visit detects, and the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from scrframe.arrays import FloatArray, IntArray
from scrframe.config.simulation import BandSettings, SimulationSettings
from scrframe.simulate.catalogues import catalogued_stars
from scrframe.simulate.coefficients import CoefficientFit, load_noise_model
from scrframe.simulate.detections import (
    NOT_STARS,
    Traits,
    VisitDetections,
    draw_traits,
    magnitude_error,
    observe_visit,
)
from scrframe.simulate.layout import SECOND_POINTING_ARCSEC, Layout, plan
from scrframe.simulate.library import (
    PassbandColour,
    fit_colour_function,
    law_tilt,
    load_library,
)
from scrframe.simulate.offsets import InjectedOffsets, OffsetTerms, draw_offsets, in_gauge
from scrframe.simulate.sky import Sky
from scrframe.simulate.stars import Spectroscope, Stars, draw_stars
from scrframe.simulate.systematics import REFERENCE_COLOUR, Systematics
from scrframe.spectra.curves import CurveFamily
from scrframe.spectra.xp_operator import load_operator
from scrframe.statistics.sky import to_plane, to_sky
from scrframe.tables import Camera, SimulatedStars, SimulatedVisit

Curve = Callable[[FloatArray], FloatArray]
Progress = Callable[[int], None]
EXPOSURE_TIME_S = 150.0
#: R of a star of common colour, for the size of the variation of the law.
TYPICAL_R = 1.45
#: Share of the stars that no visit has seen that catalogues hold nevertheless.
UNSEEN = 0.1
#: Margin in deg round the footprint of a field in which stars are drawn.
MARGIN_DEG = 0.02


@dataclass(frozen=True)
class SimulatedSurvey:
    """A survey before it is written."""

    layout: Layout
    camera: Camera
    band: str
    #: Where the catalogued error is about 0.1 mag.
    limit_mag: float
    stars: Stars
    traits: Traits
    #: The stars as reference and extinction catalogues give them.
    catalogue: SimulatedStars
    visits: list[VisitDetections]
    #: Injected offsets of the detections, by visit.
    terms: list[OffsetTerms]
    #: Photometric noise of the detections in mag, by visit.
    noise: list[FloatArray]

    def visit(self, number: int) -> SimulatedVisit:
        """Return one visit as a survey loader writes it."""
        layout, found = self.layout, self.visits[number]
        clean = found.mag - self.terms[number].applied
        table = {
            "ccd": self.camera.ccd[found.place],
            "x": found.x,
            "y": found.y,
            "ra": found.ra_deg,
            "dec": found.dec_deg,
            "mag": clean + found.deviation + self.noise[number],
            "mag_err": magnitude_error(clean, self.limit_mag),
            "classification": found.classification,
        }
        return SimulatedVisit(
            field=layout.name[layout.visit_field[number]],
            number=number + 1,
            pointing=number % 2 + 1,
            ra_deg=float(layout.visit_ra_deg[number]),
            dec_deg=float(layout.visit_dec_deg[number]),
            mjd=float(layout.mjd[number]),
            exposure_time_s=EXPOSURE_TIME_S,
            airmass=float(layout.airmass[number]),
            seeing_arcsec=float(layout.seeing_arcsec[number]),
            band=self.band,
            detections=pa.table(table),
        )

    def truth(self, number: int, file: str, visit: str, place: IntArray | None = None) -> pa.Table:
        """Return the truth of one visit, one row a detection that is a star.

        Detections are known by the file, and by their rows in it as the loader counts them,
        `place`, shape (n,); by default they count from 0 on each detector.

        Offsets are corrections to be added to the observed magnitude, without a constant of
        the survey. Columns of traits are there where the survey has them.
        """
        found, terms = self.visits[number], self.terms[number]
        ccd = self.camera.ccd[found.place]
        rows = np.flatnonzero(found.star >= 0)
        star = found.star[rows]
        count = len(rows)
        if place is None:
            place = np.arange(len(ccd)) - np.searchsorted(ccd, ccd)

        def label(text: str) -> pa.DictionaryArray:
            return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), [text])

        traits = {
            "offset_focal": terms.focal,
            "offset_colour": terms.colour,
            "offset_linearity": terms.linearity,
        }
        return pa.table(
            {
                "file": label(file),
                "ccd": ccd[rows].astype(np.int16),
                "row": place[rows].astype(np.int32),
                "source_id": self.catalogue.table["source_id"].to_numpy()[star],
                "visit": label(visit),
                "field": label(self.layout.name[self.layout.visit_field[number]]),
                "mag_true": found.mag[rows],
                "colour0": self.stars.colour0[star],
                "extinction": self.stars.extinction[star],
                "R": self.stars.slope[star],
                "offset_visit": terms.visit[rows],
                "offset_ccd": terms.ccd[rows],
                "offset_pixel": terms.pixel[rows],
                "offset_total": terms.total[rows],
                **{name: part[rows] for name, part in traits.items() if part is not None},
                "outlier": found.outlier[rows],
                "variable": self.traits.amplitude[star] > 0,
                "defect": found.defect[rows],
            }
        )


def build_survey(
    settings: SimulationSettings,
    camera: Camera,
    curve: Curve,
    *,
    band: str,
    progress: Progress | None = None,
) -> SimulatedSurvey:
    """Draw a survey; the same settings give the same survey.

    Parameters
    ----------
    camera : Camera
        The survey's camera.
    curve : callable
        Extinction curve, wavelength in nm to mag per unit E, on 392-992 nm.
    progress : callable (fields), optional
        Told of every field that is done.
    """
    main, *by_field = generators(settings.seed, 1 + settings.fields)
    layout = plan(settings, camera, main)
    sky, spectroscope = (
        Sky.draw(settings, layout.control_centre, main),
        make_spectroscope(curve, settings.band),
    )
    offsets = draw_offsets(settings, layout, camera, main)
    # E is high in the plane and towards the Galactic centre.
    chance = main.uniform(0, 1, len(layout.name))
    height = np.exp(-np.abs(layout.galactic_b) / 3.0)
    centre = 0.75 + 0.25 * np.cos(np.deg2rad(layout.galactic_l))
    dust = np.asarray((0.25 + 0.75 * chance) * (0.35 + 0.75 * height) * centre + 0.1)
    law = settings.law_variation * _standard(sky.law(layout.ra_deg, layout.dec_deg))

    def parts() -> Iterator[Stars]:
        for number, rng in enumerate(by_field):
            yield _field(number, settings, layout, camera, spectroscope, sky, dust, law, rng)
            if progress is not None:
                progress(1)

    stars = Stars.concat(parts())
    coherent = _standard(sky.hidden(stars.ra_deg, stars.dec_deg))
    traits = draw_traits(settings, stars, coherent, main)
    visit_rngs = generators(settings.seed, len(layout.mjd), branch=1)
    visits = [
        observe_visit(number, settings, layout, camera, stars, traits, rng)
        for number, rng in enumerate(visit_rngs)
    ]
    stars, traits, visits = _without_unseen(stars, traits, visits, main)
    catalogue = catalogued_stars(settings, stars, traits, load_noise_model(), spectroscope, main)
    terms = offset_terms(visits, offsets, stars)
    noise = [
        photometric_noise(settings, found.mag - term.applied, rng)
        for found, term, rng in zip(visits, terms, visit_rngs, strict=True)
    ]
    limit = settings.photometric_limit
    return SimulatedSurvey(
        layout, camera, band, limit, stars, traits, catalogue, visits, terms, noise
    )


def make_spectroscope(curve: Curve, band: BandSettings | None = None) -> Spectroscope:
    """Return what turns library stars into coefficients, for a curve known on 392-992 nm.

    Without a band colours are those of u.
    """
    library = load_library()
    sampled, paper = load_operator("sampled"), load_operator("paper")
    spectra = library.spectra(library.scores)
    extended = library.extended(curve)
    colour = None
    if band is not None:
        band_nm, transmission = np.array(band.passband).T
        gbp, zero_point = library.passbands["Gbp"], library.zero_points["Gbp"]
        colour = PassbandColour(sampled.wavelength_nm, band_nm, transmission, gbp, zero_point)
    k = extended(sampled.wavelength_nm)
    fit = CoefficientFit(sampled, paper, np.median(spectra, axis=0), k)
    return Spectroscope(
        library,
        fit,
        fit_colour_function(spectra[:, fit.at_paper], library.colour0),
        law_tilt(extended(paper.wavelength_nm), paper.wavelength_nm, TYPICAL_R),
        CurveFamily.about(sampled.wavelength_nm, k, fit.at_paper),
        colour,
    )


def generators(seed: int, number: int, branch: int = 0) -> list[np.random.Generator]:
    """Return generators of random numbers; branches of a seed have nothing in common."""
    root = np.random.SeedSequence([seed, branch])
    return [np.random.default_rng(child) for child in root.spawn(number)]


def _standard(values: FloatArray) -> FloatArray:
    """Return values of zero mean and unit scatter; a few values are left as they are."""
    return np.asarray((values - values.mean()) / values.std()) if len(values) > 3 else values


def _field(
    number: int,
    settings: SimulationSettings,
    layout: Layout,
    camera: Camera,
    spectroscope: Spectroscope,
    sky: Sky,
    dust: FloatArray,
    law: FloatArray,
    rng: np.random.Generator,
) -> Stars:
    wide, high = camera.half_extent()
    east, north = (value / 3600 for value in SECOND_POINTING_ARCSEC)
    low = np.array([min(0, east) - wide, min(0, north) - high]) - MARGIN_DEG
    top = np.array([max(0, east) + wide, max(0, north) + high]) + MARGIN_DEG
    area = float(np.prod(top - low))
    faint_per_bright = (1 - NOT_STARS) * settings.other_sources
    density = settings.density
    if layout.control[number] and settings.control_density is not None:
        density = settings.control_density
    count = rng.poisson(density * area * (1 + faint_per_bright))
    xi, eta = rng.uniform(low[:, None], top[:, None], (2, count))
    bright = rng.uniform(0, 1, count) < 1 / (1 + faint_per_bright)
    ra, dec = to_sky(xi, eta, float(layout.ra_deg[number]), float(layout.dec_deg[number]))
    # A field that comes earlier has drawn the stars of the sky that they share.
    fresh = np.ones(count, bool)
    reach = max(3.0, float(np.hypot(*(top - low))))
    # Rough distances in deg of the fields before this one.
    others_ra, others_dec = layout.ra_deg[:number], layout.dec_deg[:number]
    turn = np.mod(others_ra - layout.ra_deg[number] + 180, 360) - 180
    apart = np.asarray(
        np.hypot(turn * np.cos(np.deg2rad(others_dec)), others_dec - layout.dec_deg[number])
    )
    for other in np.flatnonzero(apart < reach):
        there = float(layout.ra_deg[other]), float(layout.dec_deg[other])
        other_xi, other_eta = to_plane(ra, dec, *there)
        fresh &= ~(
            (other_xi > low[0]) & (other_xi < top[0]) & (other_eta > low[1]) & (other_eta < top[1])
        )
    place, about = (ra[fresh], dec[fresh], bright[fresh]), (float(dust[number]), float(law[number]))
    return draw_stars(settings, spectroscope, sky, layout, number, place, *about, rng)


def _without_unseen(
    stars: Stars, traits: Traits, visits: list[VisitDetections], rng: np.random.Generator
) -> tuple[Stars, Traits, list[VisitDetections]]:
    """Leave out most of the stars that no visit has seen."""
    kept = rng.uniform(0, 1, len(stars)) < UNSEEN
    for found in visits:
        kept[found.star[found.star >= 0]] = True
    # One further place, at the end, for what is no star (-1).
    place = np.r_[np.where(kept, np.cumsum(kept) - 1, -1), -1]
    visits = [replace(found, star=place[found.star]) for found in visits]
    return stars.take(kept), traits.take(kept), visits


def offset_terms(
    visits: list[VisitDetections], offsets: InjectedOffsets, stars: Stars
) -> list[OffsetTerms]:
    """Return the injected offsets of each visit's detections, in the gauge of the products."""
    sizes = [len(found.star) for found in visits]
    place, x, y, star = (
        np.concatenate([getattr(found, name) for found in visits])
        for name in ("place", "x", "y", "star")
    )
    visit = np.repeat(np.arange(len(visits)), sizes)
    whole = in_gauge(offsets, visit, place, x, y, star >= 0)
    ends = np.cumsum(sizes)
    return [
        with_own_terms(
            whole.take(slice(end - size, end)), number, found, offsets.systematics, stars
        )
        for number, (found, size, end) in enumerate(zip(visits, sizes, ends, strict=True))
    ]


def with_own_terms(
    terms: OffsetTerms,
    visit: int,
    found: VisitDetections,
    systematics: Systematics,
    stars: Stars,
) -> OffsetTerms:
    """Return the offsets of one visit's detections with what colours and magnitudes add."""
    terms = replace(terms, linearity=systematics.linearity(found.mag))
    if systematics.colours is None:
        return terms
    # What is no star has no colour to be corrected for.
    colour = np.where(found.star >= 0, found.mag - stars.bp_mag[found.star], REFERENCE_COLOUR)
    return replace(terms, colour=systematics.colours(visit, found.place, colour))


def photometric_noise(
    settings: SimulationSettings, mag: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Return noise larger than the catalogue says, and a floor that it does not know of."""
    size = np.hypot(
        settings.error_underestimate * magnitude_error(mag, settings.photometric_limit),
        settings.photometric_floor,
    )
    return np.asarray(rng.standard_normal(len(mag)) * size)
