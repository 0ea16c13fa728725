"""Settings of what real skies, atmospheres and detectors do beside the offsets that are fitted."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scrframe.config.base import Settings, as_written
from scrframe.units import InUnit, Real

Scale = Annotated[float, InUnit("deg")]
Size = Annotated[Real, Field(ge=0)]


class TraitSettings(Settings):
    """Traits of real skies and visits; 0 turns each off, and none changes the draws of another.

    Fields on the sky and clouds are Gaussian random fields: at an angle d values correlate by
    exp(-d^2 / (2 scale^2)).
    """

    law_sd: Size = 0.0
    """Relative variation of the band's extinction law on the sky."""
    law_scale: Scale = as_written("0.15 deg")
    """Scale of that variation."""
    law_large_sd: Size = 0.0
    """The same once more, by itself, at a larger scale."""
    law_large_scale: Scale = as_written("5 deg")
    """The larger scale."""
    gradient: Size = 0.0
    """Each visit has a plane over the focal plane, of random direction and of a steepness with
    this standard deviation, in mag per deg."""
    cloud_share: Real = Field(default=0.15, ge=0, le=1)
    """Share of the visits that clouds pass through."""
    cloud_sd: Size = 0.0
    """Structure over the focal plane in each of those, in mag."""
    cloud_scale: Scale = as_written("0.3 deg")
    """Scale of clouds."""
    ccd_colour: Size = 0.0
    """Colour terms of the CCDs, of zero mean over them, in mag per mag of band - G_BP."""
    season_colour: Size = 0.0
    """Colour terms of the seasons, of zero mean over them."""
    extinction_colour: Real = 0.0
    """Second-order extinction by the atmosphere: what magnitudes gain per mag of colour and unit
    of airmass; about -0.03 in a wide blue band."""
