"""Failures that are nobody's input: defects, broken plugins, interruptions."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import scrframe.config
from scrframe.errors import CalibrationError
from scrframe.run.place import resource_error

SCRFRAME = "from scrframe.cli import main; raise SystemExit(main())"


@pytest.fixture
def broken_plugin(tmp_path, monkeypatch):
    """Install, on the path only, a distribution whose plugin cannot be imported."""
    folder = tmp_path / "site"
    about = folder / "acme_survey-2.1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-survey\nVersion: 2.1\n")
    (about / "entry_points.txt").write_text("[scrframe]\nacme = acme_survey.plugin\n")
    package = folder / "acme_survey"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "plugin.py").write_text("import no_such_library_of_acme\n")
    monkeypatch.syspath_prepend(folder)


def test_broken_plugin_is_listed_with_the_reason(scrframe_command, broken_plugin):
    answer = scrframe_command("plugins", "list")
    assert answer.code == 0
    assert "vphas_casu" in answer.out and "scrframe-vphas" in answer.out
    place = "acme from acme-survey (acme_survey.plugin): "
    line = next(line for line in answer.out.splitlines() if place in line)
    assert "ModuleNotFoundError: No module named 'no_such_library_of_acme'" in line


def test_broken_plugin_that_is_not_named_does_no_harm(scrframe_command, tiny_survey, broken_plugin):
    answer = scrframe_command("validate", tiny_survey.description, "--data", tiny_survey.data)
    assert (answer.code, answer.err) == (0, "")


def test_broken_plugin_that_is_named_is_fatal(refused, tiny_survey, broken_plugin):
    line = refused("calibrate", tiny_survey.description, "--set", "loader.kind=acme")
    assert "no_such_library_of_acme" in line


def test_nothing_broken_is_not_mentioned(scrframe_command):
    assert "broken" not in scrframe_command("plugins", "list").out


@pytest.fixture
def failing(monkeypatch):
    def fail_with(error: BaseException) -> None:
        def load_survey(*_, **__):
            raise error

        monkeypatch.setattr(scrframe.config, "load_survey", load_survey)

    return fail_with


def test_defect_is_one_line_and_code_1(scrframe_command, failing):
    failing(ZeroDivisionError("division [by]\nzero"))
    answer = scrframe_command("calibrate", "any.yaml")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == (
        "error: internal failure, ZeroDivisionError: division [by] zero;"
        " set SCRFRAME_DEBUG=1 for the traceback\n"
    )


def test_defect_shows_its_traceback_on_demand(scrframe_command, failing, monkeypatch):
    monkeypatch.setenv("SCRFRAME_DEBUG", "1")
    failing(ZeroDivisionError("division by zero"))
    answer = scrframe_command("calibrate", "any.yaml")
    assert answer.code == 1
    assert "Traceback" in answer.err and answer.err.splitlines()[-1].startswith("error: internal")


def test_message_keeps_brackets_and_long_paths(scrframe_command, failing):
    path = "/data/[red]u[/red]/" + "long/" * 60 + "o[1].fits"
    failing(CalibrationError(f"{path}: is damaged"))
    answer = scrframe_command("calibrate", "any.yaml")
    assert (answer.code, answer.err) == (2, f"error: {path}: is damaged\n")


def test_interruption_is_one_line(scrframe_command, failing):
    failing(KeyboardInterrupt())
    answer = scrframe_command("validate", "any.yaml")
    assert (answer.code, answer.out, answer.err) == (130, "", "interrupted\n")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_other_signals_interrupt_as_well(scrframe_command, monkeypatch, name):
    number = signal.Signals[name]

    def load_survey(*_, **__):
        os.kill(os.getpid(), number)
        time.sleep(5)

    before = signal.getsignal(number)
    monkeypatch.setattr(scrframe.config, "load_survey", load_survey)
    answer = scrframe_command("validate", "any.yaml")
    assert (answer.code, answer.out, answer.err) == (130, "", "interrupted\n")
    assert signal.getsignal(number) == before


def test_an_ignored_hangup_stays_ignored(scrframe_command, monkeypatch):
    monkeypatch.setattr(scrframe.config, "load_survey", hang_up_and_fail)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert scrframe_command("validate", "any.yaml").err == "error: went on\n"
    finally:
        signal.signal(signal.SIGHUP, before)


def hang_up_and_fail(*_, **__):
    os.kill(os.getpid(), signal.SIGHUP)
    raise CalibrationError("went on")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full ("),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "your share of the disk is used up; make"),
        (OSError(errno.EFBIG, "File too large"), "a file may not grow so large; raise"),
        (OSError(errno.EMFILE, "Too many open files"), "too many open files; raise the limit"),
        (BlockingIOError(errno.EAGAIN, "Resource"), "no further process may start; raise"),
        (OSError(errno.ESTALE, "Stale file handle"), "the network disk is gone; wait for it"),
        (RuntimeError("can't start new thread"), "no further process may start; raise"),
        (MemoryError("Unable to allocate 8 GiB"), "too little memory ("),
        (ImportError("x.so: failed to map segment from shared object"), "too little memory ("),
    ],
)
def test_what_the_machine_lacks_is_told_with_place_and_remedy(tmp_path, error, told):
    found = resource_error(error, tmp_path)
    assert told in str(found)
    assert str(tmp_path) in str(found) or "memory" in told
    assert "; " in str(found)


def test_defects_are_not_blamed_on_the_machine(tmp_path):
    for error in (ZeroDivisionError(), OSError("Empty or corrupt FITS file"), KeyError("a")):
        assert resource_error(error, tmp_path) is None


@pytest.mark.parametrize("closed", ["> /dev/full", ">&-", "2>&- >&-", "| true"])
def test_a_screen_that_is_gone_ends_nothing(tmp_path, closed):
    line = f"set -o pipefail; {shlex.quote(sys.executable)} -c {shlex.quote(SCRFRAME)} schema"
    done = subprocess.run(
        ["bash", "-c", f"{line} {closed}"], capture_output=True, text=True, check=False
    )
    lost = closed == "> /dev/full"  # the only one that nobody has wished for
    assert done.returncode == (2 if lost else 0)
    assert done.stderr == (
        "warning: the output cannot be written: No space left on device\n" if lost else ""
    )


def test_workers_have_a_screen_that_is_gone_too():
    worker = "import os; [os.fstat(number) for number in range(3)]"
    code = (
        "import subprocess, sys; from scrframe.cli import main; main(['--version']);"
        f" sys.exit(subprocess.run([sys.executable, '-c', {worker!r}]).returncode)"
    )
    line = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} >&- 2>&- <&-"
    assert subprocess.run(["bash", "-c", line], check=False).returncode == 0


def test_interruption_is_not_lost_where_exceptions_are(scrframe_command, monkeypatch):
    class Loud:
        def __del__(self):
            raise KeyboardInterrupt

    def load_survey(*_, **__):
        Loud()  # its end drops the exception
        for _ in range(100):
            time.sleep(0.02)

    monkeypatch.setattr(scrframe.config, "load_survey", load_survey)
    answer = scrframe_command("validate", "any.yaml")
    assert (answer.code, answer.out, answer.err) == (130, "", "interrupted\n")


def test_interrupted_run_goes_on(scrframe_command, tiny_survey):
    command = [
        "calibrate",
        str(tiny_survey.description),
        "--data",
        str(tiny_survey.data),
        "--out",
        "run",
        *tiny_survey.options,
        "--workers",
    ]
    answer = interrupt_at("Colour model", [*command, "2"])
    assert answer == (130, "interrupted; run the same command again to resume\n")
    assert [path.name for path in Path.cwd().iterdir()] == [".run.partial"]
    assert len(list(Path(".run.partial/work/detections").iterdir())) == 4
    answer = scrframe_command(*command, "1")
    assert answer.code == 0, answer.err
    assert [path.name for path in Path.cwd().iterdir()] == ["run"]
    assert json.loads(Path("run/summary.json").read_text())["counts"]["catalogues"] == 4


@pytest.mark.slow
def test_workers_that_only_start_are_interrupted_without_a_word(tiny_survey):
    command = ["calibrate", str(tiny_survey.description), "--data", str(tiny_survey.data)]
    answer = interrupt_at("Hashing", [*command, "--out", "run", "--workers", "2"])
    # On a slow machine nothing is done yet that could be resumed.
    assert answer in [(130, f"interrupted{how}\n") for how in ("", RESUMES)]


#: What follows where pieces of work are done.
RESUMES = "; run the same command again to resume"


def interrupt_at(word: str, command: list[str]) -> tuple[int, str]:
    """Send an interrupt to a run, as a terminal does, once it prints a word."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRFRAME, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stdout:
        if word in line:
            time.sleep(0.2)
            os.killpg(process.pid, signal.SIGINT)
            break
    _, err = process.communicate(timeout=60)
    return process.returncode, err
