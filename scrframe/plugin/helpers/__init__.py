"""What plugins share: public and versioned helpers."""
