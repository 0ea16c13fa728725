"""The figures of merit of the paper whose method this is, for comparison.

Chen, Yuan & Huang, "Photometric Re-calibration of VPHAS+ u-band Photometry with the Stellar
Colour Regression Method and Gaia DR3". They are of the u band of VPHAS+ DR4; sections and
equations are the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

#: Heading of the paper's column.
PAPER = "paper (VPHAS+ DR4 u)"

#: Section 2.3.
CALIBRATION_STARS = 2_974_582
CONTROL_STARS = 18_002
#: Section 4, on the quarter of the control stars that was not trained on.
R2 = 0.98
DISPERSION_MAG = 0.064
#: Equation 4, highest power first, and the offset of Eq. 1.
LAW = (0.042, 0.027, 1.42)
DM_MAG = 0.009
#: Sections 4.1.1 to 4.1.3: standard deviation of the offsets of each level.
LEVEL_SD_MAG: Mapping[str, float] = MappingProxyType({"visit": 0.063, "ccd": 0.022, "pixel": 0.009})
#: Section 4.2: Gaussian fits to model less observed magnitudes.
SPREAD_BEFORE_MAG = 0.088
SPREAD_AFTER_MAG = 0.065
U_ZP_MAG = 0.009
UNCORRECTED_FRACTION = 0.016


def law_ratio(colour0_mag: float) -> float:
    """Return R of the paper's Eq. 4 at an intrinsic colour in mag."""
    a0, a1, a2 = LAW
    return (a0 * colour0_mag + a1) * colour0_mag + a2
