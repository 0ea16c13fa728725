"""Tables for plugins: the format by the content of a file, and the files that match a pattern."""

from scrframe.io import TableFormat, detect_format, matching_files

__all__ = ["TableFormat", "detect_format", "matching_files"]
