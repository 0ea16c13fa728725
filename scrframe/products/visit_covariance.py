"""The covariance of the visits' offsets as a file: a whole matrix, or of many visits pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from scrframe.arrays import FloatArray
from scrframe.offsets.joint.visit_errors import DRAWS, SOLVED
from scrframe.products.files import damaged, replacing
from scrframe.statistics.covariance import Covariance, variances

COVARIANCE = "visit_covariance.fits"


def write_visit_covariance(
    path: Path, visits: tuple[str, ...], covariance: Covariance, note: str
) -> None:
    """Write the covariance of the visits' offsets in mag^2, and the visits' names.

    A whole matrix is an image; of many visits there are variances, and a table of those pairs
    that share stars.
    """
    from astropy.io import fits  # noqa: PLC0415 - slow to import
    from astropy.table import Table  # noqa: PLC0415 - slow to import

    names: dict[str, Any] = {"visit": np.array(visits, dtype=np.str_)}
    pairs = None
    if isinstance(covariance, sparse.csr_array):
        image, names["variance"] = fits.PrimaryHDU(), variances(covariance)
        image.header["COMMENT"] = "covariance of the visits' offsets, of those that share stars"
        image.header["COMMENT"] = "rows of PAIRS count from 0 in VISITS; of other pairs it is small"
        if len(visits) > SOLVED:
            image.header["COMMENT"] = f"estimated from {DRAWS} draws of the joint solution"
        upper = sparse.coo_array(sparse.triu(covariance, k=1))
        first, second = (part.astype(np.int32) for part in upper.coords)
        pairs = Table({"first": first, "second": second, "covariance": upper.data})
    else:
        image = fits.PrimaryHDU(covariance)
        image.header["BUNIT"] = "mag2"
        image.header["COMMENT"] = "covariance of the visits' offsets; rows as in the table VISITS"
    if note:
        image.header["SCRNOTE"] = note
    hdus = [image, fits.BinTableHDU(Table(names), name="VISITS")]
    if pairs is not None:
        hdus.append(fits.BinTableHDU(pairs, name="PAIRS"))
    with replacing(path) as temporary:
        fits.HDUList(hdus).writeto(temporary, overwrite=True)


def read_visit_covariance(folder: Path) -> tuple[tuple[str, ...], Covariance] | None:
    """Return visits and the covariance of their offsets in mag squared; None if not written.

    Raises DataError if the file is damaged.
    """
    from astropy.io import fits  # noqa: PLC0415 - slow to import

    path = folder / COVARIANCE
    if not path.exists():
        return None
    try:
        with fits.open(path, memmap=False) as hdus:
            names = tuple(str(name).strip() for name in hdus["VISITS"].data["visit"])
            if "PAIRS" in hdus:
                return names, _paired(hdus["VISITS"].data["variance"], hdus["PAIRS"].data)
            return names, np.asarray(hdus[0].data, dtype=np.float64)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise damaged(path, error) from None


def _paired(variance: FloatArray, pairs: Any) -> sparse.csr_array:
    """Return variances and the covariances of pairs as one matrix."""
    size = len(variance)
    first, second = (np.asarray(pairs[name], dtype=np.int64) for name in ("first", "second"))
    value, own = np.asarray(pairs["covariance"], dtype=np.float64), np.arange(size)
    rows = np.concatenate([own, first, second]), np.concatenate([own, second, first])
    data = np.concatenate([np.asarray(variance, dtype=np.float64), value, value])
    return sparse.csr_array((data, rows), shape=(size, size))
