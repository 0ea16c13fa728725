"""Extinctions of stars, and extinction curves, that ship inside."""
