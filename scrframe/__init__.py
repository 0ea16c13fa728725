"""scrframe: putting survey photometry on one scale with Stellar Colour Regression."""

__version__ = "0.1.0"
