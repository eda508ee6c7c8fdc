"""Tasks: what they are, how they move, and what storing them must promise."""
