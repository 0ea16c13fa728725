"""Fifty kills at random moments, and the same command again: the same bytes."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time

import pytest

#: Kills of each of the three ways.
KILLS_A_WAY = 17
COMMAND = "import sys; from scrframe.cli import main; sys.exit(main())"


def content(root) -> dict[str, bytes | dict]:
    """Return all that lies below a root; of provenance all but its date."""
    found: dict[str, bytes | dict] = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.name == "_provenance.json":
            found[name] = {**json.loads(path.read_text()), "date": ""}
        elif path.is_file() and not name.startswith(("catalogues", "services.yaml")):
            found[name] = path.read_bytes()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("wished", ["local", "tables", "folders"])
def test_fifty_kills_leave_the_same_bytes(bare_root, services, tiny_survey, tmp_path, wished):
    line = [sys.executable, "-c", COMMAND, "fetch", str(tiny_survey.description), "--quiet"]
    line += ["--from", wished, "--data"]
    reference = tmp_path / "reference"
    shutil.copytree(bare_root, reference)
    start = time.perf_counter()
    subprocess.run([*line, str(reference)], check=True)
    whole = time.perf_counter() - start
    expected = content(reference)
    draw = random.Random(8)
    killed = 0
    while killed < KILLS_A_WAY:
        process = subprocess.Popen([*line, str(bare_root)], stderr=subprocess.DEVNULL)
        try:
            process.wait(draw.uniform(0.3, 1) * whole)
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        process.wait()
        if process.returncode == 0:  # it came through: from the beginning
            assert content(bare_root) == expected
            for folder in ("gaia_source", "gaia_xp", "zgr23"):
                shutil.rmtree(bare_root / folder)
    subprocess.run([*line, str(bare_root)], check=True)
    assert content(bare_root) == expected
    assert not list(bare_root.rglob(".*"))  # nothing is left half written
