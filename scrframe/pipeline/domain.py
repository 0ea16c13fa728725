"""Which stars the training stars do not represent, as flags of products."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scrframe.scr.domain import (
    OUTSIDE_SHAPE,
    OUTSIDE_SNR,
    OUTSIDE_SPECTRUM,
    Domain,
    DomainGuard,
    DomainSettings,
)
from scrframe.tables import FLAG_BITS, MatchedStars

_FLAGS = {
    OUTSIDE_SPECTRUM: "outside_spectrum",
    OUTSIDE_SHAPE: "outside_shape",
    OUTSIDE_SNR: "outside_snr",
}


def outside_domain(
    sample: MatchedStars, reserved: npt.NDArray[np.bool_], inside: float, seed: int
) -> npt.NDArray[np.int32]:
    """Return flags of stars unlike the control stars, shape (s,), 0 for those alike.

    Parameters are those of `star_domain`.
    """
    return domain_flags(star_domain(sample, reserved, inside, seed))


def star_domain(
    sample: MatchedStars, reserved: npt.NDArray[np.bool_], inside: float, seed: int
) -> Domain:
    """Return how far stars are from the control stars, s rows, and in what respect.

    Parameters
    ----------
    sample : MatchedStars
    reserved : ndarray of bool, shape (s,)
        These do not stand for the training stars.
    inside : float
        Share of the training stars that count as inside, by each criterion.
    seed : int
    """
    snr = _star_snr(sample)
    training = np.zeros(len(sample.stars), dtype=bool)
    training[sample.star[sample.in_control]] = True
    training &= ~reserved
    guard = DomainGuard.fit(
        sample.features[training], snr[training], DomainSettings(quantile=1 - inside, seed=seed)
    )
    return guard.judge(sample.features, snr)


def _star_snr(sample: MatchedStars) -> npt.NDArray[np.float64]:
    """Return the S/N of each star, shape (s,); 1 for all if the catalogue gives none."""
    snr = np.ones(len(sample.stars))
    for name in ("xp_snr", "snr"):
        if name in sample.detections and np.isfinite(sample.detections[name]).any():
            snr[sample.star] = sample.detections[name]
    return snr


def domain_flags(domain: Domain) -> npt.NDArray[np.int32]:
    """Return what a domain says of stars as flags of products, shape (s,)."""
    flags = np.zeros(len(domain.reason), dtype=np.int32)
    for bit, name in _FLAGS.items():
        flags[(domain.reason & bit) > 0] |= FLAG_BITS[name]
    return flags
