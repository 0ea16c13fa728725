"""Wheels, installed outside the checkout, do what the checkout does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_wheels_work_outside_the_checkout(tmp_path):
    plugins = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    how = ["--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    subprocess.run([*pip, *how, str(ROOT), *map(str, plugins)], check=True, cwd=tmp_path)
    wheels = sorted(tmp_path.glob("*.whl"))
    assert len(wheels) == 1 + len(plugins)
    check = [sys.executable, str(ROOT / "scripts" / "check_wheels.py"), "--borrow"]
    done = subprocess.run(
        [*check, *map(str, wheels)], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"{len(wheels)} wheels work"
