"""Errors of model magnitudes from repeated fits of perturbed data."""
