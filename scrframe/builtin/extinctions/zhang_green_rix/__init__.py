"""Extinctions and extinction curve of Zhang, Green & Rix (2023)."""
