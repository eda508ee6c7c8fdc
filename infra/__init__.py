"""The adapters to PostgreSQL, Redis, RabbitMQ and HTTP, and the one place that composes them."""
