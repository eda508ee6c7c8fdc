"""Who calls, for which tenant, and what they may see."""
