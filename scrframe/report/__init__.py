"""Figures and self-contained pages; load it late, for it loads matplotlib."""
