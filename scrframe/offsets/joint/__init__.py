"""The joint solution: one mixed model of all offsets."""
