"""Figures of merit that ship inside."""
