"""The straight line from a description to corrected catalogues."""
