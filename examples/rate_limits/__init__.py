"""A limit for each client that holds across all workers: its count is in Redis."""
