"""Null tests: what must vanish if a calibration is right."""
