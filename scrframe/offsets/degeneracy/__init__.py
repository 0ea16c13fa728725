"""What the data cannot tell apart."""
