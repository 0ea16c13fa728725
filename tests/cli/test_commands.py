"""What the commands show when all is well."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from astropy.io import fits

import scrframe
from scrframe.cli.common import Screen
from scrframe.cli.rendering import BarObserver, LineObserver, QuietObserver, observer_for
from scrframe.report.merit import merit_rows, paper_ratio

NOTE = "simulated u magnitudes on real Gaia XP spectra"


def test_help_comes_at_once():
    # Half a second of a processor is what a person does not wait for.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = "from scrframe.cli import main; main(['--help'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "calibrate" in done.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_help_loads_no_heavy_library():
    code = (
        "import sys; from scrframe.cli import main; main(['--help']);"
        "print(sorted({'numpy', 'pyarrow', 'astropy', 'scipy', 'sklearn', 'lightgbm', 'matplotlib'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_version(scrframe_command):
    assert scrframe_command("--version").out == f"scrframe {scrframe.__version__}\n"


def test_a_worker_loads_neither_backends_nor_figures_nor_tables_of_text():
    tasks = (
        "run.workers",
        "run.workspace",
        "run.correct",
        "run.sample.detections",
        "run.sample.reference_data",
    )
    code = (
        f"import sys; {'; '.join(f'import scrframe.{task}' for task in tasks)};"
        " heavy = {'matplotlib', 'sklearn', 'lightgbm', 'scipy.stats', 'scipy.optimize', 'pandas',"
        " 'astropy.table', 'astropy.io.fits', 'rich', 'typer'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("arguments", [[], ["plugins"]])
def test_no_command_shows_help_and_is_wrong_usage(scrframe_command, arguments):
    answer = scrframe_command(*arguments)
    assert answer.code == 2
    assert "Usage: scrframe" in answer.out


def test_keys_are_told_in_words(scrframe_command):
    said = scrframe_command("schema", "--keys", "offsets.joint").out
    assert "offsets.joint.margin: text, such as 1 mag; by default 0.3 mag\n    The solve" in said
    assert {line.partition(".")[0] for line in said.splitlines() if line[0] != " "} == {"offsets"}
    every = scrframe_command("schema", "--keys", "all").out
    assert said in every and "name: " in every
    wrong = scrframe_command("schema", "--keys", "offsets.jiont.margin")
    assert wrong.code == 2
    assert 'no such key; did you mean "offsets.joint.margin"?' in wrong.err


def test_schema_is_json_that_knows_the_plugins(scrframe_command):
    schema = json.loads(scrframe_command("schema").out)
    assert schema["$schema"].startswith("https://json-schema.org")
    assert {"name", "band", "loader", "offsets"} <= schema["properties"].keys()
    assert "vphas_casu" in json.dumps(schema)


def test_columns_of_cuts_are_listed_with_units(scrframe_command):
    lines = scrframe_command("schema", "--columns").out.splitlines()
    row = next(line for line in lines if line.startswith("match_distance "))
    assert "arcsec" in row and "derived" in row
    assert any(line.startswith("error_bit_flag ") and "vphas_casu" in line for line in lines)


def test_calibrate_prints_the_headline_first_and_the_figures_last(scrframe_command, tiny_survey):
    answer = scrframe_command(
        "calibrate",
        tiny_survey.description,
        "--data",
        tiny_survey.data,
        "--out",
        "results/tiny",
        "--workers",
        "1",
        *tiny_survey.options,
    )
    assert answer.code == 0, answer.err
    lines = answer.out.splitlines()
    assert lines[0] == f"scrframe: survey vphas_u, data root {tiny_survey.data}: {NOTE}"
    assert lines[-1].startswith("products in results/tiny: summary.json")
    assert len(lines) < 80
    assert "\x1b" not in answer.out
    summary = json.loads(Path("results/tiny/summary.json").read_text())
    assert f"{summary['colour_model']['test']['r2']:.3f}" in answer.out
    assert pq.read_metadata("results/tiny/stars.parquet").num_rows > 0
    starts = [line for line in lines if line.endswith("...")]
    ends = [line for line in lines if ": done in " in line]
    assert len(starts) == len(ends) > 5
    assert [path.name for path in Path("results").iterdir()] == ["tiny"]


def test_quiet_shows_nothing(scrframe_command, tiny_survey):
    answer = scrframe_command(
        "calibrate",
        tiny_survey.description,
        "--data",
        tiny_survey.data,
        "--quiet",
        "--workers",
        "1",
        *tiny_survey.options,
    )
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    assert Path("runs/vphas_u/summary.json").is_file()


def test_closing_figures_stand_beside_the_papers(tiny_run):
    rows = {figure: (ours, of_paper) for figure, ours, of_paper in merit_rows(tiny_run.summary)}
    assert rows["r2 on the test stars"][1] == "0.98"
    assert rows["dispersion on the test stars (mag)"][1] == "0.064"
    assert rows["sd of visit offsets (mag)"][1] == "0.063"
    assert rows["spread after, Gaussian fit (mag)"][1] == "0.065"
    assert rows["left uncorrected (per cent)"][1] == "1.6"
    assert rows["Calibration Sample, stars"][1] == "2,974,582"
    first = tiny_run.summary["reddening_law"]["R"][0]
    # Zero has no sign in the table, whatever side of it a colour is rounded from.
    label = f"R at C0 = {round(first['colour0_mag'], 2) + 0.0:.2f}"
    assert rows[label] == (f"{first['R']:.3f}", f"{paper_ratio(first['colour0_mag']):.3f}")


def test_law_of_the_paper_at_its_two_colours():
    # Figure 4 shows the fit at (u - G_BP)_0 = 0.8 and 2.8; here by hand from Eq. 4.
    assert paper_ratio(0.8) == pytest.approx(0.02688 + 0.0216 + 1.42)
    assert paper_ratio(2.8) == pytest.approx(0.32928 + 0.0756 + 1.42)


def test_validate_says_what_is_there(scrframe_command, tiny_survey):
    answer = scrframe_command("validate", tiny_survey.description, "--data", tiny_survey.data)
    assert answer.code == 0, answer.err
    assert "valid" in answer.out
    assert "4 catalogues" in answer.out


def test_validate_of_the_sample_makes_nothing(scrframe_command, tiny_survey, tmp_path):
    answer = scrframe_command("validate", tiny_survey.description)
    assert answer.code == 0, answer.err
    assert "sample" in answer.out
    assert not (tmp_path / "no_cache").exists()


def test_validate_lists_every_damaged_file(scrframe_command, tiny_survey, tree):
    first, second = sorted((tree / "catalogues").iterdir())[:2]
    for path in (first, second):
        path.unlink()
        path.write_bytes(b"nothing of the kind")
    answer = scrframe_command("validate", tiny_survey.description, "--data", tree)
    assert answer.code == 2
    lines = answer.err.splitlines()
    # What is wrong with both is told once.
    assert len(lines) == 1 and all(path.name in lines[0] for path in (first, second))
    assert all(line.startswith("error: ") for line in lines)


def test_a_setting_that_is_no_longer_used_is_warned_of(scrframe_command, tiny_survey, tree):
    engine = "colour_model.random_forest.engine=intelex"
    answer = scrframe_command("validate", tiny_survey.description, "--data", tree, "--set", engine)
    assert answer.code == 0, answer.err
    assert answer.err.startswith("warning: colour_model.random_forest.engine: intelex is no longer")
    assert len(answer.err.splitlines()) == 1


def test_validate_leaves_out_what_a_run_would_skip(scrframe_command, refused, tiny_survey, tree):
    skip = ("validate", tiny_survey.description, "--data", tree, "--set", "data.on_bad_file=skip")
    catalogues = sorted((tree / "catalogues").iterdir())
    _damage(catalogues[0])
    answer = scrframe_command(*skip)
    assert answer.code == 0, answer.err
    assert "3 catalogues" in answer.out
    assert answer.err.startswith(f"warning: left out: {catalogues[0]}")
    for path in catalogues[1:]:
        _damage(path)
    assert "no catalogue could be read" in refused(*skip)


def test_tables_of_corrections_are_inputs_like_others(refused, scrframe_command, tiny_survey, tree):
    asked = "reference.corrections=[{kind: magnitude_table, magnitude_table: {file: gbp.csv}}]"
    options = ("--data", tree, "--set", asked)
    assert "gbp.csv: no such file" in refused("validate", tiny_survey.description, *options)
    (tree / "gbp.csv").write_text("G,dBP\n10,0.01\n21,0.02\n")
    answer = scrframe_command(
        "calibrate",
        tiny_survey.description,
        *options,
        *tiny_survey.options,
        "--out",
        "run",
        "--workers",
        "1",
        "--quiet",
    )
    assert answer.code == 0, answer.err
    summary = json.loads(Path("run/summary.json").read_text())
    digest = hashlib.sha256((tree / "gbp.csv").read_bytes()).hexdigest()
    assert summary["input_sha256"]["gbp.csv"] == digest


def test_validate_never_skips_reference_data(refused, tiny_survey, tree):
    _damage(next((tree / "zgr23").iterdir()))
    line = refused(
        "validate", tiny_survey.description, "--data", tree, "--set", "data.on_bad_file=skip"
    )
    assert "stellar_params_catalog_00.h5" in line


def _damage(path: Path) -> None:
    path.unlink()  # a link to a file that other tests share
    path.write_bytes(b"nothing of the kind")


def test_simulate_takes_its_options(scrframe_command, tiny_survey):
    answer = scrframe_command(
        "simulate",
        tiny_survey.description,
        "--out",
        "tree",
        "--fields",
        "1",
        "--density",
        "50",
        "--seed",
        "7",
        "--gaia-format",
        "csv",
    )
    assert answer.code == 0, answer.err
    settings = json.loads(Path("tree/simulation.json").read_text())["settings"]
    assert (settings["fields"], settings["density"], settings["seed"]) == (1, 50, 7)
    assert list(Path("tree/gaia_source").glob("*.csv.gz"))
    assert Path("tree/truth.parquet").is_file()


def test_simulate_takes_fields_from_a_table(scrframe_command, tiny_survey):
    Path("fields.csv").write_text("field,ra,dec\na,200,-60\nb,107,0.5\nc,280,-10\n")
    options = ["--centres", "fields.csv", "--fields", "2", "--density", "50"]
    answer = scrframe_command("simulate", tiny_survey.description, "--out", "tree", *options)
    assert answer.code == 0, answer.err
    settings = json.loads(Path("tree/simulation.json").read_text())["settings"]
    assert settings["centres"] == [["200.0 deg", "-60.0 deg"], ["107.0 deg", "0.5 deg"]]
    assert settings["fields"] == 2
    more = ["--centres", "fields.csv", "--fields", "4"]
    few = scrframe_command("simulate", tiny_survey.description, "--out", "x", *more)
    assert few.code != 0
    assert "fields.csv holds 3 fields, not 4" in few.err


def test_apply_writes_beside_the_run_and_counts(scrframe_command, tiny_survey, tiny_run):
    catalogue = sorted((tiny_survey.data / "catalogues").iterdir())[0]
    answer = scrframe_command("apply", tiny_run.path, catalogue, "--out", "corrected")
    assert answer.code == 0, answer.err
    assert "detections corrected" in answer.out
    with fits.open(f"corrected/{catalogue.name}") as corrected:
        assert "MAG_CAL" in corrected[1].columns.names


@pytest.mark.parametrize("named", ["folder", "file"])
def test_apply_never_replaces_what_it_reads(refused, tiny_survey, tiny_run, tmp_path, named):
    folder = tmp_path / "mine"
    shutil.copytree(tiny_survey.data / "catalogues", folder)
    first = sorted(folder.iterdir())[0]
    before = first.read_bytes()
    line = refused("apply", tiny_run.path, folder if named == "folder" else first, "--out", folder)
    assert str(first) in line and "--out" in line
    assert first.read_bytes() == before


def test_unknown_visit_is_an_error_or_flagged(
    refused, scrframe_command, tiny_survey, tiny_run, tmp_path
):
    source = sorted((tiny_survey.data / "catalogues").iterdir())[0]
    other = tmp_path / "other_cat.fits"
    with fits.open(source) as hdus:
        hdus[0].header["MJD-OBS"] += 1000.0
        hdus.writeto(other)
    line = refused("apply", tiny_run.path, other, "--out", "corrected")
    assert str(other) in line and "--unknown-visit flag" in line
    answer = scrframe_command(
        "apply", tiny_run.path, other, "--out", "corrected", "--unknown-visit", "flag"
    )
    assert answer.code == 0, answer.err
    assert "not in the run" in answer.out
    with fits.open("corrected/other_cat.fits") as hdus:
        assert (hdus[1].data["CAL_FLAGS"] & 2 == 2).all()


def test_a_reader_who_goes_away_is_no_error():
    command = f"{sys.executable} -c 'from scrframe.cli import main; raise SystemExit(main())'"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} schema | head -n 1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "{\n", "")


def test_text_of_the_user_is_shown_as_it_is(capsys):
    screen = Screen()
    observer = BarObserver(screen)
    odd = "runs/[red]my[/red] survey [1]/" + "x" * 200
    with observer.step(odd, 2) as done:
        observer.message(odd)
        done(1)
        with observer.step("inner", 3) as inner:
            inner(3)
    observer.message(odd)
    assert capsys.readouterr().out.count(odd + "\n") == 2


def test_bars_on_a_terminal():
    code = (
        "from scrframe.cli.common import Screen; from scrframe.cli.rendering import observer_for\n"
        "observer = observer_for(Screen())\n"
        "with observer.step('Reading catalogues', 3) as done:\n"
        "    for _ in range(3): done(1)\n"
        "with observer.step('Colour model') as done: done(1)\n"
    )
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    subprocess.run([sys.executable, "-c", code], stdout=follower, env=environment, check=True)
    os.close(follower)
    shown = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert "Reading catalogues" in shown and "3/3" in shown and "━" in shown
    assert "done in" not in shown


def test_choice_of_observer():
    assert type(observer_for(Screen(quiet=True))) is QuietObserver
    assert type(observer_for(Screen())) is LineObserver


def test_warnings_go_to_the_error_stream(capsys):
    observer_for(Screen()).warning("left out [a].fits: it is damaged")
    assert capsys.readouterr() == ("", "warning: left out [a].fits: it is damaged\n")
