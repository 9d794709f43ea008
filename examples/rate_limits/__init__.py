"""A limit for each client that holds across all workers: its count is in Redis.

`pip install 'limits[redis]' uvicorn`, for one with slowapi `slowapi` too, and have a Redis run.
"""
