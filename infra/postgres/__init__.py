"""PostgreSQL, which holds the truth: tables, statements and migrations."""
