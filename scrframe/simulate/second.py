"""The stars of a simulated survey in another band: other visits, offsets and noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from scrframe.arrays import FloatArray
from scrframe.config.simulation import SimulationSettings
from scrframe.simulate.coefficients import stacked
from scrframe.simulate.detections import Traits, observe_visit
from scrframe.simulate.library import BP_NM
from scrframe.simulate.offsets import draw_offsets
from scrframe.simulate.sky import SkyTraits
from scrframe.simulate.stars import REDDENING_LAW, Spectroscope, Stars
from scrframe.simulate.survey import (
    Curve,
    Progress,
    SimulatedSurvey,
    build_survey,
    generators,
    make_spectroscope,
    offset_terms,
    photometric_noise,
)
from scrframe.tables import Camera

#: Streams of random numbers of a band begin here, and go on by the letters of its name.
FIRST_BRANCH = 2
#: Powers of the colour in u that tell the colour of stars without a spectrum.
POWERS = 4


def draw_survey(
    settings: SimulationSettings,
    camera: Camera,
    curve: Callable[[FloatArray], FloatArray],
    *,
    band: str,
    progress: Progress | None = None,
) -> SimulatedSurvey:
    """Draw a survey, of its own stars or of those that another has too.

    With `shared_scatter` the stars, their spectra and extinctions and all that catalogues
    say of them are those of the survey that the same settings give without it and without
    `band`; visits lie where its visits lie. Parameters are those of `build_survey`.
    """
    if settings.shared_scatter is None:
        return build_survey(settings, camera, curve, band=band, progress=progress)
    own = settings.model_copy(update={"band": None, "shared_scatter": None})
    first = build_survey(own, camera, curve, band=band, progress=progress)
    return in_second_band(first, settings, curve)


def in_second_band(
    first: SimulatedSurvey, settings: SimulationSettings, curve: Curve
) -> SimulatedSurvey:
    """Return the stars of a survey in u as another survey sees them, in `settings.band`."""
    assert settings.shared_scatter is not None
    branch = FIRST_BRANCH + int.from_bytes(first.band.encode(), "big")
    main, *by_visit = generators(settings.seed, 1 + len(first.layout.mjd), branch)
    stars = first.stars
    if settings.band is not None:
        sky = SkyTraits.draw(settings.traits, settings.seed, first.layout.control_centre)
        stars = stars_in_band(stars, make_spectroscope(curve, settings.band), sky)
    hidden = first.traits.mag_true - _model(first.stars)
    own = settings.hidden_scatter * main.standard_normal(len(stars))
    share = settings.shared_scatter
    scatter = share * hidden + np.sqrt(1 - share**2) * own
    traits: Traits = replace(first.traits, mag_true=_model(stars) + scatter)
    offsets = draw_offsets(settings, first.layout, first.camera, main, branch)
    visits = [
        observe_visit(number, settings, first.layout, first.camera, stars, traits, rng)
        for number, rng in enumerate(by_visit)
    ]
    terms = offset_terms(visits, offsets, stars)
    noise = [
        photometric_noise(settings, found.mag - term.applied, rng)
        for found, term, rng in zip(visits, terms, by_visit, strict=True)
    ]
    return replace(first, stars=stars, traits=traits, visits=visits, terms=terms, noise=noise)


def stars_in_band(stars: Stars, spectroscope: Spectroscope, sky: SkyTraits) -> Stars:
    """Return stars in u with the colours and slopes of another band.

    Those without a spectrum have what stars with one have at their colour in u. The sky's law
    departs by the same fraction in both bands.
    """
    assert spectroscope.band is not None
    law = 1 + sky.law(stars.ra_deg, stars.dec_deg)
    rv = sky.rv(stars.ra_deg, stars.dec_deg)
    in_u = np.polyval(REDDENING_LAW, stars.colour0) * law * spectroscope.excess_in_u(rv)
    excess = stars.slope / in_u - 1
    known = np.flatnonzero(stars.has_spectrum)
    colour0, slope = np.empty(len(stars)), np.empty(len(stars))
    design = stacked(spectroscope.fit.sampled)
    # The rest of the law is one for each field.
    for field in np.unique(stars.home[known]):
        place = np.flatnonzero(stars.home[known] == field)
        rows = known[place]
        coefficients, extinction = stars.coefficients[place], stars.extinction[rows]
        epsilon = float(np.median(excess[rows]))
        k = spectroscope.law(epsilon)[0]
        clear = spectroscope.dimming(k, extinction, None if rv is None else rv[rows])
        colour0[rows] = spectroscope.band((coefficients @ design) * clear)
        slope[rows] = spectroscope.slope(
            coefficients, colour0[rows], extinction, stars.bp_mag[rows], epsilon
        )
    slope[known] *= law[known]
    others = np.flatnonzero(~stars.has_spectrum)
    by_rv = 1.0 if rv is None else spectroscope.family.excess(rv, spectroscope.band.mean_nm, BP_NM)
    for values, factor in (
        (colour0, np.ones(len(stars))),
        (slope, (1 + excess) * law * by_rv),
    ):
        fit = np.polyfit(stars.colour0[known], values[known] / factor[known], POWERS - 1)
        values[others] = factor[others] * np.polyval(fit, stars.colour0[others])
    return replace(stars, colour0=colour0, slope=slope)


def _model(stars: Stars) -> FloatArray:
    """Return the magnitudes that colours and extinctions give, shape (n,)."""
    return np.asarray(stars.bp_mag + stars.colour0 + stars.slope * stars.extinction)
