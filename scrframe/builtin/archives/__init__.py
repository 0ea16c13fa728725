"""Ways to fetch reference data: TAP, DataLink, files by HTTP."""
