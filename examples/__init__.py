"""Applications that show `authpi_errors` at work."""
