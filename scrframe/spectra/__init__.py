"""Spectra from coefficients: the shipped Gaia XP operators and arithmetic on arrays."""

from scrframe.spectra.xp_operator import (
    BASES,
    PACKED,
    XpOperator,
    load_operator,
    packed_indices,
    read_operator,
)

__all__ = ["BASES", "PACKED", "XpOperator", "load_operator", "packed_indices", "read_operator"]
