"""Rows kept close: what a cache promises, what of tasks is kept in it, and how it hears of changes."""
