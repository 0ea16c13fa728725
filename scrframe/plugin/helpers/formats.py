"""The format of a table by the content of its file, for plugins."""

from scrframe.io import TableFormat, detect_format

__all__ = ["TableFormat", "detect_format"]
