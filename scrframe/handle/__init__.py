"""One handle on a finished run: its tables, its corrections, its figures."""
