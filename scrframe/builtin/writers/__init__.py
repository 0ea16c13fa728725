"""Writers of corrected catalogues that ship inside."""
