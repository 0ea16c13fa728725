"""Catalogues corrected with a solution."""
