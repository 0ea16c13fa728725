"""Products get into any place that people name, or it is refused before any work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scrframe.errors import ConfigError, ResourceError
from scrframe.products.files import RUN_MARK
from scrframe.run import place as resources
from scrframe.run.keys import code_hashes
from scrframe.run.place import Place
from scrframe.run.workspace import Workspace, open_workspace


def make(out: Path, text: str, **how) -> None:
    with open_workspace(out, "key", **how) as space:
        (space.run / "solution").mkdir()
        (space.run / "solution" / text).write_text(text)
        (space.run / RUN_MARK).write_text(text)


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    for text in ("first", "second"):
        make(tmp_path / "link", text)
        assert files(tmp_path / "real") == ["solution/" + text, RUN_MARK]
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path) == ["link", "real"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["mount point", "present folder"])
def stays(request, tmp_path, monkeypatch) -> Path:
    """Return a folder that cannot be renamed."""
    out = tmp_path / "out"
    out.mkdir()
    if request.param == "present folder":
        monkeypatch.chdir(out)
    else:
        mounts = os.path.ismount
        monkeypatch.setattr(os.path, "ismount", lambda path: path == out or mounts(path))
        (out / "lost+found").mkdir()
    return out


def test_what_cannot_be_renamed_is_filled(stays):
    node = stays.stat().st_ino
    for text in ("first", "second"):
        make(stays, text)
        assert files(stays) == ["solution/" + text, RUN_MARK]
    assert stays.stat().st_ino == node
    assert names(stays.parent) == ["out"]


@pytest.mark.parametrize("moves", range(5))
def test_a_run_that_ends_in_the_midst_of_filling_goes_on(stays, monkeypatch, moves):
    make(stays, "first")
    left, rename = [moves], Path.rename

    def end_soon(self, target):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return rename(self, target)

    space = Workspace.open(stays, "key")
    (space.run / "solution").mkdir()
    for name in ("solution/second", RUN_MARK):
        (space.run / name).write_text("second")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", end_soon)
        if moves < 4:
            with pytest.raises(KeyboardInterrupt):
                space.finish()
        else:
            space.finish()
    space.lock.release()
    if moves < 4:
        again = Workspace.open(stays, "key")
        assert files(again.run) == ["solution/second", RUN_MARK]
        assert (stays / RUN_MARK).read_text() == "first"
        again.finish()
    assert files(stays) == ["solution/second", RUN_MARK]


def test_an_earlier_run_comes_back_if_its_successor_was_ended(tmp_path):
    make(tmp_path / "out", "first")
    place = Place.of(tmp_path / "out")
    place.out.rename(place.old)  # where a process was killed
    space = Workspace.open(tmp_path / "out", "key")
    assert files(place.out) == ["solution/first", RUN_MARK]
    space.discard()
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("length", [200, 255])
def test_long_names_work(tmp_path, length):
    make(tmp_path / ("n" * length), "first")
    assert names(tmp_path) == ["n" * length]


@pytest.mark.parametrize("name", ["n" * 256, "file/below", "sealed/below"])
def test_what_cannot_be_written_is_refused_in_a_line(tmp_path, name):
    (tmp_path / "file").write_text("")
    if name == "sealed/below" and os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (tmp_path / "sealed").mkdir(mode=0o500)
    with pytest.raises(ConfigError, match=r"cannot write there: .*; choose another --out"):
        Workspace.open(tmp_path / name, "key")


def test_files_are_added_to_a_folder_all_at_once(tmp_path):
    out = tmp_path / "out"
    (out / "night").mkdir(parents=True)
    (out / "night" / "old.fits").write_text("old")
    (out / "thesis.tex").write_text("mine")
    with open_workspace(out, "key", resumes=False, merges=True) as space:
        (space.run / "night").mkdir()
        (space.run / "night" / "new.fits").write_text("new")
        (space.run / "thesis.tex").write_text("replaced")
        assert files(out) == ["night/old.fits", "thesis.tex"]
    assert files(out) == ["night/new.fits", "night/old.fits", "thesis.tex"]
    assert (out / "thesis.tex").read_text() == "replaced"
    with pytest.raises(ZeroDivisionError), open_workspace(out, "key", resumes=False, merges=True):
        raise ZeroDivisionError
    assert names(tmp_path) == ["out"]


HOLDER = """
import sys
from pathlib import Path
from scrframe.run.workspace import Workspace
space = Workspace.open(Path(sys.argv[1]), "key")
print("open", flush=True)
sys.stdin.read()
"""


def test_a_place_is_locked_by_the_system_while_its_process_lives(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "out")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout.readline() == b"open\n"
    with pytest.raises(ConfigError, match=f"another run .process {holder.pid} on .* made there"):
        Workspace.open(tmp_path / "out", "key")
    holder.kill()
    holder.communicate()
    Workspace.open(tmp_path / "out", "key").discard()
    assert names(tmp_path) == []


def test_a_disk_that_is_too_small_is_refused_or_warned_of(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "free_bytes", lambda place: 1_000_000_000)
    with pytest.raises(ResourceError, match=r"1 GB free, .* take about 2.1 GB; make room"):
        resources.refuse_small(tmp_path, tmp_path / "kept", 2_100_000_000)
    assert "may be too little" in resources.refuse_small(tmp_path, tmp_path, 900_000_000)
    assert resources.refuse_small(tmp_path, tmp_path, 600_000_000) == ""


def test_the_code_of_a_plugin_in_place_is_known(tmp_path, monkeypatch):
    package = tmp_path / "edited_plugin"
    package.mkdir()
    (package / "__init__.py").write_text("")
    about = tmp_path / "edited_plugin-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: edited-plugin\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[scrframe]\nedited = edited_plugin.plugin\n")
    (package / "plugin.py").write_text("OFFSET = 0.3\n")
    before = code_hashes()
    monkeypatch.syspath_prepend(tmp_path)
    first = code_hashes()
    (package / "plugin.py").write_text("OFFSET = 0.0\n")
    second = code_hashes()
    assert len({str(each) for each in (before, first, second)}) == 3
    assert first["scrframe"] == second["scrframe"]
