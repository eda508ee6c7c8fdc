"""Reads recurrences: cron expressions and RRULEs, in the time zones of one database."""
