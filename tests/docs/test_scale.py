"""The numbers of the page on scale are those that the script makes of the benchmark's output."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "docs" / "explanation"


def test_the_tables_are_made_by_the_script():
    command = [sys.executable, str(REPOSITORY / "scripts" / "scale.py"), str(FOLDER / "scale.json")]
    made = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert made
    assert made in (FOLDER / "scale.md").read_text(encoding="utf-8")
