"""Whatever ends a run at whatever moment, the same command ends with the same bytes."""

from __future__ import annotations

import json
import os
import pty
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

SCRFRAME = "from scrframe.cli import main; raise SystemExit(main())"
CODES = {"interrupted": 130, "lacks": 2}
#: What differs between runs that are the same: what they took.
TOOK = ("steps", "seconds", "peak_memory_mb")


@dataclass
class Scene:
    """A survey, the command that calibrates it, and where it does."""

    data: Path
    pristine: Path
    work: Path
    command: list[str]
    chance: random.Random

    def start(self, **how) -> subprocess.Popen:
        environment = {**os.environ, "TMPDIR": str(self.work.parent / "temporary")}
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, **how}
        return subprocess.Popen(
            self.command, cwd=self.work, env=environment, start_new_session=True, **settings
        )

    def at_some_moment(self, run: subprocess.Popen) -> None:
        """Wait for a random line of its output, and a little more."""
        for _ in range(self.chance.randint(1, 18)):
            if not run.stdout.readline():
                return
        time.sleep(self.chance.uniform(0, 0.2))

    def catalogue(self) -> Path:
        return self.chance.choice(sorted((self.data / "catalogues").iterdir()))


def end(number: str) -> Callable[[Scene], tuple[int, str]]:
    def fault(scene: Scene) -> tuple[int, str]:
        run = scene.start()
        scene.at_some_moment(run)
        target = run.pid if scene.chance.random() < 0.5 else -run.pid  # it, or all it has started
        os.kill(target, signal.Signals[number]) if target > 0 else os.killpg(
            run.pid, signal.Signals[number]
        )
        said = run.communicate(timeout=120)[0].decode()
        return run.returncode, said

    return fault


def is_worker(process: psutil.Process) -> bool:
    """Return whether a process is a worker of a pool, or of a cluster of this machine."""
    try:
        words = " ".join(process.cmdline())
        of_cluster = "dask_worker" in " ".join(process.parent().cmdline())
    except (psutil.NoSuchProcess, AttributeError):
        return False
    return "popen_loky" in words or (of_cluster and "spawn_main" in words)


def kill_a_worker(scene: Scene) -> tuple[int, str]:
    run = scene.start()
    scene.at_some_moment(run)
    children = psutil.Process(run.pid).children(recursive=True) if run.poll() is None else []
    workers = [each for each in children if is_worker(each)]
    for worker in workers[:1]:
        worker.kill()
    return run.wait(120) if not run.stdout else _rest(run)


def _rest(run: subprocess.Popen) -> tuple[int, str]:
    said = run.communicate(timeout=120)[0].decode()
    return run.returncode, said


def fill_the_disk(scene: Scene) -> tuple[int, str]:
    size = int(10 ** scene.chance.uniform(3.5, 6.2))
    limit = (size, resource.RLIM_INFINITY)
    return _rest(scene.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)))


def close_the_output(scene: Scene) -> tuple[int, str]:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        return scene.start(stdout=full, stderr=full).wait(120), ""


def close_the_terminal(scene: Scene) -> tuple[int, str]:
    leader, follower = pty.openpty()
    ignored = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731 - as nohup does
    run = scene.start(stdin=follower, stdout=follower, stderr=follower, preexec_fn=ignored)
    os.close(follower)
    os.read(leader, 100)
    time.sleep(scene.chance.uniform(0, 3))
    os.close(leader)
    return run.wait(120), ""


def change_an_input(scene: Scene) -> tuple[int, str]:
    run = scene.start()
    scene.at_some_moment(run)
    path = scene.catalogue()
    path.write_bytes(path.read_bytes().replace(b"24.0/", b"20.0/") + bytes(2880))
    return _rest(run)


def remove_an_input(scene: Scene) -> tuple[int, str]:
    run = scene.start()
    scene.at_some_moment(run)
    scene.catalogue().unlink()
    return _rest(run)


