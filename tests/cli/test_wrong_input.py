"""Wrong input of every kind: one clear line, exit code 2, nothing written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

RUN = ("--out", "new/folder/run", "--workers", "1")


@pytest.fixture
def edited(tiny_survey, tmp_path):
    """Return a writer of the description with one text replaced by another."""

    def write(old: str, new: str) -> Path:
        text = tiny_survey.description.read_text(encoding="utf-8")
        assert text.count(old) >= 1
        path = tmp_path / "survey.yaml"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return path

    return write


DESCRIPTIONS = {
    "unknown key": ("band: u\n", "band: u\nnonsense: 1\n", ":4:1: ", "nonsense"),
    "misspelt key": ("min_stars: 20", "min_star: 20", ":", 'did you mean "min_stars"?'),
    "misspelt key of a plugin": ("trees: 100", "treees: 100", ":", 'did you mean "trees"?'),
    "duplicate key": ("band: u\n", "band: u\nband: g\n", ":4:1: ", "band"),
    "wrong unit": ("1 arcsec", "1 mag", ":", 'has unit "mag"; expected arcsec'),
    "no unit": ("256 pix", "256", ":", "expected pix"),
    "tag": ("name: vphas_u", "name: !!python/object/apply:os.getcwd []", ":2:7: ", "tag"),
    "misspelt plugin": ("kind: vphas_casu", "kind: vphas_cassu", ":", 'did you mean "vphas_casu"?'),
    "misspelt column": ("mag < 21.5", "magg < 21.5", ":", 'did you mean "mag"?'),
    "no expression": ("mag < 21.5", "mag < < 21.5", ":", "mag < < 21.5"),
    "call of a function": ("mag < 21.5", "print(mag) < 21.5", ":", "print"),
    "broken YAML": ("[visit, ccd]}", "[visit, ccd}", ":", ""),
}


@pytest.mark.parametrize("what", DESCRIPTIONS)
@pytest.mark.parametrize("command", ["calibrate", "validate"])
def test_wrong_description(refused, edited, command, what):
    old, new, place, message = DESCRIPTIONS[what]
    path = edited(old, new)
    line = refused(command, path)
    assert line.startswith(f"error: {path}{place}")
    assert message in line


def test_several_mistakes_are_several_lines(scrframe_command, edited):
    path = edited("min_stars: 20", "min_star: 20")
    path.write_text(path.read_text().replace("1 arcsec", "1 mag"))
    answer = scrframe_command("calibrate", path)
    assert answer.code == 2
    assert len(answer.err.splitlines()) == 2
    assert all(line.startswith(f"error: {path}:") for line in answer.err.splitlines())


@pytest.mark.parametrize("content", ["", "# only a comment\n", "[1, 2]\n", "just text\n"])
def test_no_description(refused, tmp_path, content):
    path = tmp_path / "survey.yaml"
    path.write_text(content)
    assert str(path) in refused("calibrate", path)


def test_missing_description(refused):
    assert "nowhere.yaml" in refused("calibrate", "nowhere.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("offsets.min_star=3", 'did you mean "min_stars"?'),
        ("offsets.levels.pixl.size=3 pix", 'did you mean "pixel"?'),
        ("offsets.min_stars", "expected key.path=value"),
        ("reference.match_radius=1 pix", "expected arcsec"),
    ],
)
def test_wrong_change(refused, tiny_survey, change, message):
    line = refused("calibrate", tiny_survey.description, "--set", change)
    assert f"--set {change.partition('=')[0]}" in line
    assert message in line


@pytest.mark.parametrize(
    "arguments",
    [
        ["calibrat", "x.yaml"],
        ["calibrate"],
        ["calibrate", "x.yaml", "--workers", "0"],
        ["calibrate", "x.yaml", "--wrokers", "1"],
        ["simulate", "x.yaml"],
        ["apply", "run"],
        ["simulate", "x.yaml", "--out", "tree", "--gaia-format", "fits"],
    ],
)
def test_wrong_usage(refused, arguments):
    assert "see --help" in refused(*arguments)


@pytest.mark.parametrize("option", [("--fields", "0"), ("--density", "-3"), ("--seed", "-1")])
def test_wrong_simulation(refused, tiny_survey, option):
    line = refused("simulate", tiny_survey.description, "--out", "new/tree", *option)
    assert option[0] in line


def test_a_missing_simulated_value_names_file_line_and_column(refused, tmp_path):
    shipped = Path(__file__).parents[2] / "surveys" / "nsc_dr2_u.yaml"
    lines = shipped.read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if not line.strip().startswith("simulated: {instrument")]
    mine = tmp_path / "mine.yaml"
    mine.write_text("\n".join(lines), encoding="utf-8")
    number = next(n for n, line in enumerate(lines, 1) if "rows: [" in line)
    column = lines[number - 1].index("'instrument") + 1
    few = ("--fields", "1", "--density", "50")
    line = refused("simulate", mine, "--out", tmp_path / "tree", *few)
    assert line.startswith(f"error: {mine}:{number}:{column}: loader.table.rows.1: ")
    assert 'column "instrument", which the cut' in line and "has no simulated value" in line
    assert not (tmp_path / "tree").exists()


def test_simulation_spares_what_is_there(refused, tiny_survey):
    Path("tree").mkdir()
    Path("tree/mine.txt").write_text("mine")
    line = refused("simulate", tiny_survey.description, "--out", "tree", "--fields", "1")
    assert "not empty" in line


def test_outputs_that_cannot_be_made(refused, tiny_survey, tiny_run):
    Path("file").write_text("")
    line = refused("simulate", tiny_survey.description, "--out", "file/tree", "--fields", "1")
    assert "file/tree: cannot write there" in line
    line = refused("apply", tiny_run.path, tiny_survey.data / "catalogues", "--out", "file/more")
    assert "file/more: cannot write there" in line


@pytest.mark.parametrize("command", ["calibrate", "validate"])
class TestTrees:
    """Data trees that lack something."""

    @pytest.fixture
    def refuse(self, refused, tiny_survey, command):
        def run(data: Path) -> str:
            more = RUN if command == "calibrate" else ()
            return refused(
                command, tiny_survey.description, "--data", data, *tiny_survey.options, *more
            )

        return run

    def test_no_root(self, refuse, tmp_path):
        assert str(tmp_path / "nowhere") in refuse(tmp_path / "nowhere")

    def test_root_is_a_file(self, refuse, tmp_path):
        path = tmp_path / "file"
        path.write_text("")
        assert str(path) in refuse(path)

    @pytest.mark.parametrize(
        ("folder", "word"),
        [
            ("catalogues", "catalogues/**/*.fits*"),
            ("gaia_source", "gaia_source"),
            ("gaia_xp", "gaia_xp"),
            ("zgr23", "zgr23"),
        ],
    )
    def test_no_input(self, refuse, tree, folder, word):
        shutil.rmtree(tree / folder)
        line = refuse(tree)
        assert word in line and str(tree) in line

    @pytest.mark.parametrize("damage", ["truncated", "empty", "garbage", "HTML"])
    def test_damaged_catalogue(self, refuse, tree, damage):
        path = sorted((tree / "catalogues").iterdir())[1]
        whole = path.read_bytes()
        path.unlink()
        path.write_bytes(
            {
                "truncated": whole[: len(whole) // 3 * 2],
                "empty": b"",
                "garbage": bytes(np.random.default_rng(1).integers(0, 256, 50_000, np.uint8)),
                "HTML": b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n",
            }[damage]
        )
        assert str(path) in refuse(tree)

    @pytest.mark.parametrize("what", ["extension", "column", "keyword", "exposure time", "filter"])
    def test_catalogue_lacks_something(self, refuse, tree, what):
        path = sorted((tree / "catalogues").iterdir())[1]
        expected = {
            "extension": "31 extensions, expected 32",
            "column": "Aper_flux_3",
            "keyword": "MAGZPT",
            "exposure time": "EXPTIME",
            "filter": "r_SDSS",
        }[what]
        with fits.open(path, memmap=False) as hdus:
            change(hdus, what)
            path.unlink()
            hdus.writeto(path)
        line = refuse(tree)
        assert str(path) in line and expected in line

    def test_hdf5_that_is_none(self, refuse, tree):
        path = next((tree / "zgr23").glob("*.h5"))
        path.unlink()
        path.write_bytes(b"\x89PNG and so on" * 100)
        assert str(path) in refuse(tree)

    def test_hdf5_without_its_datasets(self, refuse, tree):
        path = next((tree / "zgr23").glob("*.h5"))
        path.unlink()
        with h5py.File(path, "w") as file:
            file["something_else"] = np.arange(3)
        assert str(path) in refuse(tree)

    @pytest.mark.parametrize("folder", ["gaia_source", "gaia_xp"])
    def test_parquet_that_is_none(self, refuse, tree, folder):
        path = next((tree / folder).glob("*.parquet"))
        path.unlink()
        path.write_bytes(b"PAR1 but not really")
        assert str(path) in refuse(tree)

    @pytest.mark.parametrize(
        ("folder", "column"), [("gaia_source", "phot_bp_mean_mag"), ("gaia_xp", "bp_coefficients")]
    )
    def test_parquet_without_a_column(self, refuse, tree, folder, column):
        path = next((tree / folder).glob("*.parquet"))
        table = pq.read_table(path).drop_columns([column])
        path.unlink()
        pq.write_table(table, path)
        line = refuse(tree)
        assert column in line or str(path) in line or folder in line


def change(hdus: fits.HDUList, what: str) -> None:
    if what == "extension":
        del hdus[7]
    elif what == "column":
        hdus[4] = fits.BinTableHDU(
            fits.FITS_rec.from_columns(
                fits.ColDefs([c for c in hdus[4].columns if c.name != "Aper_flux_3"])
            ),
            header=hdus[4].header,
        )
    elif what == "keyword":
        del hdus[4].header["MAGZPT"]
    elif what == "exposure time":
        for hdu in hdus:
            hdu.header.remove("EXPTIME", ignore_missing=True)
    elif what == "filter":
        hdus[0].header["HIERARCH ESO INS FILT1 NAME"] = "r_SDSS"


class TestRuns:
    """What only a run can find."""

    @pytest.fixture
    def refuse(self, refused, tiny_survey):
        def run(data: Path, *more: str) -> str:
            return refused(
                "calibrate",
                tiny_survey.description,
                "--data",
                data,
                *tiny_survey.options,
                *RUN,
                *more,
            )

        return run

    @pytest.mark.parametrize("unit", ["degrees as radians", "radians as degrees"])
    def test_positions_in_the_wrong_unit(self, refuse, tree, unit):
        path = sorted((tree / "catalogues").iterdir())[0]
        with fits.open(path, memmap=False) as hdus:
            for hdu in hdus[1:]:
                if unit == "degrees as radians":
                    for name in ("RA", "DEC"):
                        hdu.data[name] = np.rad2deg(hdu.data[name])
                else:
                    for number, column in enumerate(hdu.columns.names, start=1):
                        if column in ("RA", "DEC"):
                            hdu.header[f"TUNIT{number}"] = "degrees"
            path.unlink()
            hdus.writeto(path)
        line = refuse(tree)
        assert str(path) in line
        assert "unit" in line or "TUNIT" in line or "TFORM" in line

    def test_no_star_in_the_control_region(self, refuse, tree):
        assert "selection.control" in refuse(tree, "--set", 'selection.control=["dec > 80"]')

    def test_no_star_at_all(self, refuse, tree):
        line = refuse(tree, "--set", 'selection.calibration=["mag < 2"]')
        assert "mag < 2" in line

    def test_too_few_stars_to_train(self, refuse, tree):
        line = refuse(tree, "--set", 'selection.control=["mag < 12.1"]')
        assert "too few to train" in line or "stars to train" in line

    def test_too_few_stars_for_an_offset(self, refuse, tree):
        options = ("offsets.mode=sequential", "offsets.min_stars=100000")
        words = [word for option in options for word in ("--set", option)]
        assert "min_stars" in refuse(tree, *words)

    def test_results_of_others_are_spared(self, refuse, tree):
        Path("mine").mkdir()
        Path("mine/thesis.tex").write_text("mine")
        line = refuse(tree, "--out", "mine")
        assert "mine" in line and "--out" in line

    def test_an_output_whose_name_is_not_utf_8(self, refuse, tree):
        assert "not UTF-8" in refuse(tree, "--out", os.fsdecode(b"caf\xe9"))

    @pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
    def test_output_that_cannot_be_written(self, refuse, tree):
        Path("closed").mkdir(mode=0o500)
        assert "closed" in refuse(tree, "--out", "closed/run")


def test_damaged_catalogue_is_skipped_and_listed(scrframe_command, tiny_survey, tree):
    path = sorted((tree / "catalogues").iterdir())[3]
    path.unlink()
    path.write_bytes(b"damaged")
    answer = scrframe_command(
        "calibrate",
        tiny_survey.description,
        "--data",
        tree,
        *tiny_survey.options,
        "--set",
        "data.on_bad_file=skip",
        "--workers",
        "1",
        "--out",
        "run",
    )
    assert answer.code == 0, answer.err
    assert f"warning: left out catalogues/{path.name}: " in answer.err
    assert f"1 damaged catalogue left out: catalogues/{path.name}" in answer.out
    written = {file.name for file in Path("run/catalogues").iterdir()}
    assert len(written) == 3
    assert path.name not in written


@pytest.mark.parametrize("what", ["nothing", "no solution", "damaged solution"])
def test_apply_needs_a_run(refused, tiny_survey, tiny_run, tmp_path, what):
    run = tmp_path / "run"
    if what != "nothing":
        shutil.copytree(tiny_run.path, run)
    if what == "no solution":
        shutil.rmtree(run / "solution")
    if what == "damaged solution":
        (run / "solution" / "offsets_ccd.ecsv").write_text("# %ECSV 1.0\n")
    line = refused("apply", run, next((tiny_survey.data / "catalogues").iterdir()))
    assert str(run) in line


def test_apply_needs_a_catalogue(refused, tiny_run):
    assert "nowhere.fits" in refused("apply", tiny_run.path, "nowhere.fits", "--out", "new")
