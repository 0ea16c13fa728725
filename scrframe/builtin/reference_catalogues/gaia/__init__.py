"""Gaia as the reference catalogue: G_BP and XP spectra."""
