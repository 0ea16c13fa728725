"""The method: arithmetic on arrays, no input or output."""
