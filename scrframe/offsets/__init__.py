"""Offsets: levels to a design, solvers, and their application."""
