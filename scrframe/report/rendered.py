"""A figure as files, which goes from the process that drew it onto a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from astropy.table import Table

from scrframe.products.files import write_bytes


@dataclass(frozen=True)
class RenderedFigure:
    """A figure that is drawn and needs no drawing library any more."""

    name: str
    title: str
    caption: str
    alt: str
    #: The numbers that are drawn.
    data: Table
    #: The picture as a page embeds it.
    uri: str
    #: Its size in CSS pixels.
    width_px: int
    height_px: int
    #: Kind, the ending of its name, and content of each file.
    files: tuple[tuple[str, bytes], ...]

    def embedded(self) -> str:
        """Return the picture as a data URI."""
        return self.uri

    def size_px(self) -> tuple[int, int]:
        """Return width and height in CSS pixels, for a page to keep room before it loads."""
        return self.width_px, self.height_px

    def save(self, folder: Path) -> list[Path]:
        """Write name.kind of every kind into an existing folder; return the paths."""
        paths = []
        for kind, content in self.files:
            paths.append(folder / f"{self.name}.{kind}")
            write_bytes(content, paths[-1])
        return paths
