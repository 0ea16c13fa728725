"""Stellar parameters, and reddening, from tables."""
