"""Who has a credential: a token of ours, or a JWT of somebody we trust."""
