"""Install wheels into a fresh environment outside the checkout, and use them there.

    python scripts/check_wheels.py dist/*.whl            with all dependencies, as pinned
    python scripts/check_wheels.py --borrow dist/*.whl   with those of this environment

Someone who has wheels only must get as far as someone with a checkout: every plugin loads,
every description that ships can be copied and is valid, and one of them calibrates a small
simulated survey. Prints what it runs; the exit code is that of the first command that fails.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SURVEY = "vphas_u"
#: Loads a description, as every command does first.
LOAD = """
import sys
from scrframe.config import is_combined, load_combined, load_survey
(load_combined if is_combined(sys.argv[1]) else load_survey)(sys.argv[1])
"""
#: What lets a survey of two fields calibrate, in seconds.
SMALL = (
    "offsets.mode=sequential",
    "offsets.min_stars=3",
    "offsets.levels.pixel.size=1025 pix",
    "reddening.order=2",
    "reddening.extinction_order=0",
    "reddening.field_slopes=false",
    "colour_model.kind=ridge",
)


def run(*command: str | Path, folder: Path) -> str:
    """Run a command in a folder, away from the checkout, and return what it printed."""
    words = [str(word) for word in command]
    shown = [Path(words[0]).name, *("..." if word == LOAD else word for word in words[1:])]
    sys.stdout.write("$ " + " ".join(shown) + "\n")
    sys.stdout.flush()
    hidden = ("PYTHONPATH", "SCRFRAME_DATA", "SCRFRAME_CACHE")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stdout.write(done.stdout + done.stderr)
        sys.exit(done.returncode)
    return done.stdout


def install(folder: Path, wheels: list[Path], borrow: bool) -> Path:
    """Make an environment that holds the wheels, and return the folder of its commands."""
    home = folder / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", home, folder=folder)
    python = home / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    how = ("--no-deps", "--no-index") if borrow else ("-c", ROOT / "constraints.txt")
    run(*pip, "install", "--quiet", *how, *wheels, folder=folder)
    if borrow:
        # Only its folder is added: the checkout is named by a .pth file within, which Python
        # does not read there.
        here = sysconfig.get_path("purelib")
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        packages = home / "lib" / version / "site-packages"
        (packages / "borrowed.pth").write_text(f"{here}\n", encoding="utf-8")
    return python.parent


def use(bin_folder: Path, folder: Path) -> None:
    """List plugins, copy and check descriptions, simulate and calibrate."""
    scrframe, python = bin_folder / "scrframe", bin_folder / "python"
    where = run(python, "-c", "import scrframe; print(scrframe.__file__)", folder=folder)
    if not Path(where.strip()).is_relative_to(bin_folder.parent):
        sys.exit(f"scrframe comes from {where.strip()}, not from its wheel")
    plugins = run(scrframe, "plugins", "list", folder=folder)
    if "broken:" in plugins:
        sys.exit(f"a plugin cannot be loaded:\n{plugins}")
    listed = run(scrframe, "surveys", "list", folder=folder).splitlines()[1:]
    names = [line.split()[0] for line in listed]
    shipped = sorted(path.stem for path in (ROOT / "surveys").glob("*.yaml"))
    if names != shipped or "(not installed)" in "".join(listed):
        sys.exit(f"the wheels hold other descriptions, or lack plugins: {listed}, not {shipped}")
    for name in names:
        run(scrframe, "surveys", "copy", name, folder=folder)
        run(python, "-c", LOAD, Path("surveys", f"{name}.yaml"), folder=folder)
    description = Path("surveys", f"{SURVEY}.yaml")
    size = ("--fields", "2", "--density", "1000", "--seed", "3")
    run(scrframe, "simulate", description, "--out", "tree", *size, "--quiet", folder=folder)
    run(scrframe, "validate", description, "--data", "tree", folder=folder)
    changes = [word for change in SMALL for word in ("--set", change)]
    run(
        scrframe,
        "calibrate",
        description,
        "--data",
        "tree",
        "--out",
        "run",
        "--workers",
        "1",
        "--no-report",
        *changes,
        folder=folder,
    )
    corrected = list((folder / "run" / "catalogues").iterdir())
    if len(corrected) != len(list((folder / "tree" / "catalogues").iterdir())):
        sys.exit(f"only {len(corrected)} catalogues were corrected")


def follow_tutorial(bin_folder: Path, folder: Path) -> None:
    """Run the tutorial's commands of its first round, one after the other, as they stand."""
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    first = page[page.index("## A first run") : page.index("### Look at the result")]
    place = folder / "tutorial"
    place.mkdir()
    for line in re.findall(r"^\$ scrframe (.+)$", first, re.MULTILINE):
        run(bin_folder / "scrframe", *line.split(), folder=place)
    if not (place / "runs" / "first" / "report" / "index.html").is_file():
        sys.exit("the tutorial's first run has no report")


def main() -> None:
    """Install, use, and say that all is well."""
    parser = argparse.ArgumentParser(description="check wheels in a fresh environment")
    parser.add_argument("wheels", nargs="+", type=Path)
    parser.add_argument(
        "--borrow", action="store_true", help="take dependencies from this environment"
    )
    parser.add_argument("--tutorial", action="store_true", help="follow the tutorial as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve()
        wheels = [wheel.resolve() for wheel in options.wheels]
        bin_folder = install(folder, wheels, options.borrow)
        use(bin_folder, folder)
        if options.tutorial:
            follow_tutorial(bin_folder, folder)
    sys.stdout.write(f"{len(wheels)} wheels work\n")


if __name__ == "__main__":
    main()
