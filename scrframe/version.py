"""The version of scrframe."""

__version__ = "0.1.0"
