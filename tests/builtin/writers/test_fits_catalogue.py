"""Corrected FITS catalogues, judged by astropy and byte by byte against their input."""

from __future__ import annotations

import gzip
import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from scrframe.builtin.writers import fits_catalogue
from scrframe.errors import DataError
from scrframe.plugin import NoConfig, Part
from scrframe.tables import CORRECTION_LEVELS, FLAG_BITS, Corrections, Detections

ADDED = [
    "MAG_OBS",
    "MAG_CAL",
    "OFFSET_VISIT",
    "OFFSET_CCD",
    "OFFSET_PIXEL",
    "OFFSET_TOTAL",
    "CAL_FLAGS",
]
ROWS = {1: 7, 2: 5, 3: 0}
FPACKED = Path(__file__).parents[2] / "io" / "fits" / "data"


def table(rows: int, seed: int, *, heap: bool = False) -> fits.BinTableHDU:
    generator = np.random.default_rng(seed)
    columns = [
        fits.Column("FLUX", "1E", unit="ADU", array=generator.normal(size=rows).astype("f4")),
        fits.Column("NAME", "5A", array=[f"s{row}" for row in range(rows)]),
    ]
    if heap:
        ragged = np.empty(rows, dtype=object)
        ragged[:] = [np.arange(row + 1) for row in range(rows)]
        columns.append(fits.Column("LIST", "PJ()", array=ragged))
    return fits.BinTableHDU.from_columns(columns)


