"""Which terms the data ask for: restricted likelihood, and data that were held out."""
