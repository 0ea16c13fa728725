"""Searches for visits, detectors and stars that stand out."""
