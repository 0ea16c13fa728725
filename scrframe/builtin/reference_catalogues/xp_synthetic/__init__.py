"""Synthetic photometry of Gaia XP spectra."""
