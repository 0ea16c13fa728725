"""What another R_V makes of a star's predicted magnitude: the covariate of a field of R_V.

R_V shapes the spectrum and the band together. With a curve of other R_V a star is dereddened to
other features, which have another intrinsic colour, and the band loses another amount. The sum
of the two, in proportion to E, nearly cancels for some stars and does not for others: that is
what tells a field of R_V from a law of the band alone.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize

from scrframe.arrays import FloatArray
from scrframe.run.plugins import SelectedPlugins, level_needs
from scrframe.run.sample.reference_data import own_curve
from scrframe.scr.features import BLOCK, deredden, standardise_rows
from scrframe.scr.training import Trend, TrendSettings
from scrframe.spectra.curves import MEAN_RV, CurveFamily, cardelli
from scrframe.tables import MatchedStars, Spectra, SpectralShape

#: Column of the detections: change of the predicted magnitude by a relative change of R_V, in mag.
SLOPE = "r_v_slope"
#: Relative change of R_V for the numerical derivative.
STEP = 0.05
#: Effective wavelength of G_BP and range in which the band's is looked for, in nm.
REFERENCE_NM, BANDS_NM = 511.0, (310.0, 1000.0)
#: Stars that stand for the colour model where it is linearised, and the E that tells a law.
MOST_STARS, LEAST_E = 20_000, 0.05


def spectral_shape(
    plugins: SelectedPlugins, spectra: Spectra, extinction: FloatArray
) -> SpectralShape | None:
    """Return what the slope needs of the spectra of s stars with extinctions, shape (s,).

    None where no level or candidate reads it, or features are not standardised star by star.
    """
    read = {name for names in level_needs(plugins).values() for name in names}
    if SLOPE not in read or plugins.survey.colour_model.standardise != "per_star":
        return None
    k_mag = own_curve(plugins, spectra)
    contrast = np.empty(len(extinction))
    for start in range(0, len(contrast), BLOCK):
        rows = slice(start, start + BLOCK)
        intrinsic = deredden(spectra.flux[rows], k_mag, extinction[rows])
        contrast[rows] = intrinsic.mean(axis=1) / intrinsic.std(axis=1)
    return SpectralShape(spectra.wavelength_nm, k_mag, contrast)


def curve_slope(
    sample: MatchedStars, colour0_mag: FloatArray, model_mag: FloatArray, trend: TrendSettings
) -> FloatArray | None:
    """Return by how much predicted magnitudes change by a relative change of R_V.

    None where the sample has no spectra with their shape.

    Parameters
    ----------
    sample : MatchedStars
        n detections of s stars.
    colour0_mag : ndarray, shape (s,)
        Colours of the model, which is linearised: a trend through these.
    model_mag : ndarray, shape (n,)
        Model magnitudes, which tell R of the band.
    trend : TrendSettings

    Returns
    -------
    ndarray, shape (s,), or None
        In mag.
    """
    shape = sample.shape
    if shape is None:
        return None
    family = CurveFamily.about(shape.wavelength_nm, shape.k_mag, np.arange(len(shape.k_mag)))
    low, high = family.weights(MEAN_RV * np.array([1 - STEP, 1 + STEP]))
    change = (high - low) / (2 * STEP)
    more_mag = STEP * (change @ family.ratio) * shape.k_mag
    extinction = np.asarray(sample.stars["extinction"], dtype=np.float64)
    rows = np.linspace(0, len(extinction) - 1, min(len(extinction), MOST_STARS)).astype(np.int64)
    linear = Trend.on(sample.features[rows], trend)
    own = np.zeros(len(extinction))
    for start in range(0, len(own), BLOCK):
        part = slice(start, start + BLOCK)
        flux = sample.features[part] + shape.contrast[part, None]
        for sign in (-1.0, 1.0):
            other = standardise_rows(deredden(flux, sign * more_mag, extinction[part]))
            colour = linear.predict(other.astype(np.float32), colour0_mag[rows])
            own[part] += sign * colour / (2 * STEP)
    excess = model_mag - sample.of_star("reference_mag") - colour0_mag[sample.star]
    reddened = extinction[sample.star] > LEAST_E
    if not reddened.any():
        return None
    ratio = float(np.median(excess[reddened] / extinction[sample.star][reddened]))
    return np.asarray(own + extinction * _band_slope(family, change, ratio))


def _band_slope(family: CurveFamily, change: FloatArray, ratio: float) -> float:
    """Return the change of R of the band by a relative change of R_V.

    The band is where the mean curve differs from that at G_BP by R: curves that end before the
    band are gone on with by that of Cardelli, Clayton & Mathis (1989).
    """
    scale = np.interp(REFERENCE_NM, family.wavelength_nm, family.k) / _mean(REFERENCE_NM)

    def missing(wavelength_nm: float) -> float:
        return float(scale * (_mean(wavelength_nm) - _mean(REFERENCE_NM)) - ratio)

    ends = [missing(each) for each in BANDS_NM]
    if ends[0] > 0 > ends[1]:
        band = float(optimize.brentq(missing, *BANDS_NM))
    else:
        band = BANDS_NM[int(ends[0] > 0)]
    difference = cardelli(np.array([band])) - cardelli(np.array([REFERENCE_NM]))
    return float(scale * (change @ difference[:, 0]))


def _mean(wavelength_nm: float) -> float:
    """Return the mean curve of Cardelli, Clayton & Mathis (1989), A / A(V)."""
    a, b = cardelli(np.array([wavelength_nm]))[:, 0]
    return float(a + b / MEAN_RV)
