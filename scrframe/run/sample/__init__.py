"""The Calibration Sample: read, match, select."""
