"""The registered Python functions: found, their payloads checked, run, and their reports brought back."""
