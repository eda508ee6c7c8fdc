"""Recurrence rules of RFC 5545, read and evaluated in bounded steps."""