def write_input(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    primary = fits.PrimaryHDU()
    primary.header["OBJECT"] = ("field", "name of the field")
    primary.header["HIERARCH ESO OBS NAME"] = "p88"
    tables = [table(rows, index) for index, rows in ROWS.items()]
    hdus = fits.HDUList([primary, *tables, fits.ImageHDU(np.arange(6.0).reshape(2, 3))])
    for hdu in hdus:
        hdu.add_checksum()
    hdus.writeto(path)
    return path


def make_detections(rows: dict[int, list[int]], visit: str = "field_55925.12346") -> Detections:
    extension = np.concatenate([np.full(len(which), e) for e, which in rows.items()]).astype("i2")
    row = np.concatenate([np.asarray(which, dtype="i4") for which in rows.values()])
    count = len(row)
    generator = np.random.default_rng(count)
    zeros = np.zeros(count)
    return Detections.from_columns(
        {
            "visit": [visit] * count,
            "band": ["u"] * count,
            "file": ["c"] * count,
            "ccd": extension,
            "extension": extension,
            "row": row,
            "ra": zeros,
            "dec": zeros,
            "mjd": zeros,
            "x": zeros,
            "y": zeros,
            "mag": generator.uniform(14, 21, count),
            "mag_err": zeros + 0.01,
        }
    )


def make_corrections(count: int) -> Corrections:
    generator = np.random.default_rng(7)
    levels = {name: generator.normal(0, 0.06, count) for name in ("visit", "ccd", "pixel")}
    total = np.sum(list(levels.values()), axis=0) + 0.0123
    return Corrections(levels, total, generator.integers(0, 64, count).astype(np.int32))


def of_joint(count: int) -> Corrections:
    """Return corrections as a joint solution gives them."""
    plain, generator = make_corrections(count), np.random.default_rng(8)
    errors = {
        name: generator.uniform(0.001, 0.05, count)
        for name in ("offset_total_err", "mag_cal_err", "mag_cal_sys")
    }
    level = (np.arange(count) % len(CORRECTION_LEVELS)).astype(np.int16)
    return replace(plain, errors=errors, level=level)


Run = Callable[..., tuple[Path, Detections, Corrections]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that corrects a file below ``tmp_path/root``."""

    def correct(
        path: Path,
        rows: dict[int, list[int]] | None = None,
        note: str = "",
        make: Callable[[int], Corrections] = make_corrections,
        **more: str,
    ) -> tuple[Path, Detections, Corrections]:
        rows = {1: list(range(7)), 2: list(range(5))} if rows is None else rows
        detections = make_detections(rows, **more)
        corrections = make(len(detections))
        (written,) = fits_catalogue.write(
            Part("key", path, "1", {}),
            detections,
            corrections,
            tmp_path / "root",
            tmp_path / "out",
            NoConfig(),
            note,
        )
        return written, detections, corrections

    return correct


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_input(tmp_path / "root" / "deep" / "cat.fits")


def original_bytes(hdu: fits.BinTableHDU, names: list[str]) -> bytes:
    rows = hdu.data.view(np.ndarray)
    packed = np.dtype([(name, rows.dtype[name]) for name in names])
    return np.ascontiguousarray(rows[names].astype(packed)).tobytes()


def test_every_original_byte_and_every_correction(source: Path, tmp_path: Path, run: Run) -> None:
    written, detections, corrections = run(source)
    assert written == tmp_path / "out" / "deep" / "cat.fits"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(written, checksum=True) as new, fits.open(source) as old:
            new.verify("exception")
            assert len(new) == len(old)
            assert new[4].header.tostring() == old[4].header.tostring()
            np.testing.assert_array_equal(new[4].data, old[4].data)
            for index in (1, 2, 3):
                names = old[index].columns.names
                assert new[index].columns.names == [*names, *ADDED]
                assert original_bytes(new[index], names) == original_bytes(old[index], names)
                data, here = new[index].data, detections["extension"] == index
                np.testing.assert_array_equal(data["MAG_OBS"], detections["mag"][here])
                np.testing.assert_array_equal(data["CAL_FLAGS"], corrections.flags[here])
                for name, values in corrections.by_level.items():
                    np.testing.assert_array_equal(data[f"OFFSET_{name.upper()}"], values[here])
                np.testing.assert_array_equal(
                    data["MAG_CAL"], data["MAG_OBS"] + data["OFFSET_TOTAL"]
                )
                units = [new[index].columns[name].unit for name in ADDED]
                assert units == ["mag"] * 6 + [None]
    assert written.stat().st_size % 2880 == 0


JOINT = {
    "OFFSET_TOTAL_ERR": "offset_total_err",
    "MAG_CAL_ERR": "mag_cal_err",
    "MAG_CAL_SYS": "mag_cal_sys",
}


def test_errors_and_level_of_a_joint_solution(source: Path, run: Run) -> None:
    written, detections, corrections = run(source, {1: [6, 2, 4], 2: [3, 0]}, make=of_joint)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(written, checksum=True) as new:
            new.verify("exception")
            for index in (1, 2, 3):
                columns = new[index].columns
                assert columns.names[-5:] == [*JOINT, "OFFSET_LEVEL", "CAL_FLAGS"]
                assert [columns[name].unit for name in JOINT] == ["mag"] * 3
                assert [columns[name].format for name in JOINT] == ["1D"] * 3
                assert columns["OFFSET_LEVEL"].format == "1I"
            for index in (1, 2):
                data, here = new[index].data, detections["extension"] == index
                row = detections["row"][here]
                left_out = np.setdiff1d(np.arange(len(data)), row)
                for name, key in JOINT.items():
                    np.testing.assert_array_equal(data[name][row], corrections.errors[key][here])
                    assert np.isnan(data[name][left_out]).all()
                assert corrections.level is not None
                np.testing.assert_array_equal(data["OFFSET_LEVEL"][row], corrections.level[here])
                assert set(data["OFFSET_LEVEL"][left_out]) == {0}


def test_header_explains_errors_and_levels_where_they_are(source: Path, run: Run) -> None:
    joint = list(fits.getheader(run(source, make=of_joint)[0])["HISTORY"])
    for name in JOINT:
        assert sum(line.startswith(f"{name}: ") for line in joint) == 1
    levels = [line for line in joint if re.match(r"OFFSET_LEVEL \d", line)]
    assert levels == [f"OFFSET_LEVEL {code}: {name}" for code, name in enumerate(CORRECTION_LEVELS)]
    bits = {f"CAL_FLAGS value {bit}: {name}" for name, bit in FLAG_BITS.items()}
    assert bits <= set(joint)
    sequential = str(fits.getheader(run(source)[0])["HISTORY"])
    assert not any(name in sequential for name in (*JOINT, "OFFSET_LEVEL"))


@pytest.mark.parametrize("name", ["total", "TOTAL", "Visit", "level"])
def test_levels_whose_columns_would_be_one(source: Path, run: Run, name: str) -> None:
    def clashing(count: int) -> Corrections:
        plain = of_joint(count)
        return replace(plain, by_level={**plain.by_level, name: np.zeros(count)})

    with pytest.raises(DataError, match=f"two columns would be called OFFSET_{name.upper()}"):
        run(source, make=clashing)


def test_headers_keep_their_cards_in_order(source: Path, run: Run) -> None:
    written, *_ = run(source)
    changed = {"NAXIS1", "TFIELDS"}
    with fits.open(written) as new, fits.open(source) as old:
        for after, before in zip(new, old, strict=True):
            if after.is_image and after is not new[0]:
                continue
            kept = [
                str(card)
                for card in before.header.cards
                if card.keyword not in {*changed, "CHECKSUM", "DATASUM"}
            ]
            cards = [str(card) for card in after.header.cards if card.keyword not in changed]
            assert cards[: len(kept)] == kept
        for sums in ("CHECKSUM", "DATASUM"):
            assert sums not in new[1].header


def test_rows_are_found_in_any_order_and_missing_ones_flagged(source: Path, run: Run) -> None:
    written, detections, _ = run(source, {2: [3, 0], 1: [6, 2, 4]})
    with fits.open(written) as hdus:
        first, second = hdus[1].data, hdus[2].data
        np.testing.assert_array_equal(second["MAG_OBS"][[3, 0]], detections["mag"][:2])
        np.testing.assert_array_equal(first["MAG_OBS"][[6, 2, 4]], detections["mag"][2:])
        left_out = first[[0, 1, 3, 5]]
        for name in ADDED[:-1]:
            assert np.isnan(left_out[name]).all()
        assert set(left_out["CAL_FLAGS"]) == {FLAG_BITS["no_magnitude"]}


def test_provenance_in_the_primary_header(source: Path, run: Run) -> None:
    note = "simulated u magnitudes on real Gaia XP spectra"
    written, *_ = run(source, note=note)
    header = fits.getheader(written)
    assert header["SCRVISIT"] == "field_55925.12346"
    assert header["SCRNOTE"] == note
    assert header["SCRMSYS"] == "survey's own"
    assert header["SCRVERS"] == fits_catalogue.__version__
    assert note in str(header["HISTORY"])
    assert header["OBJECT"] == "field"
    assert header.comments["OBJECT"] == "name of the field"


def test_long_and_strange_visit_keys(source: Path, run: Run) -> None:
    key = "a visit with a very long name, " * 5 + "é"
    written, *_ = run(source, visit=key)
    with fits.open(written) as hdus:
        hdus.verify("exception")
        assert hdus[0].header["SCRVISIT"] == key.replace("é", "?")


def test_same_input_gives_the_same_bytes_gzipped_too(
    source: Path, tmp_path: Path, run: Run
) -> None:
    plain = run(source)[0].read_bytes()
    assert run(source)[0].read_bytes() == plain
    packed = tmp_path / "root" / "cat.fits.gz"
    packed.write_bytes(gzip.compress(source.read_bytes()))
    written, *_ = run(packed)
    assert written == tmp_path / "out" / "cat.fits.gz"
    first = written.read_bytes()
    assert gzip.decompress(first) == plain
    assert run(packed)[0].read_bytes() == first


def test_variable_length_arrays_move_with_their_heap(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "root" / "heap.fits"
    path.parent.mkdir()
    hdus = fits.HDUList([fits.PrimaryHDU(), table(6, 1, heap=True)])
    hdus.writeto(path)
    written, *_ = run(path, {1: list(range(6))})
    with fits.open(written) as new, fits.open(path) as old:
        new.verify("exception")
        assert new[1].header["PCOUNT"] == old[1].header["PCOUNT"] > 0
        for row in range(6):
            np.testing.assert_array_equal(new[1].data["LIST"][row], old[1].data["LIST"][row])


def test_heap_behind_a_gap(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "root" / "gap.fits"
    path.parent.mkdir()
    fits.HDUList([fits.PrimaryHDU(), table(6, 1, heap=True)]).writeto(path)
    content = path.read_bytes()
    header = fits.getheader(path, 1)
    gap = 40
    start = len(content) - 2880 + header["NAXIS1"] * header["NAXIS2"]
    header["THEAP"] = header["NAXIS1"] * header["NAXIS2"] + gap
    header["PCOUNT"] += gap
    data = content[len(content) - 2880 : start] + bytes(gap) + content[start:-gap]
    path.write_bytes(content[:2880] + header.tostring().encode("ascii") + data)
    written, *_ = run(path, {1: list(range(6))})
    with fits.open(written) as new:
        new.verify("exception")
        assert new[1].header["THEAP"] == new[1].header["NAXIS1"] * 6 + gap
        for row in range(6):
            np.testing.assert_array_equal(new[1].data["LIST"][row], np.arange(row + 1))


def test_compressed_tables_become_ordinary_ones(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "root" / "fpacked.fits.fz"
    path.parent.mkdir()
    shutil.copy(FPACKED / "fpacked.fits.fz", path)
    written, *_ = run(path, {1: list(range(130)), 2: list(range(7))})
    assert written.name == path.name
    with fits.open(written) as new, fits.open(FPACKED / "fpacked.fits") as old:
        new.verify("exception")
        for after, before in zip(new[1:], old[1:], strict=True):
            assert "ZTABLE" not in after.header
            names = before.columns.names
            assert original_bytes(after, names) == original_bytes(before, names)


def test_tables_without_detections(source: Path, run: Run) -> None:
    """An empty table of the same columns keeps the layout of the others; others stay."""
    with fits.open(source, lazy_load_hdus=False) as hdus:
        hdus.append(fits.BinTableHDU.from_columns([fits.Column("A", "1J", array=[1, 2])]))
        hdus.writeto(source.with_name("more.fits"))
    written, *_ = run(source.with_name("more.fits"))
    with fits.open(written) as new:
        assert new[3].columns.names[-1] == "CAL_FLAGS"
        assert new[5].columns.names == ["A"]
        assert new[5].data["A"].tolist() == [1, 2]


def test_corrected_file_is_not_corrected_again(source: Path, tmp_path: Path, run: Run) -> None:
    written, *_ = run(source)
    again = tmp_path / "root" / "again.fits"
    shutil.copy(written, again)
    with pytest.raises(DataError, match="extension 1 has a column MAG_OBS already") as caught:
        run(again)
    assert str(again) in str(caught.value)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({1: [0, 7]}, "extension 1: the detections' row numbers do not fit its 7 rows"),
        ({1: [2, 2]}, "extension 1: the detections' row numbers do not fit"),
        ({9: [0]}, "has no table in extension 9"),
        ({4: [0]}, "has no table in extension 4"),
    ],
)
def test_detections_of_another_file(
    source: Path, run: Run, rows: dict[int, list[int]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        run(source, rows)


def test_input_is_never_overwritten(source: Path, tmp_path: Path) -> None:
    before = source.read_bytes()
    detections = make_detections({1: [0]})
    with pytest.raises(DataError, match="is the input itself"):
        fits_catalogue.write(
            Part("key", source, "1", {}),
            detections,
            make_corrections(1),
            tmp_path / "root",
            tmp_path / "root",
            NoConfig(),
            "",
        )
    assert source.read_bytes() == before


def test_file_outside_the_root_keeps_its_name(tmp_path: Path, run: Run) -> None:
    path = write_input(tmp_path / "elsewhere" / "cat.fits")
    assert run(path)[0] == tmp_path / "out" / "cat.fits"


def test_damaged_input(source: Path, tmp_path: Path, run: Run) -> None:
    source.write_bytes(source.read_bytes()[:-2900])
    with pytest.raises(DataError, match="truncated"):
        run(source)
    assert not (tmp_path / "out").exists()
