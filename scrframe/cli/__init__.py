"""The command line: the only room that prints or exits."""

from scrframe.cli.main import main

__all__ = ["main"]
