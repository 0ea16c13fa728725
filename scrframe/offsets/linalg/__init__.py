"""Sparse and blocked factors, and selected entries of their inverses."""
