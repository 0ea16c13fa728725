"""The offsets of two runs side by side."""
