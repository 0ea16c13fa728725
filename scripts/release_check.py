"""Check that a release is whole: versions agree, and wheels of a clean clone work everywhere.

    python scripts/release_check.py             every supported Python that is there
    python scripts/release_check.py --offline   with the dependencies of this environment

The wheels are built from a clone of the last commit. For each Python they are installed, with
the versions of constraints.txt, into an environment of their own, where scrframe is used as by
somebody who has wheels only, and the tutorial's commands are followed. Pythons that are not
there are named. The exit code is 0 only if all is well.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def versions(root: Path) -> dict[str, str]:
    """Return what each place says of the version."""
    package = (root / "scrframe" / "version.py").read_text(encoding="utf-8")
    citation = (root / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    recipe = (root / "packaging" / "recipe.yaml").read_text(encoding="utf-8")
    patterns = {
        "scrframe/version.py": (r'__version__ = "(.+)"', package),
        "CITATION.cff": (r"(?m)^version: (.+)$", citation),
        "CHANGELOG.md, newest dated entry": (r"(?m)^## \[(\d.*)\] - \d{4}-\d\d-\d\d$", changelog),
        "packaging/recipe.yaml": (r'(?m)^  version: "(.+)"$', recipe),
    }
    found = {place: re.search(pattern, text) for place, (pattern, text) in patterns.items()}
    return {place: match.group(1) if match else "none" for place, match in found.items()}


def pythons(root: Path) -> Iterator[tuple[str, str | None]]:
    """Yield the versions that the package says it supports, with the interpreter if it is there."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for classifier in project["classifiers"]:
        match = re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", classifier)
        if match:
            found = shutil.which(f"python{match.group(1)}")
            yield match.group(1), found if found and _runs(found) else None


def _runs(python: str) -> bool:
    """Return whether an interpreter starts: some are only the names of those not chosen."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def wheels_of(clone: Path, out: Path) -> list[Path]:
    """Build the wheels of a clone."""
    plugins = sorted(path.parent for path in clone.glob("plugins/*/pyproject.toml"))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet")
    how = ("--no-deps", "--no-build-isolation", "--wheel-dir", out)
    subprocess.run([*pip, *how, clone, *plugins], check=True, cwd=out)
    return sorted(out.glob("*.whl"))


def main() -> int:
    """Check all, and say what was checked."""
    parser = argparse.ArgumentParser(description="check that a release is whole")
    parser.add_argument(
        "--offline", action="store_true", help="take dependencies from this environment"
    )
    options = parser.parse_args()
    said = versions(ROOT)
    for place, version in said.items():
        print(f"{place}: {version}")
    if len(set(said.values())) > 1:
        print("the versions differ", file=sys.stderr)
        return 1
    checked = []
    with tempfile.TemporaryDirectory() as scratch:
        clone, out = Path(scratch) / "clone", Path(scratch) / "wheels"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        out.mkdir()
        wheels = wheels_of(clone, out)
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        for version, python in [(here, sys.executable)] if options.offline else pythons(clone):
            if python is None:
                print(f"Python {version} is not there: not checked")
                continue
            print(f"--- Python {version}", flush=True)
            more = ["--borrow"] if options.offline else []
            script = clone / "scripts" / "check_wheels.py"
            done = subprocess.run([python, script, "--tutorial", *more, *wheels], check=False)
            if done.returncode:
                return done.returncode
            checked.append(version)
    print(f"{said['scrframe/version.py']}: {len(wheels)} wheels work with {', '.join(checked)}")
    return 0 if checked else 1


if __name__ == "__main__":
    sys.exit(main())
