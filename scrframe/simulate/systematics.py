"""What single visits, detectors and seasons do to magnitudes beside their constant offsets.

Everything is a correction, to be added to observed magnitudes, and a pure function of the visit,
the place on the focal plane, and the star's colour or magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scrframe.arrays import FloatArray, IntArray
from scrframe.config.simulation import SimulationSettings, TraitSettings
from scrframe.simulate.layout import Layout, season_phase
from scrframe.simulate.sky import TraitField, trait_generator
from scrframe.tables import Camera

#: Colour band - G_BP, in mag, at which colour terms are zero, and magnitude at which detectors
#: are linear.
REFERENCE_COLOUR, LINEAR_MAG = 2.0, 17.0


@dataclass(frozen=True)
class FocalSurfaces:
    """A surface over the focal plane for each visit: a plane, and clouds in some of them."""

    #: Of the planes along xi and eta, in mag per deg. Shape (v, 2).
    slope: FloatArray
    #: None where the sky was clear.
    clouds: tuple[TraitField | None, ...]

    def __call__(self, visit: int, xi_deg: FloatArray, eta_deg: FloatArray) -> FloatArray:
        """Return the surface of one visit in mag, shape (n,), at standard coordinates."""
        surface = self.slope[visit, 0] * xi_deg + self.slope[visit, 1] * eta_deg
        cloud = self.clouds[visit]
        return np.asarray(surface if cloud is None else surface + cloud.on_plane(xi_deg, eta_deg))


@dataclass(frozen=True)
class ColourTerms:
    """Corrections in proportion to colour, zero at the reference colour."""

    #: Of detectors, in the camera's order, in mag per mag. Shape (c,).
    by_ccd: FloatArray
    #: Of visits, by their seasons and airmasses. Shape (v,).
    by_visit: FloatArray

    def __call__(self, visit: int, place: IntArray, colour_mag: FloatArray) -> FloatArray:
        """Return the correction in mag, shape (n,), of stars with colours band - G_BP."""
        slope = self.by_ccd[place] + self.by_visit[visit]
        return np.asarray(slope * (colour_mag - REFERENCE_COLOUR))


@dataclass(frozen=True)
class Systematics:
    """What the visits of a survey do; None where a trait is off."""

    surfaces: FocalSurfaces | None = None
    colours: ColourTerms | None = None
    #: How much magnitudes gain per mag.
    nonlinearity: float = 0.0

    def linearity(self, mag: FloatArray) -> FloatArray | None:
        """Return the correction in mag, shape (n,), of true magnitudes; None if there is none."""
        return -self.nonlinearity * (mag - LINEAR_MAG) if self.nonlinearity else None


def draw_systematics(
    settings: SimulationSettings, layout: Layout, camera: Camera, branch: int = 1
) -> Systematics:
    """Draw what the settings ask for; another branch gives another survey's.

    The seed is that of the settings, apart from all other random numbers.
    """
    return Systematics(
        _surfaces(settings.traits, layout, settings.seed, branch),
        _colours(settings.traits, layout, len(camera.ccd), settings.seed, branch),
        settings.traits.nonlinearity,
    )


def _surfaces(
    traits: TraitSettings, layout: Layout, seed: int, branch: int
) -> FocalSurfaces | None:
    if not traits.gradient and not (traits.cloud_sd and traits.cloud_share):
        return None
    number = len(layout.mjd)
    rng = trait_generator(seed, "gradient", branch)
    direction = rng.uniform(0, 2 * np.pi, number)
    steepness = traits.gradient * rng.standard_normal(number)
    slope = steepness[:, None] * np.stack([np.cos(direction), np.sin(direction)], axis=1)
    rng = trait_generator(seed, "cloud", branch)
    cloudy = np.argsort(rng.uniform(0, 1, number)).argsort() < round(traits.cloud_share * number)
    clouds = tuple(
        TraitField.draw(traits.cloud_sd, traits.cloud_scale, child) if there else None
        for there, child in zip(cloudy, rng.spawn(number), strict=True)
    )
    return FocalSurfaces(slope, clouds)


def _colours(
    traits: TraitSettings, layout: Layout, ccds: int, seed: int, branch: int
) -> ColourTerms | None:
    if not (traits.ccd_colour or traits.season_colour or traits.extinction_colour):
        return None
    by_ccd = _scattered(traits.ccd_colour, ccds, trait_generator(seed, "ccd_colour", branch))
    seasons, of_visit = np.unique(season_phase(layout.mjd)[0], return_inverse=True)
    rng = trait_generator(seed, "season_colour", branch)
    by_season = _scattered(traits.season_colour, len(seasons), rng)
    # What the air takes away is to be added.
    by_air = -traits.extinction_colour * (layout.airmass - layout.airmass.mean())
    return ColourTerms(by_ccd, by_season[of_visit] + by_air)


def _scattered(sd: float, number: int, rng: np.random.Generator) -> FloatArray:
    """Return values of zero mean and of this scatter; a single one is zero."""
    values = rng.standard_normal(number)
    values -= values.mean()
    return np.asarray(values * (sd / values.std() if number > 1 else 0.0))
