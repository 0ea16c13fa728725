"""Tables as ECSV files, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from astropy.table import Table


def write_ecsv(table: Table, path: Path) -> None:
    """Write a table, in place of an older one."""
    temporary = path.with_name(f".{path.name}.tmp")
    table.write(temporary, format="ascii.ecsv", overwrite=True)
    temporary.replace(path)
