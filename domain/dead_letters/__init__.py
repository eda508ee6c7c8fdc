"""What could not be done or handled, and waits for somebody."""
