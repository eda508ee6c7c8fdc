"""Documents that were published for clients to name by the hashes of their texts."""
