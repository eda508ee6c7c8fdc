"""Attempts: one run of a task each, under a lease."""
