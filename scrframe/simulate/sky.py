"""The smooth random functions that a simulated sky is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scrframe.arrays import FloatArray
from scrframe.config.simulation import SimulationSettings, TraitSettings
from scrframe.spectra.curves import MEAN_RV, RV_RANGE
from scrframe.tables import unit_vectors

#: Number of waves of the smooth functions, and of traits, which may be of a fine scale.
WAVES, TRAIT_WAVES = 64, 256
#: Positions worked on at once, which bounds the memory.
AT_ONCE = 2**14
#: Streams of random numbers of traits: the key of the trait's settings to its number.
STREAMS = {
    "law": 1,
    "law_large": 2,
    "gradient": 3,
    "cloud": 4,
    "ccd_colour": 5,
    "season_colour": 6,
    "rv": 7,
    "metallicity": 8,
    "season_pattern": 9,
}


@dataclass(frozen=True)
class SmoothField:
    """A Gaussian random function on the sky of zero mean and unit variance.

    A sum of plane waves whose wave vectors are normally distributed, so that its
    correlation at an angle d is exp(-d^2 / (2 scale^2)) (Rahimi & Recht 2007, NIPS 20).
    """

    #: Shape (3, w).
    wave: FloatArray
    #: Shape (w,).
    phase: FloatArray

    @classmethod
    def draw(cls, scale_deg: float, rng: np.random.Generator, waves: int = WAVES) -> SmoothField:
        """Draw a function that varies over `scale_deg`."""
        return cls(
            rng.normal(0, 1 / np.deg2rad(scale_deg), (3, waves)), rng.uniform(0, 2 * np.pi, waves)
        )

    def __call__(self, ra_deg: FloatArray, dec_deg: FloatArray) -> FloatArray:
        """Return the value at positions, shape (n,)."""
        return self.at(unit_vectors(ra_deg, dec_deg))

    def at(self, point: FloatArray) -> FloatArray:
        """Return the value at points in space, shape (n,), of points of shape (n, 3) in rad."""
        values = np.empty(len(point))
        for start in range(0, len(point), AT_ONCE):
            block = slice(start, start + AT_ONCE)
            # A cosine in single precision is much faster and good to 1e-5.
            waves = np.cos((point[block] @ self.wave + self.phase).astype(np.float32))
            values[block] = waves.sum(axis=-1, dtype=np.float64)
        return np.asarray(np.sqrt(2 / self.wave.shape[1]) * values)


@dataclass(frozen=True)
class TraitField:
    """A smooth function of zero mean and a given scatter; without waves it is zero."""

    sd: float
    scale_deg: float
    smooth: SmoothField | None

    @classmethod
    def draw(cls, sd: float, scale_deg: float, rng: np.random.Generator) -> TraitField:
        """Draw a function that varies over `scale_deg` by `sd`."""
        smooth = SmoothField.draw(scale_deg, rng, TRAIT_WAVES) if sd > 0 else None
        return cls(sd, scale_deg, smooth)

    def __call__(self, ra_deg: FloatArray, dec_deg: FloatArray) -> FloatArray:
        """Return the value at positions on the sky, shape (n,)."""
        return self._at(unit_vectors(ra_deg, dec_deg))

    def on_plane(self, xi_deg: FloatArray, eta_deg: FloatArray) -> FloatArray:
        """Return the value at standard coordinates, shape (n,)."""
        plane = np.deg2rad(np.stack([xi_deg, eta_deg, np.zeros(len(xi_deg))], axis=1))
        return self._at(plane)

    def _at(self, point: FloatArray) -> FloatArray:
        return np.zeros(len(point)) if self.smooth is None else self.sd * self.smooth.at(point)


def trait_generator(seed: int, trait: str, branch: int = 1) -> np.random.Generator:
    """Return the random numbers of one trait, which no other trait and no setting shifts.

    Parameters
    ----------
    seed : int
        Of the survey.
    trait : str
        A key of `STREAMS`.
    branch : int
        Another for the visits of another survey of the same stars.
    """
    return np.random.default_rng(np.random.SeedSequence([seed, branch, STREAMS[trait]]))


@dataclass(frozen=True)
class SkyTraits:
    """Traits that belong to places on the sky, whichever fields see them."""

    #: Relative variations of the band's extinction law, which add up.
    laws: tuple[TraitField, ...]
    #: Relative variation of R_V.
    extinctions: TraitField
    #: Shift of the mean [Fe/H] in dex, before that at the control region is taken off.
    metals: TraitField
    #: Right ascension and declination in deg of that region's middle. Shape (1,).
    control: tuple[FloatArray, FloatArray]

    @classmethod
    def draw(
        cls, settings: TraitSettings, seed: int, control: tuple[FloatArray, FloatArray]
    ) -> SkyTraits:
        """Draw the traits of a survey's sky, `control` being the middle of the control region."""

        def field(trait: str, sd: float, scale_deg: float) -> TraitField:
            return TraitField.draw(sd, scale_deg, trait_generator(seed, trait))

        return cls(
            (
                field("law", settings.law_sd, settings.law_scale),
                field("law_large", settings.law_large_sd, settings.law_large_scale),
            ),
            field("rv", settings.rv_sd, settings.rv_scale),
            field("metallicity", settings.metallicity_sd, settings.metallicity_scale),
            control,
        )

    def law(self, ra_deg: FloatArray, dec_deg: FloatArray) -> FloatArray:
        """Return by what fraction the slope on E departs from its mean, shape (n,)."""
        return np.asarray(np.sum([each(ra_deg, dec_deg) for each in self.laws], axis=0))

    def rv(self, ra_deg: FloatArray, dec_deg: FloatArray) -> FloatArray | None:
        """Return R_V, shape (n,), within the range in which curves are known; None if constant."""
        if self.extinctions.smooth is None:
            return None
        return np.clip(MEAN_RV * (1 + self.extinctions(ra_deg, dec_deg)), *RV_RANGE)

    def metallicity(self, ra_deg: FloatArray, dec_deg: FloatArray) -> FloatArray:
        """Return by how much the mean [Fe/H] of stars is shifted, in dex, shape (n,).

        The Gaussian random field, given that it is zero in the middle of the control region.
        """
        if self.metals.smooth is None:
            return np.zeros(len(ra_deg))
        apart = unit_vectors(ra_deg, dec_deg) - unit_vectors(*self.control)
        scaled = (apart**2).sum(axis=1) / np.deg2rad(self.metals.scale_deg) ** 2
        taken = np.exp(-scaled / 2) * self.metals(*self.control)
        return np.asarray(self.metals(ra_deg, dec_deg) - taken)


@dataclass(frozen=True)
class Sky:
    """The smooth functions that a simulated sky is made of."""

    #: Modulates the extinction within fields.
    dust: SmoothField
    #: Scatter of colours that is coherent over degrees.
    hidden: SmoothField
    #: Variation of the extinction law between fields.
    law: SmoothField
    #: One for each feature in which populations differ.
    populations: tuple[SmoothField, ...]
    traits: SkyTraits

    @classmethod
    def draw(
        cls,
        settings: SimulationSettings,
        control: tuple[FloatArray, FloatArray],
        rng: np.random.Generator,
    ) -> Sky:
        """Draw a sky; `control` is the middle of the control region, in deg, shape (1,)."""
        return cls(
            SmoothField.draw(0.7, rng),
            SmoothField.draw(settings.hidden_scale, rng),
            SmoothField.draw(6.0, rng),
            tuple(SmoothField.draw(8.0, rng) for _ in range(3)),
            SkyTraits.draw(settings.traits, settings.seed, control),
        )
