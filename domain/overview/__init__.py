"""What an installation does at one moment, of all tenants, for who operates it."""
