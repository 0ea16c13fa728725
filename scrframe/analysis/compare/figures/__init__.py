"""The page of a comparison of colour models, and its figures."""
