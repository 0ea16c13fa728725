"""Outliers: weights, rates and iterative trimming."""
