"""What one caller may take of an API process: each bound by itself, most of them for each tenant."""
