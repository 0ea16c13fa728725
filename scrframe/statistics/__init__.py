"""Statistics that all rooms may use."""
