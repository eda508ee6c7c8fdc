"""What a tenant may spend on the operations it sends."""
