"""What images take from a run: star flats, headers and zero points."""
