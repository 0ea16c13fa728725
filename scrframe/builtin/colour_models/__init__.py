"""Colour models that ship inside."""
