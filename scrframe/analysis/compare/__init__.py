"""Colour models, or control regions, compared on the same stars; `run.compare_backends` begins."""
