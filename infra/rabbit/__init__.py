"""Events, signals and hand-overs over RabbitMQ."""
