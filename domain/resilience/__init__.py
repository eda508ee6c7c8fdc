"""Keeping away from what does not work just now."""
