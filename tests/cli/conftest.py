from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from scrframe.cli import main


@dataclass(frozen=True)
class Answer:
    """What one command left on the screen."""

    code: int
    out: str
    err: str


Command = Callable[..., Answer]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No data root, cache or debugging from outside; relative paths below a fresh folder."""
    for name in ("SCRFRAME_DATA", "SCRFRAME_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SCRFRAME_CACHE", str(tmp_path / "no_cache"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)


@pytest.fixture
def scrframe_command(capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: str | Path) -> Answer:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return run


@pytest.fixture
def refused(scrframe_command: Command) -> Callable[..., str]:
    """Run a command that must fail by exit code 2, one line, and nothing written."""

    def run(*arguments: str | Path) -> str:
        before = everything_below(Path.cwd())
        answer = scrframe_command(*arguments)
        assert answer.code == 2, answer
        lines = answer.err.splitlines()
        assert len(lines) == 1, answer.err
        assert lines[0].startswith("error: ")
        assert "Traceback" not in answer.out + answer.err
        assert everything_below(Path.cwd()) == before
        return lines[0]

    return run


def everything_below(folder: Path) -> list[str]:
    """Return all files and folders, hidden ones too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def tree(tiny_survey, tmp_path: Path) -> Path:
    """Return a copy of the tiny survey's data, by links; to change a file, write it anew."""
    copy = tmp_path / "tree"
    shutil.copytree(tiny_survey.data, copy, copy_function=os.link)
    return copy
