"""The cache in Redis."""
