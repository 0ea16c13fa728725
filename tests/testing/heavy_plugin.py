"""A module of a plugin that loads a heavy library at once."""

try:
    import torch
except ImportError:
    torch = None
