"""Webhooks: where they may go, how they are signed, and what an answer means."""
