"""Live feeds for those who watch, and what the adapters that carry them share."""
