"""Simulated surveys with known truth, in the real file formats."""

from scrframe.simulate.cache import GENERATOR_VERSION, cache_folder, sample_tree
from scrframe.simulate.tree import simulate_tree

__all__ = ["GENERATOR_VERSION", "cache_folder", "sample_tree", "simulate_tree"]