#: Each fault, and the exit codes that a run may end with: 0 if the fault came too late.
FAULTS = {
    "kill": (end("SIGKILL"), {0, -9}),
    "term": (end("SIGTERM"), {0, 130, -15}),
    "hang up": (end("SIGHUP"), {0, 130, -1}),
    "interrupt": (end("SIGINT"), {0, 130, -2}),
    "killed worker": (kill_a_worker, {0}),
    "full disk": (fill_the_disk, {0, 2}),
    "closed output": (close_the_output, {0}),
    "closed terminal": (close_the_terminal, {0}),
    "changed input": (change_an_input, {0, 2}),
    "removed input": (remove_an_input, {0, 2}),
}


def content(run: Path) -> dict[str, object]:
    """Return the bytes of all products, and the summary but for what it took."""
    files = {str(path.relative_to(run)): path for path in run.rglob("*") if path.is_file()}
    found: dict[str, object] = {name: path.read_bytes() for name, path in files.items()}
    summary = json.loads(files["summary.json"].read_text())
    found["summary.json"] = {name: each for name, each in summary.items() if name not in TOOK}
    return found


@pytest.fixture(scope="module", params=["joint", "sequential", "cluster"])
def undisturbed(request, tiny_survey, tmp_path_factory) -> Iterator[tuple[str, Path, dict]]:
    folder = tmp_path_factory.mktemp(request.param)
    shutil.copytree(tiny_survey.data, folder / "tree")
    scene = _scene(tiny_survey, request.param, folder / "tree", folder / "undisturbed", 0)
    code, said = _rest(scene.start())
    assert code == 0, said
    yield request.param, folder / "tree", content(scene.work / "run")


def _scene(tiny_survey, mode: str, data: Path, folder: Path, seed: int) -> Scene:
    (folder / "work").mkdir(parents=True)
    (folder / "temporary").mkdir()
    options = ["--data", str(data), "--out", "run", "--workers", "2", "--no-report"]
    kind = "sequential" if mode == "cluster" else mode
    changes = ["--set", "colour_model.kind=ridge", "--set", f"offsets.mode={kind}"]
    if mode == "cluster":
        options += ["--scheduler", "local:2"]
    command = [sys.executable, "-c", SCRFRAME, "calibrate", str(tiny_survey.description)]
    command += [*options, *tiny_survey.options, *changes]
    chance = random.Random(f"{mode} {folder.name} {seed}")
    return Scene(data, tiny_survey.data, folder / "work", command, chance)


def restore(scene: Scene) -> None:
    """Put the input back as it was, with its times."""
    for path in (scene.pristine / "catalogues").iterdir():
        shutil.copy2(path, scene.data / "catalogues" / path.name)


def alone(folder: Path) -> bool:
    """Return whether no process is left that was started there."""
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                return False
        except (psutil.AccessDenied, psutil.NoSuchProcess):
            continue
    return True


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fault", FAULTS)
def test_the_same_command_ends_as_if_nothing_had_been(
    tiny_survey, undisturbed, tmp_path, fault, seed
):
    mode, data, expected = undisturbed
    scene = _scene(tiny_survey, mode, data, tmp_path / fault.replace(" ", "_"), seed)
    cause, codes = FAULTS[fault]
    try:
        code, said = cause(scene)
    finally:
        restore(scene)
    assert code in codes, said
    assert "Traceback" not in said and "internal failure" not in said, said
    if code in (2, 130):
        kept = any(scene.work.glob(".run.partial/work/done/*"))
        assert ("same command again to resume" in said.splitlines()[-1]) == kept
    deadline = time.monotonic() + 10
    while not alone(scene.work):
        assert time.monotonic() < deadline, "a process is left"
        time.sleep(0.1)
    code, said = _rest(scene.start())
    assert code == 0, said
    assert content(scene.work / "run") == expected
    assert [path.name for path in scene.work.iterdir()] == ["run"]
    assert not list((scene.work.parent / "temporary").iterdir())
