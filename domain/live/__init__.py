"""How facts and signals travel between the parts, and to those who watch."""
