"""The command line: the only room that prints or exits."""

from scrframe.cli.exits import main

__all__ = ["main"]
