"""What is kept encrypted: with which keys, and bound to where it belongs."""
