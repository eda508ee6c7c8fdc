"""What to try Carillon with: handlers, clients, and a receiver of webhooks."""
