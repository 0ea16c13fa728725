"""Files of a report, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from astropy.table import Table


def write_bytes(content: bytes, path: Path) -> None:
    """Write a file, in place of an older one."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)


def write_ecsv(table: Table, path: Path) -> None:
    """Write a table as ECSV, in place of an older one."""
    temporary = path.with_name(f".{path.name}.tmp")
    table.write(temporary, format="ascii.ecsv", overwrite=True)
    temporary.replace(path)
