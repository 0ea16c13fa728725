"""What people do with runs: compare, explain, cross-check, repeat by Monte Carlo, combine."""
