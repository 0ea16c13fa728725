"""Offset levels that ship inside."""
