"""Budgets of tenants, over buckets in Redis or in this process."""
