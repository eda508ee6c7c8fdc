"""Schedules: recurrences, and what happens at each of their fire times."""
