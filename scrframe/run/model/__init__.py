"""The colour model and the reddening law."""
