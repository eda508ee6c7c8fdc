"""The secrets that sign webhooks: made, rotated and taken away by their tenants."""
