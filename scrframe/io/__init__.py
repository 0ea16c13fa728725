"""One stack of readers and writers for every table format."""
