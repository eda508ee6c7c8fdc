"""Queues: what waits and runs in each, and the limits set for it."""
