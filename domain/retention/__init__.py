"""Retention: how long what ended is kept."""
