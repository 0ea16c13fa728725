"""Write constraints.txt: exact versions of all dependencies, for every Python supported.

    make pins               keeps versions that are still allowed
    make pins UPGRADE=1     takes the newest ones

uv resolves once for all versions of Python and all platforms and writes markers where they
differ. The file holds names, versions and markers only, so that any index can serve it.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from requirements import ROOT, everything

PINS = ROOT / "constraints.txt"
OLDEST_PYTHON = "3.11"
HEADER = "# Exact versions of all dependencies, made by `make pins`; do not edit.\n"
PIN = re.compile(r"[a-z0-9.-]+==[A-Za-z0-9.!+-]+( ; [^@/\\]+)?")
OPTIONS = (
    "--universal",
    "--no-header",
    "--no-annotate",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-python-downloads",
    "--quiet",
)


def resolve(folder: Path, upgrade: bool) -> list[str]:
    """Return the pins, one a line, resolved in a scratch folder."""
    wanted, found = folder / "wanted.in", folder / "constraints.txt"
    wanted.write_text("\n".join(everything()) + "\n", encoding="utf-8")
    if PINS.exists() and not upgrade:
        shutil.copy(PINS, found)  # uv prefers what stands there
    command = [sys.executable, "-m", "uv", "pip", "compile", *OPTIONS]
    command += ["--python-version", OLDEST_PYTHON, "-o", str(found), str(wanted)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return found.read_text(encoding="utf-8").splitlines()


def main() -> None:
    """Resolve, check and write the file."""
    parser = argparse.ArgumentParser(description="write constraints.txt")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pins = resolve(Path(folder), options.upgrade)
    strange = [line for line in pins if not PIN.fullmatch(line)]
    if strange:
        raise SystemExit(f"these lines are no plain pins: {strange}")
    PINS.write_text(HEADER + "\n".join(pins) + "\n", encoding="utf-8")
    sys.stdout.write(f"{len(pins)} pins written to {PINS.name}\n")


if __name__ == "__main__":
    main()
