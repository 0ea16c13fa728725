"""What a run leaves: columns, files, and how they are opened again."""
