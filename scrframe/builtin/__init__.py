"""Plugins that ship inside, found through the same entry points as any other."""
