"""Reference catalogues that ship inside."""
