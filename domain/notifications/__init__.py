"""Notifications: what people are told, in a gap-free stream for each tenant."""
