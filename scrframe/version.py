"""The version of scrframe."""

__version__ = "0.2.0"
