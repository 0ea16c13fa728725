"""Survey loaders that ship inside."""
