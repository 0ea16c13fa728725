"""What helps at the terminal: dry runs, logs, details, refusals to replace, completion."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from scrframe.cli.common import Screen
from scrframe.cli.rendering import LineObserver, observer_for, time_left


@pytest.fixture(autouse=True)
def no_log():
    yield
    if Screen.kept is not None:
        Screen.kept.close()
    Screen.kept = None


def test_a_dry_run_says_all_and_makes_nothing(scrframe_command, tiny_survey, tmp_path):
    out = tmp_path / "there"
    answer = scrframe_command(
        "calibrate", tiny_survey.description, "--data", tiny_survey.data, "--out", out, "--dry-run"
    )
    assert answer.code == 0 and not answer.err
    for words in ("reads catalogues: 4 files, ", "reads extinctions: 1 file", f"makes {out}"):
        assert words in answer.out
    assert "replaces" not in answer.out and not out.exists()
    assert list(tmp_path.glob(".there*")) == []


def test_a_run_of_another_survey_is_replaced_only_by_force(
    scrframe_command, refused, tiny_survey, tmp_path
):
    out = tmp_path / "there"
    out.mkdir()
    (out / "summary.json").write_text(json.dumps({"survey": "atlas"}))
    command = ("calibrate", tiny_survey.description, "--data", tiny_survey.data, "--out", out)
    said = refused(*command)
    assert "holds a run of the survey atlas, not vphas_u" in said and "--force" in said
    assert refused(*command, "--dry-run") == said
    answer = scrframe_command(*command, "--dry-run", "--force")
    assert answer.code == 0 and "replaces the run of atlas" in answer.out


def test_a_log_has_every_line_with_its_time(scrframe_command, tiny_survey, tmp_path):
    log = tmp_path / "runs.log"
    command = ("validate", tiny_survey.description, "--data", tiny_survey.data, "--log", log)
    assert scrframe_command(*command, "--quiet").out == ""
    bad = scrframe_command("validate", tmp_path / "none.yaml", "--log", log)
    lines = log.read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d .", line) for line in lines)
    assert any("valid; data root" in line for line in lines)
    assert lines[-1].endswith(bad.err.strip())


def test_a_log_that_cannot_be_written_is_refused(refused, tiny_survey, tmp_path):
    said = refused("validate", tiny_survey.description, "--log", tmp_path / "no" / "such.log")
    assert "such.log: cannot be written: No such file" in said


def test_details_come_with_the_time_of_each_line(capsys):
    for verbose in (False, True):
        observer = observer_for(Screen(verbose=verbose))
        observer.message("plain")
        observer.detail("detail")
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "plain"
    assert [re.sub(r"^\[ *\d+\.\d s\] ", "", line) for line in told[1:]] == ["plain", "detail"]


def test_a_long_step_says_what_is_left(capsys, monkeypatch):
    now = iter(100.0 * number for number in range(100))
    monkeypatch.setattr("scrframe.cli.rendering.time.perf_counter", lambda: next(now))
    with LineObserver(Screen()).step("Reading", 10) as done:
        done(2)
        done(3)  # in 100 s, as the clock goes
    told = capsys.readouterr().out
    assert "Reading: 2 of 10\n" in told  # what prepares the first is no measure
    assert "Reading: 5 of 10, about 3 min left" in told
    assert [time_left(s) for s in (59.6, 600, 7200)] == ["60 s", "10 min", "2.0 h"]


def test_shells_can_complete_commands():
    code = (
        "import sys; sys.argv = ['scrframe']; from scrframe.cli import main;"
        " raise SystemExit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "_SCRFRAME_COMPLETE": "source_bash"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and "COMPREPLY" in done.stdout
