"""From model magnitudes to a solution."""
