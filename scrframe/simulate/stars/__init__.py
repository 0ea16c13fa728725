"""Simulated stars: positions, spectra, magnitudes."""
