"""Terms and stars that several surveys share."""
