"""VPHAS+ single-band source lists (CASU) for scrframe."""

__version__ = "0.1.0"
