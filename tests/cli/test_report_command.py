"""`scrframe report`, and the report that ends `scrframe calibrate`."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from scrframe.checks.verdict import NullTestResult
from scrframe.report import write as reporting


def check(verdict: str) -> NullTestResult:
    return NullTestResult("gravity", "Things fall", 0.03, 0.02, "mag", verdict, "they were seen to")


@pytest.fixture
def run(tiny_run, tmp_path) -> Path:
    """Return a finished run that tests may spoil."""
    copy = tmp_path / "run"
    shutil.copytree(
        tiny_run.path, copy, ignore=shutil.ignore_patterns("catalogues"), copy_function=os.link
    )
    return copy


#: In this process, where a test can set what is found.
HERE = ("--workers", "1")


@pytest.fixture
def judged(monkeypatch):
    """Return a function that sets what null tests say, and leaves figures away."""

    def judge(*verdicts: str) -> None:
        checks = tuple(check(one) for one in verdicts)
        monkeypatch.setattr(reporting, "run_checks", lambda _: checks)
        monkeypatch.setattr(reporting, "find_anomalies", lambda _: ())
        monkeypatch.setattr(reporting, "FIGURES", ())

    return judge


def test_the_command_shows_tests_and_where_the_page_is(scrframe_command, run, judged):
    judged("passed")
    answer = scrframe_command("report", run, *HERE)
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    row = next(line for line in lines if "Things fall" in line)
    assert all(text in row for text in ("passed", "30 mmag", "20 mmag", "they were seen to"))
    assert lines[-3] == "Nothing that could be tested failed: 1 of 1 tests passed."
    assert lines[-1] == f"report in {run / 'report' / 'index.html'}"
    assert (run / "report" / "index.html").is_file()


@pytest.mark.parametrize(
    ("verdict", "options", "code"),
    [
        ("failed", (), 0),
        ("failed", ("--strict",), 3),
        ("passed", ("--strict",), 0),
        ("not testable", ("--strict",), 0),
    ],
)
def test_only_a_failed_test_is_strict(scrframe_command, run, judged, verdict, options, code):
    judged("passed", verdict)
    answer = scrframe_command("report", run, *HERE, *options)
    assert answer.code == code
    assert answer.err == ""
    written = json.loads((run / "report" / "checks.json").read_text(encoding="utf-8"))
    assert written["checks"][1]["verdict"] == verdict


def test_a_run_that_has_not_settled_says_so_first_and_is_strict(scrframe_command, run, judged):
    judged("passed")
    path = run / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    path.chmod(0o644)
    summary["colour_model"]["converged"] = False
    path.write_text(json.dumps(summary), encoding="utf-8")
    assert scrframe_command("report", run, *HERE).code == 0
    answer = scrframe_command("report", run, *HERE, "--strict")
    assert answer.code == 3
    told = answer.out.index("Not converged when the rounds ended: the colour model and the law")
    assert told < answer.out.index("Nothing that could be tested failed")


def test_quiet_shows_nothing(scrframe_command, run, judged):
    judged("failed")
    answer = scrframe_command("report", run, *HERE, "--quiet", "--strict")
    assert (answer.code, answer.out, answer.err) == (3, "", "")


def test_what_is_no_run_is_refused(refused, tmp_path):
    assert "no such directory" in refused("report", tmp_path / "nowhere")
    assert "no finished run" in refused("report", tmp_path)


def test_a_damaged_run_is_refused_and_keeps_its_report(refused, run):
    (run / "report").mkdir()
    stars = run / "stars.parquet"
    stars.unlink()
    stars.write_bytes(b"PAR1 nothing")
    assert "stars.parquet" in refused("report", run)
    assert list((run / "report").iterdir()) == []


def test_calibrate_ends_with_its_report(scrframe_command, tiny_survey, judged):
    judged("failed")
    arguments = (
        "calibrate",
        tiny_survey.description,
        "--data",
        tiny_survey.data,
        "--out",
        "mine",
        "--workers",
        "1",
        *tiny_survey.options,
        "--set",
        "report.enabled=true",
        "--strict",
    )
    answer = scrframe_command(*arguments)
    assert (answer.code, answer.err) == (3, "")
    assert "Do not rely on this run yet: 1 of 1 null tests failed" in answer.out
    assert answer.out.splitlines()[-1] == "report in mine/report/index.html"
    assert Path("mine/report/index.html").is_file()
    summary = json.loads(Path("mine/summary.json").read_text(encoding="utf-8"))
    assert summary["steps"]["report"]["seconds"] >= 0


def test_a_report_that_fails_does_not_lose_the_calibration(
    scrframe_command, tiny_survey, monkeypatch
):
    def fail(*_: object) -> None:
        raise ValueError("no ink\nat all")

    monkeypatch.setattr(reporting, "run_page", fail)
    answer = scrframe_command(
        "calibrate",
        tiny_survey.description,
        "--data",
        tiny_survey.data,
        "--out",
        "mine",
        "--workers",
        "1",
        *tiny_survey.options,
        "--set",
        "report.enabled=true",
    )
    assert answer.code == 0
    (line,) = answer.err.splitlines()
    assert line.startswith(
        "warning: the run is complete but has no report (ValueError: no ink at all)"
    )
    assert Path("mine/stars.parquet").is_file() and Path("mine/catalogues").is_dir()
    assert not Path("mine/report").exists()
    assert [path.name for path in Path("mine").iterdir() if path.name.startswith(".")] == []


def test_strict_needs_a_report(refused, tiny_survey):
    line = refused("calibrate", tiny_survey.description, "--strict", "--no-report")
    assert "--strict needs the report" in line
