"""What to try Carillon with: handlers, and a receiver of webhooks."""
