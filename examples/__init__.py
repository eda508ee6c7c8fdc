"""Handlers to try Carillon with."""
