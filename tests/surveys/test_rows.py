"""Rows as archives answer them, written by hand: what each description makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import scrframe
from scrframe.builtin.survey_loaders.table import loader
from scrframe.tables import Detections

ROOT = Path(__file__).parents[2]


def read(name: str, root: Path, files: dict[str, str]) -> Detections:
    """Write files below a data root and read the catalogue as the description says."""
    config = scrframe.load_survey(ROOT / "surveys" / f"{name}.yaml").loader.settings
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        lines = [line.strip().replace(" ", "") for line in text.strip().splitlines()]
        (root / path).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (part,) = loader.parts(config, root)
    return loader.read(part, config, None)


def labels(found: Detections, name: str) -> list[str]:
    codes, names = found.codes(name)
    return [names[code] for code in codes]


FLAGS = (
    "pixelFlags_bad,pixelFlags_saturated,pixelFlags_suspect,pixelFlags_crCenter,"
    "pixelFlags_interpolatedCenter,pixelFlags_edge,pixelFlags_nodata,pixelFlags_offimage,"
    "psfFlux_flag,centroid_flag,invalidPsfFlag,sky_source"
)


def rubin_flags(bad: int | None = None) -> str:
    return ",".join("True" if number == bad else "False" for number in range(12))


def test_rubin(tmp_path: Path) -> None:
    head = f"visit,detector,band,ra,dec,x,y,psfFlux,psfFluxErr,extendedness,{FLAGS},deblend_nChild"
    place = "53.1,-28.1,0.0,3999.25"
    rows = [
        f"2024111500123,4,u,{place},1000000.0,1000.0,0.0,{rubin_flags()},0",
        f"2024111500123,0,u,{place},-50.0,1000.0,,{rubin_flags()},0",  # no magnitude, no class
        f"2024111500123,4,g,{place},1000000.0,1000.0,0.0,{rubin_flags()},0",  # another band
        f"2024111500123,4,u,{place},1000000.0,1000.0,0.0,{rubin_flags()},3",  # a parent
        *(
            f"2024111500123,4,u,{place},1000000.0,1000.0,0.0,{rubin_flags(number)},0"
            for number in range(12)
        ),
        f"2024111500123,4,u,{place},1000000.0,1000.0,0.0,{rubin_flags()},",  # children not told
    ]
    found = read(
        "rubin_dp1_u",
        tmp_path,
        {
            "dp1_source/part.csv": "\n".join([head, *rows]),
            "dp1_visit/visits.csv": """
                visit,ra,dec,expMidptMJD,expTime,airmass
                2024111500123,53.2,-28.0,60630.25,30.0,1.1
                2024111500124,59.1,-48.7,60630.30,30.0,1.2""",
        },
    )
    assert len(found) == len(rows) - 1
    assert set(labels(found, "visit")) == {"2024111500123"}
    # AB: 31.4 - 2.5 log10(flux / nJy); 1.0857 times the relative error.
    assert found["mag"][0] == pytest.approx(31.4 - 15.0, abs=1e-4)
    assert found["mag_err"][0] == pytest.approx(1.085736e-3, rel=1e-5)
    assert np.isnan(found["mag"][1]) and np.isnan(found["extendedness"][1])
    assert (found["x"][0], found["y"][0]) == (1.0, 4000.25)
    assert (found["mjd"][0], found["airmass"][0], found["exposure_time"][0]) == (60630.25, 1.1, 30)
    assert found["ccd"][:2].tolist() == [4, 0]
    # Only the first two are clean: each flag, and having children, is bad.
    assert found["usable"].tolist() == [True, True] + [False] * 14
    assert found["row"].tolist() == [0, 1, *range(3, len(rows))]


def test_nsc(tmp_path: Path) -> None:
    found = read(
        "nsc_dr2_u",
        tmp_path,
        {
            "nsc_meas/region.csv": """
            exposure,ccdnum,filter,ra,dec,x,y,mjd,mag_auto,magerr_auto,flags,class_star
            c4d_141017_041500_ooi_u_v1,25,u,25.1,-30.2,1.0,4096.0,56947.177,18.5,0.012,0,0.98
            c4d_141017_041500_ooi_u_v1,62,u,25.2,-30.1,700.5,12.25,56947.177,99.99,9.99,0,0.35
            c4d_141017_041500_ooi_u_v1,25,u,25.3,-30.2,8.0,9.0,56947.177,17.5,0.0001,1,0.98
            c4d_141017_041500_ooi_u_v1,25,u,25.3,-30.2,8.0,9.0,56947.177,15.5,0.002,4,0.98
            c4d_141018_041500_ooi_g_v1,25,g,25.3,-30.2,8.0,9.0,56948.177,17.5,0.002,0,0.98
            ksb_160101_000000_ooi_u_v1,1,u,25.3,-30.2,8.0,9.0,57388.0,17.5,0.002,0,0.98""",
            "nsc_exposure/exposures.csv": """
            exposure,ra,dec,mjd,exptime,airmass,instrument
            c4d_141017_041500_ooi_u_v1,25.0,-30.0,56947.177,300.0,1.05,c4d
            c4d_141018_041500_ooi_g_v1,25.0,-30.0,56948.177,300.0,1.05,c4d
            ksb_160101_000000_ooi_u_v1,25.0,-30.0,57388.0,300.0,1.05,ksb""",
        },
    )
    assert len(found) == 4  # u of DECam
    assert found["mag"][[0, 2]].tolist() == [18.5, 17.5]
    assert np.isnan(found["mag"][1])  # 99.99 is none
    assert found["mag_err"][2] == 0.001  # errors are at least a mmag
    assert (found["x"][0], found["y"][0], found["ccd"][1]) == (1.0, 4096.0, 62)
    assert found["usable"].tolist() == [True, True, False, False]
    assert len(set(labels(found, "field"))) == 1


@pytest.mark.parametrize("band", ["u", "v"])
def test_skymapper(tmp_path: Path, band: str) -> None:
    other = {"u": "v", "v": "u"}[band]
    found = read(
        f"skymapper_dr4_{band}",
        tmp_path,
        {
            "skymapper_photometry/part.csv": f"""
            image_id,ccd,filter,ra_img,decl_img,x_img,y_img,mag_psf,e_mag_psf,flags,nimaflags
            20150915123456,1,{band},25.1,-30.2,1814.12,2801.09,15.3408,0.037,0,0
            20150915123456,32,{band},25.2,-30.1,1.0,4096.0,15.1476,0.0775,3,4
            20150915123456,32,{band},25.2,-30.1,1.0,4096.0,,,4,0
            20150915123456,32,{band},25.2,-30.1,1.0,4096.0,15.2,0.02,16384,0
            20150915123456,32,{other},25.2,-30.1,1.0,4096.0,15.2,0.02,0,0""",
            "skymapper_ccds/ccds.csv": """
            image_id,ccd,mjd_obs
            20150915123456,1,57280.5
            20150915123456,32,57280.5""",
            "skymapper_images/images.csv": """
            image_id,field_id,airmass,exp_time
            20150915123456,1234,1.07,100.0""",
        },
    )
    assert labels(found, "visit") == ["20150915123456"] * 4
    assert labels(found, "field") == ["1234"] * 4
    assert found["ccd"].tolist() == [1, 32, 32, 32]
    assert found["mag"][:2].tolist() == [15.3408, 15.1476] and np.isnan(found["mag"][2])
    assert found["nimaflags"].tolist() == [0, 4, 0, 0]
    # 1 and 2 are neighbours and blends; 4 and above are saturation and worse.
    assert found["usable"].tolist() == [True, True, False, False]
    assert (found["mjd"] == 57280.5).all() and (found["exposure_time"] == 100).all()


def test_sdss(tmp_path: Path) -> None:
    binned, saturated, interpolated = 1 << 28, 1 << 18, 1 << 47
    found = read(
        "sdss_s82_u",
        tmp_path,
        {
            "sdss_photoobj/part.csv": f"""
            run,camcol,field,ra,dec,rowc_u,colc_u,type,psfMag_u,psfMagErr_u,flags_u
            4192,3,120,25.1,-0.2,64.5,0.5,6,18.25,0.014,{binned}
            4192,3,120,25.1,-0.2,700.0,2047.5,3,19.25,0.020,{binned | 1 << 60}
            4192,6,121,25.3,1.1,10.0,20.0,6,18.25,0.014,{binned | saturated}
            4192,6,121,25.3,1.1,10.0,20.0,6,18.25,0.014,{binned | interpolated}
            4192,6,121,25.3,1.1,10.0,20.0,6,-9999,-9999,0""",
            "sdss_field/fields.csv": """
            run,camcol,field,mjd_u,airmass_u,psfWidth_u,raMin,decMin
            4192,3,120,52909.25,1.19,1.4,25.0,-0.4
            4192,6,121,52909.2504,1.19,1.5,25.1,1.0""",
        },
    )
    assert labels(found, "visit") == ["4192-120"] * 2 + ["4192-121"] * 3
    assert found["ccd"].tolist() == [3, 3, 6, 6, 6]
    # The centre of the first pixel: 0.5 in SDSS, 1 here.
    assert (found["x"][0], found["y"][0], found["x"][1]) == (1.0, 65.0, 2048.0)
    assert found["classification"][:2].tolist() == [6, 3]
    assert np.isnan(found["mag"][4])
    assert found["usable"].tolist() == [True, True, False, False, False]
    assert found["seeing"].tolist() == [1.4, 1.4, 1.5, 1.5, 1.5]
