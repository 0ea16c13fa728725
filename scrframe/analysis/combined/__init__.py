"""Several surveys in one run: what they share is fitted once."""
