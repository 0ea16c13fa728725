"""What a simulation hands to the plugins that write it in their real formats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True)
class SimulatedVisit:
    """One visit of a simulated survey.

    Attributes
    ----------
    field : str
        Name of the pointing.
    number : int
        Running number of the visit in the survey, from 1.
    pointing : int
        Number of the pointing within its field, from 1.
    ra_deg, dec_deg : float
        Centre of the pointing.
    mjd : float
        Modified Julian date of the start.
    exposure_time_s, airmass, seeing_arcsec : float
        As they stand in the headers.
    band : str
        Band.
    detections : pyarrow.Table
        Columns ccd, x, y (pix), ra, dec (deg), mag, mag_err (mag, as catalogued),
        classification; sorted by ccd, and to be written in this order.
    """

    field: str
    number: int
    pointing: int
    ra_deg: float
    dec_deg: float
    mjd: float
    exposure_time_s: float
    airmass: float
    seeing_arcsec: float
    band: str
    detections: pa.Table


@dataclass(frozen=True)
class SimulatedStars:
    """Stars of a simulated survey, as a reference or extinction catalogue writes them.

    Attributes
    ----------
    table : pyarrow.Table
        Columns source_id, ref_ra, ref_dec (deg, at `ref_epoch`), pmra, pmdec (mas / yr),
        g_mag, bp_mag, rp_mag, reference_mag_err, phot_bp_rp_excess_factor,
        has_spectrum (bool), extinction, extinction_err, quality_flags, teff, logg, feh,
        parallax (mas).
    coefficients : ndarray of float64, shape (s, m)
        Spectrum coefficients of the stars with a spectrum, in table order.
    coefficient_errors : ndarray of float64, shape (s, m)
        Their errors.
    correlations : ndarray of float64, shape (t, packed)
        A few correlation matrices, packed as the format packs them.
    correlation_of : ndarray of int64, shape (s,)
        Which of them holds for each star.
    ref_epoch : float
        Epoch of the positions (Julian year).
    """

    table: pa.Table
    coefficients: npt.NDArray[np.float64]
    coefficient_errors: npt.NDArray[np.float64]
    correlations: npt.NDArray[np.float64]
    correlation_of: npt.NDArray[np.int64]
    ref_epoch: float
