"""Colours by synthetic photometry: the observed spectrum through the survey's passband."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from scrframe.arrays import FloatArray
from scrframe.builtin.reference_catalogues.gaia import parts as gaia_parts
from scrframe.builtin.reference_catalogues.gaia import sources as gaia_sources
from scrframe.builtin.reference_catalogues.gaia.features import Found, Target, read_fluxes
from scrframe.builtin.reference_catalogues.gaia.grid import SAMPLES_NM
from scrframe.builtin.reference_catalogues.gaia.sources import MAG_PER_RELATIVE
from scrframe.builtin.reference_catalogues.xp_synthetic.settings import Passband, XpSyntheticConfig
from scrframe.errors import CalibrationError, DataError
from scrframe.plugin import ChosenCorrection, Part, file_part
from scrframe.spectra import XpOperator, load_operator
from scrframe.spectra.passband import photon_weights, read_passband, read_spectrum
from scrframe.tables import Footprint, Quantities, ReferenceStars

KEY = "xp_synthetic"


def source_parts(config: XpSyntheticConfig, root: Path) -> list[Part]:
    """Return the parts of gaia_source; raises DataError where there is none."""
    try:
        return gaia_parts.source_parts(config.gaia(), root)
    except DataError as error:
        raise DataError(str(error).replace("gaia_xp.", f"{KEY}.")) from None


def feature_parts(config: XpSyntheticConfig, root: Path) -> list[Part]:
    """Return the parts of the XP spectra, with the passband's weights, and its files.

    Raises
    ------
    DataError
        If there is none, the passband cannot be used, or the spectra do not cover it.
    """
    supplied = [file_part(path, f"{KEY}:{path}") for path in _existing(config, root)]
    weights = sample_weights(config, root)
    try:
        found = gaia_parts.feature_parts(config.gaia(), root)
    except DataError as error:
        raise DataError(str(error).replace("gaia_xp.", f"{KEY}.")) from None
    # What is kept of a part must not outlive a change of the passband.
    mark = "|".join(part.fingerprint for part in supplied)
    return [
        *(
            replace(
                part,
                fingerprint=f"{part.fingerprint}|{mark}",
                detail={**part.detail, "weights": weights},
            )
            for part in found
        ),
        *supplied,
    ]


def files(config: XpSyntheticConfig, root: Path) -> list[Path]:
    """Return the files that the user supplies for the passband."""
    given = [config.passband.file, *([] if config.vega is None else [config.vega.file])]
    return [root / Path(name).expanduser() for name in given]


def sample_weights(config: XpSyntheticConfig, root: Path) -> FloatArray:
    """Return the weights of the 343 samples whose sum is the flux, 1 at magnitude 0.

    Raises
    ------
    DataError
        If the passband or the spectrum of Vega cannot be used, or the samples do not cover
        the passband.
    """
    band = config.passband
    path, *others = files(config, root)
    wavelength, transmission = read_passband(
        path, band.wavelength, band.transmission, default=band.wavelength_unit
    )
    vega = None
    if config.vega is not None:
        given = config.vega
        defaults = (given.wavelength_unit, given.flux_unit)
        vega = read_spectrum(others[0], given.wavelength, given.flux, defaults=defaults)
    try:
        return photon_weights(SAMPLES_NM, wavelength, transmission, config.system, vega)
    except CalibrationError as error:
        raise DataError(f"{path}: {error}") from None


def example(directory: Path) -> XpSyntheticConfig:
    """Write a passband, no camera's own, and return settings that name it from anywhere."""
    path = directory.resolve() / "passband.csv"
    path.write_text("wavelength,transmission\n450,0\n500,1\n550,1\n600,0\n", encoding="utf-8")
    return XpSyntheticConfig(passband=Passband(file=str(path)))


def _existing(config: XpSyntheticConfig, root: Path) -> list[Path]:
    found = files(config, root)
    for path in found:
        if not path.is_file():
            raise DataError(f"{path}: no such file; put it there or set {KEY}.passband.file")
    return found


def check(part: Part, config: XpSyntheticConfig) -> None:
    """Read the first rows of a part; raises DataError where that fails."""
    if "columns" in part.detail:
        gaia_parts.check(part, config.gaia())


def read_sources(
    part: Part,
    config: XpSyntheticConfig,
    footprint: Footprint | None,
    corrections: Sequence[ChosenCorrection],
) -> ReferenceStars:
    """Read the stars of one part that lie in the footprint and have a spectrum.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    return gaia_sources.read_sources(part, config.gaia(), footprint, corrections)


def read_features(
    part: Part,
    config: XpSyntheticConfig,
    stars: ReferenceStars,
    corrections: Sequence[ChosenCorrection],
) -> Quantities:
    """Return the colours m_syn - reference magnitude of the stars given.

    m_syn counts photons of the observed spectrum: neither dereddening nor training comes in.
    Its error is that of the coefficients, with their correlations; the error of the
    reference magnitude drops out of the predicted magnitude.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    found: list[Found] = []
    if "weights" in part.detail:
        found = read_fluxes(part, stars, corrections, through(part.detail["weights"]))
    star = np.concatenate([np.empty(0, np.int64), *(each.star for each in found)])
    flux, error = (
        np.concatenate([np.empty(0), *(getattr(each, name)[:, 0] for each in found)])
        for name in ("flux", "error")
    )
    bright = flux > 0
    safe = np.where(bright, flux, np.nan)
    mag = -2.5 * np.log10(safe) + (0.0 if config.vega is None else config.vega.magnitude)
    return Quantities(
        source_id=np.array(stars["source_id"][star]),
        names=("colour",),
        values=(mag - stars["reference_mag"][star])[:, None],
        errors=(MAG_PER_RELATIVE * error / safe)[:, None],
        snr=flux / np.where(error > 0, error, np.nan),
        flags=np.concatenate([np.empty(0, np.uint8), *(each.flags for each in found)]),
    )


def through(weights: FloatArray) -> Target:
    """Return the target that weights of the 343 samples make: a flux through a passband."""
    sampled = load_operator("sampled")
    column = weights[:, None]
    centre = np.array([float(weights @ sampled.wavelength_nm / weights.sum())])
    return Target(
        XpOperator(centre, sampled.bp @ column, sampled.rp @ column, sampled.provenance),
        lambda samples: samples @ column,
        lambda errors: np.sqrt(errors**2 @ column**2),
    )
