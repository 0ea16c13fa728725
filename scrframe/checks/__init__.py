"""What judges a run: null tests and anomalies, arithmetic on arrays only."""
